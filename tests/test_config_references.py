"""What `${...}` stands for, and that no secret stands in a config, in a message or in a repr."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyring import get_keyring, set_keyring
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringError, KeyringLocked

from batch.config import BasicSettings, OAuthSettings, Settings, load_settings
from batch.errors import ConfigError

HIDDEN = "hunter2"
ENVIRON = {
    "KEY": "our-key",
    "SECRET": HIDDEN,
    "TILL": "store.server",
    "PASSWORD": "server123",
    "EMPTY": "",
    "N": "0x10",
}


def load(text: str, *, with_secrets: bool = True, working_dir: Path = Path("/work-dir")) -> Settings:
    return load_settings(
        Path("may.yaml"), with_secrets=with_secrets, working_dir=working_dir, environ=ENVIRON, text=text
    )


def with_auth(auth: str) -> str:
    return f"api: {{base_url: 'https://eu.api.capillarytech.com'}}\nauth: {auth}\n"


def with_cycle(cycle: str) -> str:
    return f"api: {{base_url: sandbox}}\ncampaign: {{cycles: ['{cycle}']}}\n"


OAUTH = with_auth('{kind: oauth, key: "${KEY}", secret: "${SECRET}"}')


def refusal(text: str, *, with_secrets: bool = True, working_dir: Path = Path("/work-dir")) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, with_secrets=with_secrets, working_dir=working_dir)
    assert HIDDEN not in "".join(traceback.format_exception(caught.value))
    return caught.value.text.replace("may.yaml (as kept with the run), ", "")


class TestReferences:
    def test_they_may_stand_inside_any_string(self) -> None:
        names = load(with_cycle("${KEY}-${TILL} ${KEY}")).campaign.cycle_names
        assert names == ("our-key-store.server our-key",)

    def test_what_they_stand_for_is_not_looked_into_again(self, tmp_path: Path) -> None:
        (tmp_path / "cycle").write_text("${KEY}: [a, *b")
        assert load(with_cycle("${file:cycle}"), working_dir=tmp_path).campaign.cycle_names == ("${KEY}: [a, *b",)

    def test_two_dollar_signs_stand_for_the_characters_themselves(self) -> None:
        assert load(with_cycle("$${KEY} $$${ $KEY $${KEY")).campaign.cycle_names == ("${KEY} $${ $KEY ${KEY",)

    def test_they_are_typed_like_what_is_typed(self) -> None:
        assert 'line 2, retry.attempts: "${N}" is not a whole number' in refusal(
            "api: {base_url: sandbox}\nretry: {attempts: '${N}'}"
        )

    def test_one_that_is_not_set_is_named_with_its_line(self) -> None:
        said = refusal(
            "api: {base_url: sandbox}\n" + "campaign:\n  cycles:\n  - a\n  - ${NOPE}-${NEITHER}\n"
        ).splitlines()
        assert said == [
            "line 5, campaign.cycles, item 2: the environment variable NOPE is not set; set it before you start",
            "line 5, campaign.cycles, item 2: the environment variable NEITHER is not set; set it before you start",
        ]

    def test_an_unset_one_does_not_hide_an_unknown_key(self) -> None:
        said = refusal("api: {base_url: sandbox}\ncampagne: '${NOPE}'")
        assert "NOPE is not set" in said
        assert "unknown key; did you mean campaign?" in said

    @pytest.mark.parametrize("typed", ["${}", "${a b}", "${1A}", "${env:KEY}", "${file:}", "${keyring:}", "${Ü}"])
    def test_one_that_cannot_be_understood_is_refused(self, typed: str) -> None:
        assert "a ${...} that cannot be understood; write ${NAME}, ${file:PATH}" in refusal(with_cycle(typed))

    def test_one_that_is_never_closed_is_refused(self) -> None:
        assert 'a "${" that is never closed' in refusal(with_cycle("a ${KEY"))

    def test_keys_are_never_looked_up(self) -> None:
        assert '"${KEY}": unknown key' in refusal('api: {base_url: sandbox}\n"${KEY}": 1')


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "value"),
        [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), (" x ", " x "), ("\ufeffx", "x")],
    )
    def test_one_newline_at_the_end_does_not_belong_to_it(self, tmp_path: Path, content: str, value: str) -> None:
        (tmp_path / "sheet").write_text(content, newline="")
        for path in ("sheet", tmp_path / "sheet"):
            text = f"api: {{base_url: sandbox}}\ninput: {{sheet: '${{file:{path}}}'}}\n"
            assert load(text, working_dir=tmp_path).input.sheet == value

    def test_one_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "latin").write_bytes(b"\xfc")
        said = refusal(with_cycle("${file:nope}${file:.}${file:latin}"), working_dir=tmp_path).splitlines()
        assert [line.partition(": ")[2] for line in said] == [
            "the file nope cannot be read (No such file or directory); make it, or correct the path",
            "the file . cannot be read (Is a directory); correct the path",
            "the file latin is not UTF-8 text (line 1); save it as UTF-8",
        ]


class KeyStore(KeyringBackend):
    """A key store of one entry; services named after a fault have it."""

    priority = 1.0

    def get_password(self, service: str, username: str) -> str | None:
        faults = {"locked": KeyringLocked, "broken": KeyringError, "odd": OSError}
        if service in faults:
            raise faults[service](HIDDEN)
        return {("https://eu/api", "me"): HIDDEN}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


class TestKeyring:
    @pytest.fixture
    def keyring(self) -> Iterator[None]:
        """Put a key store of one entry in the place of the machine's own."""
        before = get_keyring()
        set_keyring(KeyStore())
        yield
        set_keyring(before)

    @pytest.mark.usefixtures("keyring")
    def test_an_entry_is_looked_up_by_service_and_user(self) -> None:
        auth = load(with_auth('{kind: oauth, key: "${KEY}", secret: "${keyring:https://eu/api/me}"}')).auth
        assert isinstance(auth, OAuthSettings)
        assert auth.secret.get_secret_value() == HIDDEN

    @pytest.mark.usefixtures("keyring")
    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("eu/you", "the keyring has no entry eu/you; add it with: keyring set eu you"),
            ("locked/me", "the keyring is locked; unlock it, or write ${NAME} or ${file:PATH}"),
            ("broken/me", "the keyring cannot be read (KeyringError); write ${NAME} or ${file:PATH}"),
            ("odd/me", "the keyring cannot be read (OSError); write ${NAME} or ${file:PATH}"),
            ("me", "is written as ${keyring:SERVICE/USER}"),
            ("eu/", "is written as ${keyring:SERVICE/USER}"),
        ],
    )
    def test_what_it_does_not_hold_is_said(self, typed: str, said: str) -> None:
        assert said in refusal(with_cycle(f"${{keyring:{typed}}}"))

    def test_a_machine_without_one_is_said(self) -> None:
        before = get_keyring()
        set_keyring(NoKeyring())
        try:
            assert "this machine has no keyring that can be used" in refusal(with_cycle("${keyring:eu/me}"))
        finally:
            set_keyring(before)

    def test_without_the_package_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keyring", None)
        assert "pip install 'enroll-batch[keyring]'" in refusal(with_cycle("${keyring:eu/me}"))


