"""Which API a run talks to, and with which credentials; starts the simulated one where the config says `sandbox`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.capillary.auth import BasicAuth, OAuth
from batch.capillary.client import Address
from batch.capillary.transport import tls_context
from batch.config import BasicSettings, OAuthSettings
from batch.errors import ConfigError
from batch.sandbox.access import Credentials
from batch.sandbox.embedded import Embedded
from batch.sandbox.switches import parse_switches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from batch.config import Settings
    from batch.run.opening import OpenRun

SANDBOX_STATE = "sandbox.sqlite"
"""The simulated API's own memory, in the run's folder, so that a resume meets the same API again."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a run. `gone` says why it can never answer again, None as long as it may."""

    address: Address
    credentials: BasicAuth | OAuth
    gone: Callable[[], str | None]


def check_api(settings: Settings) -> None:
    """Check what can be checked of the API's settings without talking to it.

    Raises:
        UsageError: a switch of the embedded API is unknown or has a wrong value.
        ConfigError: `api.ca_bundle` cannot be used.
    """
    if settings.uses_sandbox:
        parse_switches(settings.sandbox)
    elif settings.api.ca_bundle:
        tls_context(_address(settings, settings.api.base_url))


@contextmanager
def api_of(run: OpenRun) -> Iterator[Api]:
    """Give the run's API for as long as the block lasts.

    Raises:
        ConfigError: no credentials for a real API, or `check_api` finds something.
        EnrollBatchError: the simulated API does not start.
    """
    with api_at(run.settings, run.folder) as api:
        yield api


@contextmanager
def api_at(settings: Settings, folder: Path) -> Iterator[Api]:
    """Give the API of a config; the embedded one keeps its memory in `folder`. Raises as `api_of`."""
    check_api(settings)
    credentials = _credentials(settings)
    if settings.api.base_url != "sandbox":
        if credentials is None:
            raise ConfigError("auth: is missing; a real API needs it")
        yield Api(_address(settings, settings.api.base_url), credentials, lambda: None)
        return
    credentials = credentials or OAuth(key="sandbox", secret=secrets.token_hex(16))
    with Embedded(folder / SANDBOX_STATE, settings.sandbox, _accepted(credentials)) as api:
        yield Api(_address(settings, api.url), credentials, api.gone)


def _credentials(settings: Settings) -> BasicAuth | OAuth | None:
    match settings.auth:
        case OAuthSettings(key=key, secret=secret):
            return OAuth(key.get_secret_value(), secret.get_secret_value())
        case BasicSettings(till=till, password_md5=password_md5):
            return BasicAuth(till, password_md5.get_secret_value())
    return None


def _accepted(credentials: BasicAuth | OAuth) -> Credentials:
    if isinstance(credentials, OAuth):
        return Credentials(key=credentials.key, secret=credentials.secret)
    return Credentials(till=credentials.till, password_md5=credentials.password_md5)


def _address(settings: Settings, base_url: str) -> Address:
    api = settings.api
    return Address(
        base_url=base_url,
        path_prefix=api.path_prefix,
        version=api.version,
        connect_timeout_s=api.connect_timeout_s,
        read_timeout_s=api.read_timeout_s,
        ca_bundle=api.ca_bundle,
        proxy=api.proxy.get_secret_value() if api.proxy else None,
    )
