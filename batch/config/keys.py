"""Before step 1: the keys of a config file, their types, defaults and meaning.

Owns the shape of Settings and the rules within one group of keys; `campaign`, `pacing` and `telling` own theirs. It
does not know files, lines or the environment, nor what is done with a setting: `run` hands each room the values that it
needs. Secrets are never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, SecretStr, Tag, model_validator

from batch.config.addresses import SANDBOX, read_base_url, read_path_prefix, read_proxy
from batch.config.campaign import CampaignSettings
from batch.config.pacing import PacingSettings
from batch.config.section import Section
from batch.config.section import key as _key
from batch.config.telling import MetricsSettings, Notify, empty_for_null_list
from batch.config.values import (
    Natural,
    Positive,
    Seconds,
    Secret,
    Share,
    Text,
    YesOrNo,
    empty_for_null,
    known_name,
    md5_of,
    read_country_code,
    read_data_scope,
    read_delimiter,
    read_encoding,
    read_file,
    read_header_row,
    read_md5,
    read_one_org,
    read_path,
    refuse,
)
from batch.model import Outcome

COLUMN_NAMES = (
    "customer_id", "mobile", "email", "external_id", "period_name", "initial_balance", "reset_streak_status",
    "target_group_id", "target_id", "org_id", "action",
)  # fmt: skip
"""What a column of an upload can mean."""
GUARD_NAMES = (*(outcome.value for outcome in Outcome), "failed")


class ApiSettings(Section):
    """Where the API is, and how long to wait for it."""

    base_url: Annotated[str, BeforeValidator(read_base_url)] = _key(
        ..., "where the API is: `https://` and its host, or `sandbox` for the simulated API"
    )
    path_prefix: Annotated[str, BeforeValidator(read_path_prefix)] = _key(
        "", "what stands before the version, such as `/api_gateway/intouch-api-v3`; not used for tokens and look-ups"
    )
    version: Literal["v3.1", "v3"] = _key("v3.1", "`v3.1` (connected organisations) or `v3`")
    connect_timeout_s: Seconds = _key("5", "seconds to wait for a connection")
    read_timeout_s: Seconds = _key("30", "seconds to wait for an answer; short ones make requests doubtful")
    ca_bundle: Annotated[Path, BeforeValidator(read_file)] | None = _key(
        None, "a PEM file of private root certificates"
    )
    proxy: Annotated[SecretStr | None, BeforeValidator(read_proxy)] = _key(None, "`http://host:port`")


class OAuthSettings(Section):
    """Credentials of an API client."""

    kind: Literal["oauth"] = _key(..., "`oauth` (key and secret) or `basic` (till and password)")
    key: Secret = _key(..., 'oauth: the API client\'s key, as `"${NAME}"`')
    secret: Secret = _key(..., 'oauth: the API client\'s secret, as `"${NAME}"`')


class BasicSettings(Section):
    """Credentials of a till. After loading only the MD5 of its password is left."""

    kind: Literal["basic"] = _key(..., "`oauth` (key and secret) or `basic` (till and password)")
    till: Text = _key(..., "basic: the till's id")
    password: Secret | None = _key(None, 'basic: the till\'s password, as `"${NAME}"`; it leaves only as its MD5')
    password_md5: Annotated[SecretStr, BeforeValidator(read_md5)] = _key(
        ..., 'basic: instead of the password, its MD5 (32 hex digits), as `"${NAME}"`'
    )

    @model_validator(mode="before")
    @classmethod
    def _hash_password(cls, values: dict[str, object]) -> dict[str, object]:
        password = values.get("password")
        if (password is None) == (values.get("password_md5") is None):
            raise refuse("needs either password or password_md5, and only one of them")
        if password is None:
            return values
        left = None if password and isinstance(password, str) else password  # to be refused under its own name
        return {**values, "password": left, "password_md5": md5_of(str(password))}


def _auth_kind(value: object) -> str:
    return f"<{value.get('kind') if isinstance(value, dict) else getattr(value, 'kind', None)}>"


Auth = Annotated[
    Annotated[OAuthSettings, Tag("<oauth>")] | Annotated[BasicSettings, Tag("<basic>")], Discriminator(_auth_kind)
]


class ScopeSettings(Section):
    """The organisation that requests are for."""

    data_scope: Annotated[Literal["SELF", "OTHER"], BeforeValidator(read_data_scope)] = _key(
        "SELF", "`SELF`, or `OTHER` with one org; an `org_id` column means `OTHER`"
    )
    org: Annotated[int, BeforeValidator(read_one_org), Field(ge=1)] | None = _key(
        None, "with `OTHER`: the id of the connected organisation"
    )

    @model_validator(mode="after")
    def _org_fits(self) -> ScopeSettings:
        if self.data_scope == "OTHER" and self.org is None:
            raise refuse("is needed with data_scope: OTHER; write the id of the connected organisation", "org")
        if self.data_scope == "SELF" and self.org is not None:
            raise refuse("is only for data_scope: OTHER; write that, or remove org", "org")
        return self


class InputSettings(Section):
    """How uploads are read."""

    columns: Annotated[
        Mapping[Annotated[str, AfterValidator(known_name(COLUMN_NAMES))], Text], BeforeValidator(empty_for_null)
    ] = _key({}, "our name: the file's header, such as `{customer_id: Member ID}`")
    sheet: Text | None = _key(None, "the sheet of a workbook; `null`: the only one")
    header_row: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(read_header_row)] = _key(
        "auto", "the row of the headers, from 1, or `auto`"
    )
    encoding: Annotated[str | None, BeforeValidator(read_encoding)] = _key("auto", "of a text file, such as `cp1252`")
    delimiter: Annotated[str | None, BeforeValidator(read_delimiter)] = _key(
        "auto", "`comma`, `semicolon`, `tab`, `pipe` or one other sign in quotes"
    )
    period_separator: Text | None = _key(None, "what stands between several cycles in one cell")
    country_code: Annotated[str | None, BeforeValidator(read_country_code)] = _key(
        None, "of mobile numbers without one, such as `91`; `null`: every number has its own"
    )
    look_up_source: Literal["INSTORE", "ECOMMERCE", "WEBSITE", "ALL"] = _key(
        "INSTORE", "where customers named by mobile, e-mail or external id were registered"
    )
    max_problems: Share = _key("5%", "share of rows with problems above which nothing is sent")


class RetrySettings(Section):
    """How often and when a request is tried again."""

    attempts: Positive = _key("5", "attempts for one request, the first included")
    base_s: Seconds = _key("0.5", "seconds before the second attempt; doubled for each further one")
    max_s: Seconds = _key("60", "the longest such wait, in seconds")
    outage_s: Seconds = _key("3600", "seconds that an API that has answered before is waited for")
    in_doubt: Literal["resend", "verify", "leave"] = _key(
        "resend",
        "a plain enroll that may have been applied: `resend` it, `verify` it by asking the API, or `leave` it; "
        "anything else is always verified",
    )


class GuardSettings(Section):
    """When a run stops by itself."""

    canary: Natural = _key("0", "requests of a sample that goes first; then the run waits for your go-ahead; `0`: none")
    stop_when: Annotated[
        Mapping[Annotated[str, AfterValidator(known_name(GUARD_NAMES))], Share], BeforeValidator(empty_for_null)
    ] = _key(
        {"invalid_user": "50%", "failed": "20%"},
        "outcome: share of the last `minimum` requests above which the run stops; `failed` counts all that need a fix "
        "of the setup, a retry or a look",
    )
    minimum: Positive = _key("200", "requests that must have ended before a guard may stop the run")


class ReportSettings(Section):
    """Where the run's folder lies."""

    dir: Annotated[Path, BeforeValidator(read_path)] = _key("reports", "the folder of the runs' folders")
    mask_customers: YesOrNo = _key(
        "false",
        "whether workbook, page and log show a keyed hash for each customer id; "
        "the CSV files and annotated.xlsx keep the ids",
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What settings were made from: the text of the config, secrets unresolved, and where its relative paths begin."""

    text: str
    working_dir: Path


class Settings(Section):
    """One config file: everything that a run needs to know, validated and frozen."""

    _origin: Origin = PrivateAttr(default_factory=lambda: Origin("", Path.cwd()))

    api: Annotated[ApiSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    auth: Auth | None = _key(None, "")
    scope: Annotated[ScopeSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    campaign: Annotated[CampaignSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    input: Annotated[InputSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    pacing: Annotated[PacingSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    retry: Annotated[RetrySettings, BeforeValidator(empty_for_null)] = _key({}, "")
    guard: Annotated[GuardSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    report: Annotated[ReportSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    ledger: Text = _key("sqlite", "where the record of a run is kept; a shared database is for later")
    inbox: Text | None = _key(None, "the folder that `nightly` takes files from: a path, `s3://…` or `sftp://…`")
    notify: Annotated[tuple[Notify, ...], BeforeValidator(empty_for_null_list)] = _key(
        [], "who is told how a run went: a list; each entry has a kind and the keys below"
    )
    metrics: Annotated[MetricsSettings, BeforeValidator(empty_for_null)] = _key({}, "")
    sandbox: Annotated[Mapping[str, Text], BeforeValidator(empty_for_null)] = _key(
        {}, "with `base_url: sandbox`: switches of the simulated API (`enroll-batch sandbox --help` lists them)"
    )

    @property
    def origin(self) -> Origin:
        """What they were made from: whoever goes on later with the same settings keeps that."""
        return self._origin

    def model_post_init(self, context: Any, /) -> None:
        """Take what the config was read from, where it is read from one."""
        if context:
            self._origin = Origin(context["text"], context["working_dir"])

    @property
    def uses_sandbox(self) -> bool:
        """Whether the simulated API is started for the run."""
        return self.api.base_url == SANDBOX
