"""Before step 1: one text of a config file becomes a typed value, or a refusal that says what to write instead.

Owns the spelling of numbers, shares, rates, addresses and names of time zones and encodings. Each reader takes what
stands in the file (a text, None, a list or a group) and returns the value. A refusal never quotes the value, which
may have come from a secret: the line of the fault shows what was typed.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import zoneinfo
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from batch.config.text import quoted, unknown_key
from batch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?")
_TIME = re.compile(r"([0-9]{1,2}):([0-5][0-9])")
_DAY_S = 86_400
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_WINDOWS_NS = {"s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_RATE_FORMS = "write N/s, N/min, N/h or N/<seconds>s, such as 100/min, or none for no limit"


def refuse(what: str, *at: str | int) -> PydanticCustomError:
    """Return the error of a value; `at` leads from the group that is checked to the key that is wrong."""
    return PydanticCustomError("rule", "{what}", {"what": what, "at": at})


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `max_starts` starts in any window of `window_ns` nanoseconds."""

    max_starts: int
    window_ns: int


def parse_rate(text: str) -> Rate | None:
    """Return the rate that `N/s`, `N/min`, `N/h` or `N/<seconds>s` stands for; None for `none`: no limit.

    Raises: UsageError for anything else.
    """
    try:
        return read_rate(text)
    except PydanticCustomError as error:
        raise UsageError(f"the rate {quoted(text)} {error.message()}") from None


def read_rate(value: object) -> Rate | None:
    """Return a rate; None for null and `none`."""
    if value is None or value == "none":
        return None
    match = re.fullmatch(r"([0-9]{1,7})\s*/\s*(.+)", read_text_value(value).strip())
    if not match:
        raise refuse(f"is not a rate; {_RATE_FORMS}")
    window_ns = _WINDOWS_NS.get(match[2]) or _window_ns(match[2])
    if match[1].startswith("0") or not window_ns:
        raise refuse(f"is not a rate; {_RATE_FORMS}")
    return Rate(int(match[1]), window_ns)


def _window_ns(text: str) -> int:
    """Return the nanoseconds of `90s` or `0.5s`; 0 when it is neither."""
    seconds = text.removesuffix("s").strip()
    if not text.endswith("s") or not _DECIMAL.fullmatch(seconds):
        return 0
    return int(Fraction(seconds) * 10**9)


@dataclass(frozen=True, slots=True)
class DayWindow:
    """Hours of each day: from `opens_s` up to, and without, `closes_s`, seconds since midnight; also over midnight."""

    opens_s: int
    closes_s: int

    def __str__(self) -> str:
        return "-".join(f"{edge // 3600:02}:{edge % 3600 // 60:02}" for edge in (self.opens_s, self.closes_s))


def parse_time(text: str) -> int:
    """Return the seconds since midnight that `HH:MM` stands for; 24:00 is midnight.

    Raises: UsageError for anything else.
    """
    match = _TIME.fullmatch(text.strip())
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 if match else -1
    if not 0 <= seconds <= _DAY_S:
        raise UsageError(f"{quoted(text)} is not a time of day; write HH:MM, such as 06:00")
    return seconds % _DAY_S


def read_window(value: object) -> DayWindow | None:
    """Return hours of each day; None for null: at any time."""
    if value is None:
        return None
    opens, _, closes = read_text_value(value).partition("-")
    try:
        window = DayWindow(parse_time(opens), parse_time(closes))
    except UsageError:
        raise refuse("is no window; write HH:MM-HH:MM, such as 22:00-06:00, or null for any time") from None
    if window.opens_s == window.closes_s:
        raise refuse("opens and closes at the same time; write null for any time")
    return window