class TestAuth:
    def test_a_client_has_a_key_and_a_secret(self) -> None:
        auth = load(OAUTH).auth
        assert isinstance(auth, OAuthSettings)
        assert (auth.key.get_secret_value(), auth.secret.get_secret_value()) == ("our-key", HIDDEN)

    def test_a_tills_password_is_hashed_at_once(self) -> None:
        auth = load(with_auth('{kind: basic, till: store.server, password: "${PASSWORD}"}')).auth
        assert isinstance(auth, BasicSettings)
        assert auth.till == "store.server"
        assert auth.password is None
        # the vendor's vector: developer.capillarytech.com, basic authentication
        assert auth.password_md5.get_secret_value() == "8a16a6b70505eb1f1ff7cdc0cd5559a7"

    def test_a_hash_is_taken_in_lower_case(self, tmp_path: Path) -> None:
        (tmp_path / "md5").write_text("8A16A6B70505EB1F1FF7CDC0CD5559A7\n")
        auth = load(with_auth('{kind: basic, till: "${TILL}", password_md5: "${file:md5}"}'), working_dir=tmp_path).auth
        assert isinstance(auth, BasicSettings)
        assert auth.password_md5.get_secret_value() == "8a16a6b70505eb1f1ff7cdc0cd5559a7"

    @pytest.mark.parametrize(
        ("auth", "said"),
        [
            ("{kind: basic, till: a}", "auth: needs either password or password_md5, and only one of them"),
            (
                '{kind: basic, till: a, password: "${SECRET}", password_md5: "${SECRET}"}',
                "auth: needs either password or",
            ),
            ('{kind: basic, password: "${SECRET}"}', "auth.till: is missing: basic: the till's id"),
            ('{kind: basic, till: a, password_md5: "${SECRET}"}', "auth.password_md5: is not an MD5"),
            ('{kind: basic, till: a, password: "${EMPTY}"}', "auth.password: stands for an empty text"),
            ('{kind: oauth, key: "${KEY}"}', "auth.secret: is missing: oauth: the API client's secret"),
            ('{kind: oauth, key: "${KEY}", secret: "${EMPTY}"}', "auth.secret: stands for an empty text"),
            ('{kind: oauth, key: "${KEY}", secret: }', "auth.secret: is empty"),
            ('{kind: oauth, key: "${KEY}", secret: ["${SECRET}"]}', "auth.secret: must be a single value"),
            (
                '{kind: oauth, key: "${KEY}", secret: "${SECRET}", till: a}',
                "auth.till: unknown key; known here: kind, key",
            ),
            ('{kind: token, key: "${KEY}"}', "auth.kind: must be oauth (with key and secret) or basic"),
            ('{key: "${KEY}"}', "auth.kind: must be oauth"),
            ('"${SECRET}"', "auth.kind: must be oauth"),
            ("[oauth]", "auth.kind: must be oauth"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, auth: str, said: str) -> None:
        found = refusal(with_auth(auth)).splitlines()
        assert len(found) == 1
        assert found[0].startswith(f"line 2, {said}")

    @pytest.mark.parametrize("with_secrets", [True, False])
    @pytest.mark.parametrize("auth", ["", "auth: null"])
    def test_a_real_api_needs_it(self, auth: str, *, with_secrets: bool) -> None:
        said = refusal("api: {base_url: 'https://eu.api.capillarytech.com'}\n" + auth, with_secrets=with_secrets)
        assert "auth: is missing; write {kind: oauth," in said

    def test_the_sandbox_does_not(self) -> None:
        assert load("api: {base_url: sandbox}").auth is None


class TestWithoutSecrets:
    @pytest.mark.parametrize(
        "auth",
        [
            '{kind: oauth, key: "${NOPE}", secret: "${file:/nope}"}',
            '{kind: basic, till: "${NOPE}", password: "${keyring:nope/nope}"}',
            '{kind: basic, till: a, password_md5: "${NOPE}"}',
            '{kind: "${NOPE}", key: "${NOPE}"}',
        ],
    )
    def test_none_needs_to_be_set(self, auth: str) -> None:
        assert load(with_auth(auth), with_secrets=False).auth is None

    @pytest.mark.parametrize(
        ("auth", "said"),
        [
            ('{kind: oauth, key: "${NOPE}"}', "line 2, auth.secret: is missing"),
            ('{kind: oauth, kye: "${NOPE}", key: "${A}", secret: "${B}"}', "auth.kye: unknown key; did you mean key?"),
            (f'{{kind: oauth, key: "${{NOPE}}", secret: {HIDDEN}}}', "auth.secret: a secret written out"),
            ('{kind: oauth, key: "${NOPE}", secret: "${"}', 'auth.secret: a "${" that is never closed'),
        ],
    )
    def test_their_form_is_checked_all_the_same(self, auth: str, said: str) -> None:
        assert said in refusal(with_auth(auth), with_secrets=False)

    def test_other_references_are_looked_up(self) -> None:
        assert load(with_cycle("${KEY}"), with_secrets=False).campaign.cycle_names == ("our-key",)
        assert "NOPE is not set" in refusal(with_cycle("${NOPE}"), with_secrets=False)


class TestSecretsStayHidden:
    @pytest.mark.parametrize(
        ("auth", "key"),
        [
            (f'{{kind: oauth, key: {HIDDEN}, secret: "${{SECRET}}"}}', "key"),
            (f'{{kind: oauth, key: "${{KEY}}", secret: {HIDDEN}}}', "secret"),
            (f'{{kind: oauth, key: "${{KEY}}", secret: "{HIDDEN}${{SECRET}}"}}', "secret"),
            (f'{{kind: oauth, key: "${{KEY}}", secret: "$${{{HIDDEN}}}"}}', "secret"),
            (f"{{kind: basic, till: a, password: {HIDDEN}}}", "password"),
            ("{kind: basic, till: a, password_md5: 8a16a6b70505eb1f1ff7cdc0cd5559a7}", "password_md5"),
        ],
    )
    @pytest.mark.parametrize("with_secrets", [True, False])
    def test_one_that_is_written_out_is_refused(self, auth: str, key: str, *, with_secrets: bool) -> None:
        said = refusal(with_auth(auth), with_secrets=with_secrets)
        assert said.startswith(f"line 2, auth.{key}: a secret written out; ")
        assert 'write "${NAME}"' in said
        assert "8a16" not in said

    def test_a_key_that_signs_messages_is_one(self) -> None:
        said = refusal(f"api: {{base_url: sandbox}}\nnotify: [{{kind: webhook, url: 'https://x', hmac_key: {HIDDEN}}}]")
        assert "notify, item 1.hmac_key: a secret written out" in said

    @pytest.mark.parametrize(
        ("text", "key"),
        [
            (f"api: {{base_url: 'https://me:{HIDDEN}@host.example'}}", "api.base_url"),
            (f"api: {{base_url: sandbox, proxy: 'http://me:{HIDDEN}@proxy.example'}}", "api.proxy"),
            (f"api: {{base_url: sandbox, proxy: 'me:{HIDDEN}@proxy.example:3128'}}", "api.proxy"),
            (f"api: {{base_url: sandbox, proxy: 'http://me:{HIDDEN}/@x@proxy.example'}}", "api.proxy"),
            (f"api: {{base_url: sandbox, proxy: 'http://${{KEY}}:{HIDDEN}${{KEY}}@proxy.example'}}", "api.proxy"),
            (f"api: {{base_url: sandbox}}\nledger: postgresql://me:{HIDDEN}@host/db", "ledger"),
            (f"api: {{base_url: sandbox}}\ninbox: sftp://me:{HIDDEN}@host/in", "inbox"),
            (f"api: {{base_url: sandbox}}\nnotify: ['smtp://me:{HIDDEN}@host']", "notify, item 1"),
        ],
    )
    def test_a_password_in_a_url_is_refused(self, text: str, key: str) -> None:
        assert f'{key}: a password written out in a URL; write "${{NAME}}" in its place' in refusal(text)

    @pytest.mark.parametrize(
        "text",
        [
            f"api: {{base_url: 'https://{HIDDEN}@host.example'}}",
            f"api: {{base_url: 'https://host.example/?token={HIDDEN}'}}",
            f"api: {{base_url: sandbox, proxy: 'ftp://{HIDDEN}@proxy.example'}}",
            with_auth(f"{{kind: {HIDDEN}, till: a}}"),
        ],
    )
    def test_no_credential_and_no_address_is_quoted_at_all(self, text: str) -> None:
        assert refusal(text)

    @pytest.mark.parametrize(
        "proxy", ["http://${KEY}:${SECRET}@proxy.example", "http://me@proxy.example", "http://proxy.example:3128"]
    )
    def test_a_url_without_a_literal_password_is_taken(self, proxy: str) -> None:
        settings = load(f"api: {{base_url: sandbox, proxy: '{proxy}'}}")
        assert HIDDEN not in repr(settings)
        assert HIDDEN not in str(settings.model_dump())

    def test_none_is_shown_by_settings(self) -> None:
        for shown in (
            repr(load(OAUTH)),
            str(load(OAUTH)),
            str(load(OAUTH).model_dump()),
            load(OAUTH).model_dump_json(),
        ):
            assert HIDDEN not in shown
            assert "our-key" not in shown

    @pytest.mark.parametrize(
        "text",
        [
            "api: {base_url: '${SECRET}'}",
            "api: {base_url: 'https://${SECRET}@host.example'}",
            "api: {base_url: 'https://host.example:${SECRET}'}",
            "api: {base_url: sandbox, proxy: '${SECRET}'}",
            "api: {base_url: sandbox, version: '${SECRET}'}",
            "api: {base_url: sandbox, ca_bundle: '${SECRET}'}",
            "api: {base_url: sandbox}\npacing: {rate: '${SECRET}', concurrency: '${SECRET}', time_zone: '${SECRET}'}",
            "api: {base_url: sandbox}\ncampaign: {cycles: '${SECRET}', target_id: '${SECRET}', action: '${SECRET}'}",
            "api: {base_url: sandbox}\ncampaign: {cycles: ['${SECRET}', '${SECRET}']}",
            "api: {base_url: sandbox}\ninput: {encoding: '${SECRET}', delimiter: '${SECRET}', sheet: '${EMPTY}'}",
            "api: {base_url: sandbox}\nscope: {org: '${SECRET},1'}",
            "api: {base_url: sandbox}\npacing: '${SECRET}'",
            "api: {base_url: sandbox}\nledger: '${SECRET}'\ninbox: '${SECRET}'\nnotify: '${SECRET}'",
        ],
    )
    def test_none_is_shown_where_it_was_put_by_mistake(self, text: str) -> None:
        """`refusal` looks for it in the whole traceback. Fails when a message quotes the value instead of the text."""
        assert refusal(text)
