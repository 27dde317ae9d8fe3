"""Before step 1: one text of a config file becomes a typed value, or a refusal that says what to write instead.

Owns the spelling of numbers, shares, secrets, paths and other single values. Each reader takes what stands in the file
(a text, None, a list or a group) and returns the value. A refusal never quotes the value, which may have come from a
secret: the line of the fault shows what was typed.
"""

from __future__ import annotations

import hashlib
import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from batch.config.text import unknown_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
DECIMAL = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?")
"""A number with or without a point, as it is spelled."""
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


def refuse(what: str, *at: str | int) -> PydanticCustomError:
    """Return the error of a value; `at` leads from the group that is checked to the key that is wrong."""
    return PydanticCustomError("rule", "{what}", {"what": what, "at": at})


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
    raise refuse("is not a whole number; write one without separators and decimals, such as 16")


def read_seconds(value: object) -> float:
    """Return a time in seconds."""
    text = read_text_value(value).strip()
    if not DECIMAL.fullmatch(text):
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
    if not text.endswith("%") or not DECIMAL.fullmatch(number) or Fraction(number) > 100:
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
        raise refuse("is no country code in digits; write one to three, such as 91 for India")
    return digits


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
