"""Before step 1: the keys that say who is told how a run went, and where its figures are written.

Owns the entries of `notify`, one class a kind, and `metrics`. Whom a message goes to may be a secret, and is never
shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, SecretStr, Tag, model_validator

from batch.config.addresses import read_mail_address, read_proxy, read_receiver_url
from batch.config.section import Section, key
from batch.config.values import Secret, Text, read_file, read_path, read_secret, read_whole, refuse
from batch.model import Occasion

_KIND = "`email`, `webhook` (signed JSON), `apprise` (chats and many more; an extra) or `heartbeat`"
_ON = "which endings are told: any of `start`, `done`, `partial`, `stopped`, `refused`, `recovered`; not for heartbeats"
_URL = (
    "webhook, heartbeat: `https://` and so on (a heartbeat gets it with `/start` and `/fail` too); "
    'apprise: its URL, as `"${NAME}"`'
)
_CA = "a PEM file of private root certificates"
_PROXY = "webhook, heartbeat: `http://host:port`"
_USUAL = ["done", "partial", "stopped", "refused", "recovered"]

Occasions = tuple[Occasion, ...]
Receiver = Annotated[SecretStr, BeforeValidator(read_receiver_url)]
MailAddress = Annotated[str, BeforeValidator(read_mail_address)]
CaBundle = Annotated[Path, BeforeValidator(read_file)]
Proxy = Annotated[SecretStr | None, BeforeValidator(read_proxy)]


def _not_empty(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if not addresses:
        raise refuse("names nobody; write at least one address")
    return addresses


class EmailSettings(Section):
    """Mail through a server that speaks TLS."""

    kind: Literal["email"] = key(..., _KIND)
    on: Occasions = key(_USUAL, _ON)
    to: Annotated[tuple[MailAddress, ...], AfterValidator(_not_empty)] = key(..., "email: the addresses, as a list")
    sender: MailAddress = key(..., "email: the address that it comes from", alias="from")
    host: Text = key(..., "email: the mail server; its certificate is always verified")
    port: Annotated[int, BeforeValidator(read_whole), Field(ge=1, le=65535)] | None = key(
        None, "email: its port; `null`: 587 for starttls, 465 for implicit"
    )
    tls: Literal["starttls", "implicit"] = key("starttls", "email: `starttls`, or `implicit` for TLS from the start")
    user: Text | None = key(None, "email: the user who logs in; `null`: no login")
    password: Secret | None = key(None, 'email: the password of `user`, as `"${NAME}"`')
    ca_bundle: CaBundle | None = key(None, _CA)

    @model_validator(mode="after")
    def _logs_in(self) -> EmailSettings:
        if (self.user is None) != (self.password is None):
            raise refuse("user and password go together; write both or neither")
        return self


class WebhookSettings(Section):
    """JSON, signed."""

    kind: Literal["webhook"] = key(..., _KIND)
    on: Occasions = key(_USUAL, _ON)
    url: Receiver = key(..., _URL)
    hmac_key: Secret = key(..., 'webhook: the key of the signature, as `"${NAME}"`')
    ca_bundle: CaBundle | None = key(None, _CA)
    proxy: Proxy = key(None, _PROXY)


class AppriseSettings(Section):
    """Whatever apprise speaks."""

    kind: Literal["apprise"] = key(..., _KIND)
    on: Occasions = key(_USUAL, _ON)
    url: Annotated[SecretStr, BeforeValidator(read_secret)] = key(..., _URL)


class HeartbeatSettings(Section):
    """A watchman who raises the alarm when he hears nothing."""

    kind: Literal["heartbeat"] = key(..., _KIND)
    url: Receiver = key(..., _URL)
    ca_bundle: CaBundle | None = key(None, _CA)
    proxy: Proxy = key(None, _PROXY)


NOTIFY: dict[str | int, type[Section]] = {
    "<email>": EmailSettings,
    "<webhook>": WebhookSettings,
    "<apprise>": AppriseSettings,
    "<heartbeat>": HeartbeatSettings,
}
"""The forms of an entry of `notify`, as pydantic's errors name them."""


def _kind(value: object) -> str:
    return f"<{value.get('kind') if isinstance(value, dict) else getattr(value, 'kind', None)}>"


Notify = Annotated[
    Annotated[EmailSettings, Tag("<email>")]
    | Annotated[WebhookSettings, Tag("<webhook>")]
    | Annotated[AppriseSettings, Tag("<apprise>")]
    | Annotated[HeartbeatSettings, Tag("<heartbeat>")],
    Discriminator(_kind),
]


def empty_for_null_list(value: object) -> Any:
    """Return an empty list for a list whose entries are all left out or commented out."""
    return [] if value is None else value


def _read_by_collectors(path: Path) -> Path:
    # A folder is passed on: whoever is to write the file says what is wrong with its place.
    if not path.name.endswith(".prom") and not path.is_dir():
        raise refuse("does not end in .prom, so the textfile collector would not read it; give it a name that does")
    return path


class MetricsSettings(Section):
    """Figures for a monitoring system."""

    textfile: Annotated[Path, BeforeValidator(read_path), AfterValidator(_read_by_collectors)] | None = key(
        None, "a file `NAME.prom` for the textfile collector of Prometheus; each config needs one of its own"
    )
