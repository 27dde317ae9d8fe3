"""Step 3 of 5: read the vendor's envelope out of the bytes of an answer.

Owns the shapes that the API's pages show (`data`, `errors`, `warnings`, and the older `response.status`) and makes
text from outside fit for a report. Never raises, whatever the bytes are. Does not know what a code means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

TEXT_LIMIT: Final = 500
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class ApiError:
    """One entry of `errors`: its code (None where it is missing or no whole number) and its message, cleaned."""

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body of the vendor. `errors` leaves out code 0, which stands for no error; `warnings` is one line of text.

    Source: the samples of the enroll page; code 0: github.com/Capillary/api-documentation, delete target group.
    """

    data: object
    errors: tuple[ApiError, ...]
    warnings: str


def read_json(body: bytes) -> object:
    """Return what the JSON in `body` says.

    Raises:
        ValueError: it is no JSON, as with NaN in it, or too deep; or a key is repeated, so that a value would be lost.
    """
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_envelope(body: bytes) -> Envelope | None:
    """Return the envelope in `body`, or None where it holds none: no JSON, not the vendor's, or ambiguous.

    Ambiguous is what `read_json` refuses.
    """
    try:
        parsed = read_json(body)
    except ValueError:
        return None
    if not isinstance(parsed, dict):
        return None
    status = _older_status(parsed)
    if status is None and not {"data", "errors", "warnings"} & parsed.keys():
        return None
    errors = [_error(item) for item in _items(parsed.get("errors"))]
    if status is not None:
        errors.append(status)
    warnings = (_error(item) for item in _items(parsed.get("warnings")))
    return Envelope(
        data=parsed.get("data"),
        errors=tuple(error for error in errors if error.code != 0),
        warnings=clean("; ".join(f"{w.code}: {w.message}" if w.code is not None else w.message for w in warnings)),
    )


def is_customer(data: object, customer: int | str) -> bool:
    """Whether `data` is this customer's id, as a whole number or in digits.

    Source: the enroll page; its samples use a number, its form a string.
    """
    if isinstance(data, str):
        return data.isascii() and data.isdigit() and len(data) < 20 and int(data) == customer
    return isinstance(data, int) and not isinstance(data, bool) and data == customer


def clean(text: str) -> str:
    """Return `text` on one line, without control characters or lone surrogates, at most TEXT_LIMIT characters."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * TEXT_LIMIT])
    return " ".join(printable.split())[:TEXT_LIMIT]


def raw_text(body: bytes) -> str:
    """Return the beginning of a body that is no envelope as text for a person."""
    return clean(body[: 4 * TEXT_LIMIT].decode("utf-8", errors="replace"))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _items(value: object) -> list[object]:
    """Return what stands in `errors` or `warnings` as a list; anything but null and a list counts as one entry."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _error(item: object) -> ApiError:
    if not isinstance(item, dict):
        return ApiError(None, _text(item))
    return ApiError(_whole_number(item.get("code")), _text(item.get("message")))


def _older_status(parsed: dict[str, object]) -> ApiError | None:
    """Return the status of the v1.1 envelope as an error, code 0 where it reports success; None without one.

    Source: docs.capillarytech.com/reference/oauth, older copy. `success` says "true" beside 401, so it is not read.
    """
    response = parsed.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    if not isinstance(status, dict):
        return None
    error = _error(status)
    return ApiError(0, "") if error.code is not None and 200 <= error.code < 300 else error


def _whole_number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def _text(value: object) -> str:
    if isinstance(value, str):
        return clean(value)
    return str(value)[:TEXT_LIMIT] if isinstance(value, (int, float)) else ""