def read_text_value(value: object) -> str:
    """Return a single value that is not empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise refuse("is empty; write a value, or remove the line")
    if not isinstance(value, str):
        raise refuse("must be a single value, not a list or a group of keys")
    return value


def read_whole(value: object) -> int:
    """Return a whole number, which digits alone spell."""
    text = read_text_value(value).strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    if re.fullmatch(r"-?0[0-9]+", text):
        raise refuse("begins with a zero, which a number does not keep; write it without the zero")
    if re.fullmatch(r"-?[0-9]{19,}", text):
        raise refuse("is too large for a number; check it")
    raise refuse("is not a whole number; write digits only, such as 16")


def read_seconds(value: object) -> float:
    """Return a time in seconds."""
    text = read_text_value(value).strip()
    if not _DECIMAL.fullmatch(text):
        raise refuse("is not a number of seconds; write digits and at most one point, such as 30 or 0.5")
    return float(text)


def read_yes_or_no(value: object) -> bool:
    """Return a truth value."""
    word = read_text_value(value).strip().lower()
    if word not in {"true", "yes", "false", "no"}:
        raise refuse("is neither true nor false; write one of them")
    return word in {"true", "yes"}


def read_share(value: object) -> float:
    """Return a percentage as a share from 0 to 1.

    It is never below what was typed: so `count > share * total` does not hold at exactly that percentage, which the
    nearest float would do for some (29 > 0.29 * 100).
    """
    text = read_text_value(value).strip()
    number = text.removesuffix("%").strip()
    if not text.endswith("%") or not _DECIMAL.fullmatch(number) or Fraction(number) > 100:
        raise refuse("is not a percentage; write a number from 0 to 100 with a percent sign, such as 5%")
    exact = Fraction(number) / 100
    share = float(exact)
    return share if Fraction(share) >= exact else math.nextafter(share, 1)


def read_one_org(value: object) -> int:
    """Return the id of one organisation. Source: capillary-api facts §3; what several ids do is nowhere documented."""
    if isinstance(value, list) or (isinstance(value, str) and "," in value):
        raise refuse("must be one organisation; for several, put an org_id column into the file")
    return read_whole(value)


def read_data_scope(value: object) -> str:
    """Return a data scope; the choice between SELF and OTHER is checked by its type."""
    if value == "ALL":
        raise refuse("is refused by the API for enroll and unenroll (error 310141); write SELF, or OTHER with one org")
    return read_text_value(value)


def read_cycles_word(value: object) -> object:
    """Return the word that stands where a list of cycles may stand."""
    if value not in {"column", "api"}:
        raise refuse('is a single name where a list belongs; put it into [ ], or write column or a pattern with "{n}"')
    return value


def read_header_row(value: object) -> int | None:
    """Return the row of the headers, from 1; None for `auto`."""
    return None if value == "auto" else read_whole(value)


def read_encoding(value: object) -> str | None:
    """Return the name of a text encoding that Python knows; None for `auto`."""
    name = read_text_value(value)
    if name == "auto":
        return None
    try:
        " ".encode(name)  # also refuses codecs that are not of texts, such as base64
    except (LookupError, ValueError):
        raise refuse("is not a known encoding; write auto, or a name such as utf-8, utf-16 or cp1252") from None
    return name


def read_delimiter(value: object) -> str | None:
    """Return the one character between the fields of a CSV file; None for `auto`."""
    if value == "auto":
        return None
    if not isinstance(value, str):
        return read_text_value(value)
    character = _DELIMITERS.get(value, value)
    if len(character) != 1 or character in '"\r\n' or character.isalnum():
        raise refuse("is not a delimiter; write auto, comma, semicolon, tab, pipe, or one other sign in quotes")
    return character


def read_country_code(value: object) -> str | None:
    """Return the digits of a country code, with or without `+`; None for none."""
    if value is None:
        return None
    digits = read_text_value(value).removeprefix("+")
    if not re.fullmatch(r"[1-9][0-9]{0,2}", digits):
        raise refuse("is no country code; write one to three digits, such as 91")
    return digits


def read_time_zone(value: object) -> str:
    """Return the name of a time zone that this machine knows. UTC needs no time zone database."""
    name = read_text_value(value)
    try:
        if name != "UTC":
            zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise refuse(f"is not a known time zone; {_zone_advice(name)}") from None
    return name


def _zone_advice(name: str) -> str:
    """Return what to write instead of a name that is no time zone."""
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    if not known:
        return "this machine has no time zone database: install the package tzdata, or write UTC"
    typed = name.strip().lower().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    near = difflib.get_close_matches(typed, [*known, *cities], 1)
    if near:
        return f"did you mean {known[cities.get(near[0], near[0])]}?"
    return "write a name such as UTC, Europe/Berlin or Asia/Kolkata"


def read_secret(value: object) -> SecretStr:
    """Return a secret, which must not be empty."""
    if value == "":
        raise refuse("stands for an empty text; give the variable, file or keyring entry its value")
    return SecretStr(read_text_value(value))


def read_md5(value: object) -> SecretStr:
    """Return the MD5 of a till's password as 32 lower-case hex digits."""
    text = read_text_value(value).strip()
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise refuse("is not an MD5: it has 32 hex digits; write the password under password instead")
    return SecretStr(text.lower())


def md5_of(password: str) -> str:
    """Return what the API takes for a till's password, lower-case hex.

    Source: docs.capillarytech.com/reference/basic-authentication.
    """
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


def known_name(known: tuple[str, ...]) -> Callable[[str], str]:
    """Return the reader of a name in a mapping whose names are a closed list."""

    def read_name(name: str) -> str:
        if name not in known:
            raise refuse(unknown_key(name, known))
        return name

    return read_name


def read_path(value: object, info: ValidationInfo) -> Path:
    """Return an absolute path; a relative one counts from the working directory."""
    text = read_text_value(value)
    if "\0" in text:
        raise refuse("is not a path; remove the character 0")
    context: Any = info.context
    working_dir: Path = context["working_dir"]
    return (working_dir / text).absolute()


def read_file(value: object, info: ValidationInfo) -> Path:
    """Return the absolute path of a file that is there."""
    path = read_path(value, info)
    if not path.is_file():
        raise refuse("is not there, or is no file; check the path, which counts from the working directory")
    return path


def empty_for_null(value: object) -> object:
    """Return an empty group for a group whose keys are all left out or commented out."""
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(read_text_value)]
Seconds = Annotated[float, BeforeValidator(read_seconds), Field(gt=0)]
Natural = Annotated[int, BeforeValidator(read_whole), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(read_whole), Field(ge=1)]
YesOrNo = Annotated[bool, BeforeValidator(read_yes_or_no)]
Share = Annotated[float, BeforeValidator(read_share)]
Secret = Annotated[SecretStr, BeforeValidator(read_secret)]
