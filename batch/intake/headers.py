"""Step 1 of 5: which column is which: header names are compared without case, blanks, `_` and `-`.

Owns the names that a column may have and how they are matched. Knows nothing of the cells below them.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from batch.errors import InputRefused
from batch.intake.raw_cells import BLANKS, IGNORABLE, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COLUMNS = (
    "customer_id",
    "period_name",
    "initial_balance",
    "reset_streak_status",
    "target_group_id",
    "target_id",
    "org_id",
    "action",
)
"""The columns that this version reads, in the order of the template."""

LOOKED_UP = ("mobile", "email", "external_id")
"""Columns that name a customer in another way than by id, in the order in which they are looked at in a row.

Source: docs.capillarytech.com/reference/get-customer-id; the order is our choice.
"""

REPORT_MARKS = ("request_id", "outcome")
"""The two columns by which one of our own reports is known."""

_DROPPED = re.compile(f"[\\s_\\-{re.escape(IGNORABLE)}]+")
_KEYS = {name.replace("_", ""): name for name in (*COLUMNS, *LOOKED_UP)}
HEADER_WITHIN = 50
"""In how many rows from the top a header is looked for; titles and notes above a table are shorter."""

_NEARLY = 0.9
"""Two names that share nine letters in ten are one name with a slip of the finger."""


def header_key(header: str) -> str:
    """Return what is compared of a header: lower case, without blanks of any kind, `_` and `-`."""
    return _DROPPED.sub("", header.casefold())


REJECTED_MARKS = ("source_file", "source_sheet", "source_row", "column", "value", "problem", "hint", "duplicate_of_row")
"""The columns with which our rejected_rows.csv begins; the upload's own follow."""

OWN_REPORT = 1_000
"""What `known_names` returns for the header of one of our reports, whatever else stands in it."""


def known_names(headers: Sequence[str], renamed: Iterable[str] = ()) -> int:
    """Return how many of `headers` are names of ours or of the config's, to tell a header row from a title.

    A row that does not name the customer is no header: 0.
    """
    texts = [header.strip(BLANKS) for header in headers]
    if is_own_report(texts) or is_rejected_rows(texts):
        return OWN_REPORT
    also = {header_key(name) for name in renamed}
    keys = {header_key(header) for header in headers}
    names = {_KEYS[key] for key in keys if key in _KEYS}
    customer = names & {"customer_id", *LOOKED_UP} or keys & also
    return len(names) + len(keys & also) if customer else 0


def named_columns(headers: Sequence[str], renamed: Iterable[str] = ()) -> list[int]:
    """Return the places of the headers that are names of ours or of the config's."""
    known = _KEYS.keys() | {header_key(name) for name in renamed}
    return [index for index, header in enumerate(headers) if header_key(header) in known]


def customer_columns(headers: Sequence[str], renamed: Iterable[str] = ()) -> list[int]:
    """Return the places of the headers that can name the customer; the config does not say which of its names does."""
    known = {name.replace("_", "") for name in ("customer_id", *LOOKED_UP)} | {header_key(name) for name in renamed}
    return [index for index, header in enumerate(headers) if header_key(header) in known]


def is_own_report(headers: Sequence[str]) -> bool:
    """Tell whether these are the columns of an outcome file of ours."""
    return all(mark in headers for mark in REPORT_MARKS)


_REJECTED_KEYS = frozenset(map(header_key, REJECTED_MARKS))


def is_rejected_rows(headers: Sequence[str]) -> bool:
    """Tell whether these are the columns of our rejected_rows.csv: the rows of an upload as they came, to be mended."""
    return tuple(headers[: len(REJECTED_MARKS)]) == REJECTED_MARKS


