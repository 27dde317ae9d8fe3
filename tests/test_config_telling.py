"""Who is told, and where figures go: the entries of `notify`, and `metrics`."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.config import (
    AppriseSettings,
    EmailSettings,
    HeartbeatSettings,
    Settings,
    WebhookSettings,
    load_settings,
    settings_table,
)
from batch.errors import ConfigError
from batch.model import Occasion

HIDDEN = "hunter2"
ENVIRON = {"SECRET": HIDDEN, "URL": f"https://hooks.example/{HIDDEN}"}
MAIL = "kind: email, to: [ops@example.com], from: batch@example.com, host: mail.example.com"


def load(text: str, *, with_secrets: bool = True, environ: dict[str, str] | None = None) -> Settings:
    return load_settings(
        Path("may.yaml"),
        with_secrets=with_secrets,
        working_dir=Path("/work-dir"),
        environ=ENVIRON if environ is None else environ,
        text=f"api: {{base_url: sandbox}}\n{text}\n",
    )


def notify(*entries: str) -> str:
    return "notify:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries)


def refusal(text: str, *, with_secrets: bool = True) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, with_secrets=with_secrets)
    assert HIDDEN not in caught.value.text
    return [line.removeprefix("may.yaml (as kept with the run), ") for line in caught.value.text.splitlines()]


def test_each_kind_has_its_keys() -> None:
    settings = load(
        notify(
            MAIL + ', user: me, password: "${SECRET}", tls: implicit, port: 2465, on: [start, done]',
            'kind: webhook, url: "${URL}", hmac_key: "${SECRET}"',
            'kind: apprise, url: "${URL}"',
            'kind: heartbeat, url: "https://watch.example/${SECRET}"',
        )
    )
    mail, webhook, chat, heartbeat = settings.notify
    assert isinstance(mail, EmailSettings)
    assert (mail.to, mail.sender, mail.host, mail.port) == (
        ("ops@example.com",), "batch@example.com", "mail.example.com", 2465,
    )  # fmt: skip
    assert (mail.tls, mail.user, mail.on) == ("implicit", "me", (Occasion.START, Occasion.DONE))
    assert isinstance(webhook, WebhookSettings)
    assert set(webhook.on) == set(Occasion) - {Occasion.START}
    assert isinstance(chat, AppriseSettings)
    assert isinstance(heartbeat, HeartbeatSettings)
    assert heartbeat.url.get_secret_value() == f"https://watch.example/{HIDDEN}"
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert HIDDEN not in shown


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("kind: webhok", "kind: must be email, webhook, apprise or heartbeat"),
        ("url: x", "kind: must be email, webhook, apprise or heartbeat"),
        (MAIL.replace("from:", "form:"), "from: is missing: email: the address that it comes from"),
        (MAIL.replace("from:", "form:"), "form: unknown key; did you mean from?"),
        (MAIL.replace("[ops@example.com]", "ops@example.com"), "to: must be a list, such as [one, two]"),
        (MAIL.replace("[ops@example.com]", "[]"), "to: names nobody; write at least one address"),
        (MAIL.replace("ops@", "Ops <ops>@"), "to, item 1: is not a mail address; write name@host, without a"),
        (MAIL + ", tls: none", "tls: must be starttls or implicit"),
        (MAIL + ", port: 0", "port: is too small; write 1 or more"),
        (MAIL + ", port: 65536", "port: is too large; write 65535 or less"),
        (MAIL + ", ca_bundle: nowhere.pem", "ca_bundle: is not there, or is no file"),
        (MAIL + f", user: me, password: {HIDDEN}", "password: a secret written out; "),
        (MAIL + ", on: [done, strat]", "on, item 2: must be start, done, partial, stopped, refused or recovered"),
        ('kind: webhook, url: "${URL}"', "hmac_key: is missing: webhook: the key of the signature"),
        (f'kind: webhook, url: "${{URL}}", hmac_key: {HIDDEN}', "hmac_key: a secret written out; "),
        (f"kind: webhook, url: 'https://me:{HIDDEN}@host', hmac_key: '${{SECRET}}'", "url: a password written out"),
        ("kind: heartbeat, url: 'http://watch.example'", "url: must begin with https://; http:// is only for this"),
        ("kind: heartbeat, url: 'ftp://watch.example'", "url: is not an address that a message can be sent to"),
        ("kind: heartbeat, url: '${SECRET}'", "url: is not an address that a message can be sent to"),
        ("kind: heartbeat, url: 'https://watch.example', on: [done]", "on: unknown key; known here: kind, url,"),
        ("kind: heartbeat, url: 'https://w.example', proxy: 'ftp://x'", "proxy: is not the address of a proxy"),
        (f"kind: apprise, url: 'slack://{HIDDEN}/b/c'", "url: a secret written out; put all of it into the"),
        ("kind: apprise, url: 'slack://${SECRET}'", "url: a secret written out; put all of it into the"),
    ],
)
def test_what_does_not_fit_is_said_with_line_and_key(entry: str, said: str) -> None:
    lines = refusal(notify('kind: apprise, url: "${URL}"', entry))
    assert [line for line in lines if line.startswith(f"line 4, notify, item 2.{said}")], lines


def test_a_user_without_a_password_is_refused() -> None:
    (line,) = refusal(notify(MAIL + ", user: me"))
    assert line == "line 3, notify, item 1: user and password go together; write both or neither"


def test_a_plan_needs_none_of_its_secrets() -> None:
    text = notify(
        MAIL + ', user: me, password: "${SECRET}"',
        'kind: webhook, url: "${URL}", hmac_key: "${SECRET}"',
        'kind: apprise, url: "${URL}"',
    )
    assert load(text, with_secrets=False, environ={}).notify == ()


def test_what_needs_no_secret_is_checked_all_the_same() -> None:
    lines = refusal(notify('kind: apprise, url: "${URL}"', "kind: email, to: [x]"), with_secrets=False)
    assert "line 4, notify, item 2.to, item 1: is not a mail address; write name@host, without a display name" in lines


def test_figures_go_into_a_file() -> None:
    assert load("metrics: {textfile: metrics/x.prom}").metrics.textfile == Path("/work-dir/metrics/x.prom")
    assert load("metrics:").metrics.textfile is None


@pytest.mark.parametrize("typed", ["x.txt", "metrics/x", "x.PROM", "x.prom.tmp"])
def test_figures_that_no_collector_would_read_are_refused(typed: str) -> None:
    (line,) = refusal(f"metrics: {{textfile: {typed}}}")
    said = f'"{typed}" does not end in .prom, so the textfile collector would not read it; give it a name that does'
    assert line == f"line 2, metrics.textfile: {said}"


def test_each_key_stands_in_the_table_once() -> None:
    rows = [row.split("|")[1].strip() for row in settings_table().splitlines()[2:]]
    told = [row for row in rows if row.startswith("`notify[]")]
    assert len(told) == len(set(told)) == 13
