"""The simulated API's switches: all that the vendor's pages leave open, and the faults.

Owns names, types, defaults and one line of help for each; says which are documented and which are assumptions.
Pure: it knows no server.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, NamedTuple, get_type_hints

from batch.errors import UsageError
from batch.sandbox import readers
from batch.sandbox.faults import FAULTS, Dose, Fault
from batch.sandbox.readers import Latency, Statuses  # noqa: TC001 - get_type_hints looks them up

STANDALONE_LIMIT_PER_MIN = 100
"""The limit of `enroll-batch sandbox` where none is set. Source: docs.capillarytech.com/reference/rate-limits."""


class RetryAfter(StrEnum):
    """Which Retry-After header a refusal for the limit carries."""

    NONE = "none"
    SECONDS = "seconds"
    HTTP_DATE = "http-date"
    FLOAT = "float"
    PAST = "past"
    GARBAGE = "garbage"


class LimitBody(StrEnum):
    """Which body a refusal for the limit carries."""

    ENVELOPE = "envelope"
    HTML = "html"
    EMPTY = "empty"


class LimitHeaders(StrEnum):
    """Which headers tell what is left of the limit."""

    NONE = "none"
    RATELIMIT = "ratelimit"
    X_RATELIMIT = "x-ratelimit"


class TwoRecords(StrEnum):
    """What is done with a body of several records."""

    REFUSE = "refuse"
    FIRST = "first"
    ALL = "all"


class MissingPeriod(StrEnum):
    """How a milestone enroll without a period name is answered."""

    INVALID_INPUT = "300004"
    NOT_FOUND = "310019"
    CURRENT = "current"


class Lenience(StrEnum):
    """Whether something that should not be there is ignored or refused."""

    IGNORE = "ignore"
    REFUSE = "refuse"


class Switch(NamedTuple):
    """What a switch means, what may stand there, how it is read, and whether the vendor documents it.

    `values` and `read` left out: as the type of the field says.
    """

    help_text: str
    values: str = ""
    read: Callable[[str], object] | None = None
    documented: bool = False
    none: str = "none"
    """How None is written."""


@dataclass(frozen=True, slots=True)
class Switches:
    """How this API behaves. Source: the vendor's pages where documented, else assumptions that can be changed."""

    limit_per_min: Annotated[
        int | None,
        Switch(
            f"calls a key may make in a minute (`enroll-batch sandbox` sets {STANDALONE_LIMIT_PER_MIN}); "
            "refused calls are not counted",
            "N, none",
            readers.positive_or_none,
            documented=True,
        ),
    ] = None
    limit_window_s: Annotated[
        float, Switch("the sliding window that the limit is kept in: 1 makes 3600 a minute 60 a second", "SECONDS")
    ] = 60.0
    limit_body: Annotated[LimitBody, Switch("body of a 429: none is documented")] = LimitBody.ENVELOPE
    limit_headers: Annotated[LimitHeaders, Switch("headers that tell what is left of the limit")] = LimitHeaders.NONE
    retry_after: Annotated[RetryAfter, Switch("Retry-After of a 429 and of error_503: none is documented")] = (
        RetryAfter.NONE
    )
    cascade: Annotated[
        bool, Switch("enrolling into a cycle enrols into all later ones: two pages of the vendor contradict each other")
    ] = False
    status: Annotated[
        Statuses,
        Switch(
            "HTTP status of refusals by code, for instance `310119:409 310011:404`; else 200 for what is not found "
            "(310011, 310017, 310018, 310019, 8015), 401 for 320001, 403 for 4000, 503 for 4001, 400 for the rest",
            "CODE:STATUS ...",
            readers.statuses,
        ),
    ] = readers.AS_USUAL
    success_status: Annotated[int, Switch("HTTP status of a success: 200 or 201", "STATUS", readers.http_status)] = 200
    two_records: Annotated[TwoRecords, Switch("a body of several records: 300004, or which are applied")] = (
        TwoRecords.REFUSE
    )
    unenroll_of_non_member: Annotated[
        int | None,
        Switch(
            "unEnroll of a customer who is not enrolled", "CODE, success", readers.code_or("success"), none="success"
        ),
    ] = 310149
    ended_cycle: Annotated[
        int | None,
        Switch("enroll into a cycle that is over", "CODE, accept", readers.code_or("accept"), none="accept"),
    ] = None
    missing_period: Annotated[
        MissingPeriod, Switch("milestone enroll without a period name: a code, or the current cycle (else the next)")
    ] = MissingPeriod.INVALID_INPUT
    period_on_streak: Annotated[Lenience, Switch("period name on a streak enroll: ignored, or 300004")] = (
        Lenience.IGNORE
    )
    period_ignores_case: Annotated[bool, Switch("period names compare without case")] = False
    negative_balance: Annotated[Lenience, Switch("negative initialBalance: taken as it is, or 300004")] = (
        Lenience.REFUSE
    )
    several_orgs: Annotated[
        Lenience, Switch("several ids in DATA-SCOPE-ORG: all but the first ignored, or refused")
    ] = Lenience.REFUSE
    bad_scope_code: Annotated[
        int, Switch("code for OTHER without an org, for malformed ids and for unknown scopes", "CODE")
    ] = 310144
    basic_auth: Annotated[bool, Switch("Basic authentication is allowed", documented=True)] = True
    access: Annotated[bool, Switch("the credentials may enroll; else 403 with code 4000", documented=True)] = True
    token_ttl_s: Annotated[float, Switch("how long a token lives", "SECONDS", documented=True)] = 300.0
    revoke_tokens_at: Annotated[
        int | None,
        Switch(
            "all tokens are revoked when the N-th enroll or unEnroll call arrives", "N, none", readers.positive_or_none
        ),
    ] = None
    virtual_rows: Annotated[
        bool, Switch("users/{id}/targetGroups lists cycles without enrolment, with targetId null")
    ] = True
    preload: Annotated[
        bool,
        Switch(
            "customers ending in 07 or 57 are enrolled in every milestone cycle; those ending in 11 or 61 once were "
            "(with 120 in each, and 3 in the streak)"
        ),
    ] = True
    latency_ms: Annotated[Latency, Switch("how long each call takes", "MS, LEAST-MOST", readers.latency)] = (
        readers.AT_ONCE
    )
    hang_s: Annotated[float, Switch("how long hang_before and hang_after last", "SECONDS")] = 3600.0
    drip_ms: Annotated[float, Switch("pause after each byte of drip", "MS")] = 1000.0
    huge_mb: Annotated[int, Switch("size of huge_body and endless_headers", "MB")] = 64
    seed: Annotated[int, Switch("start of the draws for faults and latency")] = 1
    faults: tuple[Dose, ...] = ()

    def status_of(self, code: int) -> int:
        """Return the HTTP status under which the refusal `code` is sent."""
        for overridden, status in self.status.pairs:
            if overridden == code:
                return status
        return _STATUS_OF.get(code, 400)