def match_columns(headers: Sequence[str], renamed: Mapping[str, str]) -> dict[str, int]:
    """Find our columns among the headers of a file.

    `renamed` is the config's `input.columns` (our name: the file's header); it wins over a header that merely
    looks like ours. One of our own reports has exactly our names, and `renamed` does not apply to it.

    Returns our name -> index into `headers`, for the columns that are there. Those that name a customer in another
    way than by id are left out where there is a customer_id, but for our reports, which name some so and some so.

    Raises:
        InputRefused: no customer column, two columns for one name, a header of the config that is not in the file,
            or a header that is one of ours but for a slip of the finger (its values would be ignored in silence).

    """
    if is_own_report(headers):
        places = {
            name: [i for i, h in enumerate(headers) if h == name] for name in (*COLUMNS, *LOOKED_UP, "request_id")
        }
        # Of the upload's own columns several may be called so, where customer_id named its customers.
        roles = {name: _only(name, at, headers) for name, at in places.items() if name not in LOOKED_UP or len(at) == 1}
    else:
        if is_rejected_rows(headers):  # where a column of ours has the name, the upload's own got a prefix
            renamed = {n: f"input_{h}" if header_key(h) in _REJECTED_KEYS else h for n, h in renamed.items()}
        roles = {name: _find(name, headers, renamed) for name in COLUMNS}
        if roles["customer_id"] is None:
            roles |= {name: _find(name, headers, renamed) for name in LOOKED_UP}
    found = {name: index for name, index in roles.items() if index is not None}
    if not found.keys() & {"customer_id", *LOOKED_UP}:
        raise InputRefused(_without_customer(headers), told="no column names the customers")
    _refuse_slips(headers, found)
    return found


_ALSO_CALLED = {
    "period_name": ("cycle", "period"),
    "initial_balance": ("balance",),
    "reset_streak_status": ("reset",),
    "org_id": ("organisation", "organization"),
}
"""Words in headers that people choose for a column of ours."""


def likely_columns(headers: Sequence[str], roles: Mapping[str, int]) -> list[str]:
    """Return a remark about each column that is not read although its header sounds like one of ours."""
    return [
        f"the column {quoted(header)} is not read; if it is {name}, say so in input.columns"
        for index, header in enumerate(headers)
        for name, words in _ALSO_CALLED.items()
        if index not in roles.values() and name not in roles and any(word in header_key(header) for word in words)
    ]


def _find(name: str, headers: Sequence[str], renamed: Mapping[str, str]) -> int | None:
    if name not in renamed:
        taken = {header_key(header) for header in renamed.values()}
        key = name.replace("_", "")
        same = [i for i, h in enumerate(headers) if header_key(h) == key and key not in taken]
        return _only(name, same, headers)
    wanted = renamed[name]
    places = [i for i, h in enumerate(headers) if h == wanted.strip()] or [
        i for i, h in enumerate(headers) if header_key(h) == header_key(wanted)
    ]
    if not places:
        raise InputRefused(
            f"input.columns says that {name} is the column {quoted(wanted)}, which is not in the file; "
            f"its columns are {_listed(headers)}",
            told=f"it has no column as input.columns names it for {name}",
        )
    return _only(name, places, headers)


def _only(name: str, places: Sequence[int], headers: Sequence[str]) -> int | None:
    if len(places) > 1:
        which = " and ".join(f"{quoted(headers[i])} (column {i + 1})" for i in places)
        raise InputRefused(
            f"{len(places)} columns could be {name}: {which}; remove or rename all but one, "
            "or name one in input.columns",
            told=f"{len(places)} columns could be {name}",
        )
    return places[0] if places else None


def _without_customer(headers: Sequence[str]) -> str:
    return (
        f"no column customer_id, {', '.join(LOOKED_UP[:-1])} or {LOOKED_UP[-1]}; the columns are {_listed(headers)}: "
        "rename one, or say in input.columns which one names the customers"
    )


def _refuse_slips(headers: Sequence[str], found: Mapping[str, int]) -> None:
    taken = set(found.values())
    for name in COLUMNS:
        if name in found:
            continue
        for index, header in enumerate(headers):
            if index not in taken and _is_nearly(header_key(header), name.replace("_", "")):
                raise InputRefused(
                    f"column {quoted(header)} is almost {name} and would be ignored; name it {name}, "
                    "or something quite different if it is another thing",
                    told=f"the header of a column is almost {name}",
                )


def _is_nearly(key: str, name: str) -> bool:
    """Tell whether a header is `name` with a slip of the finger, or with a word of explanation as in "Org ID (5)"."""
    if re.split(r"[^0-9a-z]+", key.lstrip("*("))[0] == name:
        return True
    likeness = difflib.SequenceMatcher(None, key, name)
    return likeness.real_quick_ratio() >= _NEARLY and likeness.ratio() >= _NEARLY


def _listed(headers: Sequence[str], most: int = 20) -> str:
    names = [quoted(header) for header in headers if header]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) or "all blank"
