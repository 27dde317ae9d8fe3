"""A plain client of the simulated API, as a customer's own script would have one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Caller:
    """Calls one simulated API with Basic credentials; `post` and `get` take paths or build them."""

    def __init__(self, url: str, auth: tuple[str, str] | None) -> None:
        self.http = httpx.Client(base_url=url, auth=auth, timeout=30)

    def send(
        self,
        action: str,
        record: object,
        *,
        group: object = 29463,
        target: object = 5512,
        version: str = "v3.1",
        prefix: str = "",
        **headers: str,
    ) -> httpx.Response:
        path = f"{prefix}/{version}/targetGroups/{group}/targets/{target}/{action}"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(path, json=record, headers=names)

    def enroll(self, customer: object, period: str | None = "PERIOD_G_29463_1", **rest: Any) -> httpx.Response:
        balance = {"initialBalance": rest.pop("balance")} if "balance" in rest else {}
        reset = {"resetStreakStatus": rest.pop("reset")} if "reset" in rest else {}
        named = {} if period is None else {"periodName": period}
        return self.send("enroll", [{"customerId": customer, **named, **balance, **reset}], **rest)

    def unenroll(self, customer: object, **rest: Any) -> httpx.Response:
        return self.send("unEnroll", [{"customerId": customer}], **rest)


def code_of(response: httpx.Response) -> int | None:
    """The vendor's code in the body, None for a success."""
    errors = response.json()["errors"]
    return errors[0]["code"] if errors else None


@pytest.fixture
def call() -> Iterator[Callable[..., Caller]]:
    """Return a factory: `call(api)` is a client with Basic credentials, `call(api, auth=None)` one without."""
    with contextlib.ExitStack() as stack:

        def connect(api: Any, **given: Any) -> Caller:
            right = (api.credentials.till, api.credentials.password_md5)
            caller = Caller(api.url, given.get("auth", right))
            stack.callback(caller.http.close)
            return caller

        yield connect


@pytest.fixture
def code() -> Callable[[httpx.Response], int | None]:
    """Return the function that reads the vendor's code out of an answer."""
    return code_of