_STATUS_OF = {310011: 200, 310017: 200, 310018: 200, 310019: 200, 8015: 200, 320001: 401, 4000: 403, 4001: 503}
_FAULTS = tuple(fault for fault in Fault if fault is not Fault.OK)
_FAULT_VALUES = '"3%", "0.03", "first 10" or "3% of first 200"'
_WIDTH = 78
"""Of the help, which the command line indents by two."""
_DOSE = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\s*(%)?)?(?:(?:^|\s+of\s+)first\s+(\d+))?")


def _complete(hint: type, switch: Switch) -> Switch:
    """Return the switch with values and reader from its type, where it names none."""
    if issubclass(hint, StrEnum):
        return switch._replace(values=", ".join(hint), read=hint)
    read, values = {bool: (readers.boolean, "true, false"), int: (readers.count, "N"), float: (readers.duration, "")}[
        hint
    ]
    return switch._replace(values=switch.values or values, read=read)


_SWITCHES: dict[str, Switch] = {
    name: switch if (switch := hint.__metadata__[0]).read else _complete(hint.__origin__, switch)
    for name, hint in get_type_hints(Switches, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
SWITCH_NAMES: tuple[str, ...] = (*_SWITCHES, *_FAULTS)


def parse_switches(pairs: Mapping[str, str]) -> Switches:
    """Return the switches that `pairs` (name -> text, as typed) set; what is not named keeps its default.

    Raises: UsageError for an unknown name (with the nearest one), an unreadable value, or faults whose shares
    come to more than the whole.
    """
    values: dict[str, object] = {}
    doses: list[Dose] = []
    for name, text in pairs.items():
        if name in _SWITCHES:
            values[name] = _read(name, text)
        elif name in _FAULTS:
            doses.append(_dose(Fault(name), text))
        else:
            near = difflib.get_close_matches(name, SWITCH_NAMES, n=1)
            hint = f'did you mean "{near[0]}"?' if near else "`enroll-batch sandbox --help` lists them"
            raise UsageError(f'sandbox: there is no switch "{name}"; {hint}')
    most = max((sum(d.share for d in doses if _strikes(d, n)) for n in _edges(doses)), default=0.0)
    if most > 1 + 1e-9:
        names = ", ".join(dose.fault for dose in doses)
        raise UsageError(f"sandbox: the shares of {names} come to {most:.0%} of some calls; lower them to 100% or less")
    return Switches(**values, faults=tuple(doses))  # type: ignore[arg-type]


def _read(name: str, text: str) -> object:
    switch = _SWITCHES[name]
    try:
        return switch.read(text.strip()) if switch.read else text
    except ValueError:
        raise UsageError(f'sandbox switch {name}: "{text}" is not one of: {switch.values}') from None


def _dose(fault: Fault, text: str) -> Dose:
    match = _DOSE.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise UsageError(f'sandbox switch {fault}: "{text}" is not a share of the calls; write {_FAULT_VALUES}')
    number, percent, first = match.groups()
    share = float(number or 1) / (100 if percent else 1)
    if share > 1:
        raise UsageError(f'sandbox switch {fault}: "{text}" is more than all calls; write {_FAULT_VALUES}')
    return Dose(fault, share, int(first) if first else None)


def _strikes(dose: Dose, call: int) -> bool:
    return dose.first is None or call <= dose.first


def _edges(doses: list[Dose]) -> set[int]:
    """Return a call number from each stretch over which the same doses are at work."""
    return {1} | {dose.first + 1 for dose in doses if dose.first is not None}


def switches_help() -> str:
    """Return one paragraph a switch: name, values, default, meaning, and whether it is documented or assumed."""
    defaults = Switches()
    lines = ["Switches (--set NAME=VALUE); [D] is documented, [A] an assumption of ours:", ""]
    for name, switch in _SWITCHES.items():
        lines.append(f"  {name}={_shown(getattr(defaults, name), switch)}  ({switch.values})")
        text = f"[{'D' if switch.documented else 'A'}] {switch.help_text}"
        lines.append(textwrap.fill(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 10))
    lines += ["", "Faults of enroll and unEnroll calls, by default never; a value is", f"{_FAULT_VALUES}:", ""]
    for fault in _FAULTS:
        first = f"  {fault:<20}"
        lines.append(textwrap.fill(FAULTS[fault].help_text, _WIDTH, initial_indent=first, subsequent_indent=" " * 22))
    return "\n".join(lines)


def _shown(default: object, switch: Switch) -> str:
    if default is None:
        return switch.none
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )
