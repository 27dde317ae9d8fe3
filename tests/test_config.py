"""What the keys of a config mean: defaults, types, and the rules between keys."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.config import Rate, Settings, load_settings, parse_rate, settings_table
from batch.config.keys import COLUMN_NAMES
from batch.errors import ConfigError, UsageError
from batch.intake.headers import COLUMNS, LOOKED_UP
from batch.model import Action, Kind

CONFIGS = Path(__file__).parent.parent / "configs"
ENVIRON = {
    "CAPILLARY_KEY": "our-key",
    "CAPILLARY_SECRET": "our-secret",
    "CAPILLARY_TILL": "store.server",
    "CAPILLARY_PASSWORD": "server123",
}
REAL = """
api: {base_url: "https://eu.api.capillarytech.com"}
auth: {kind: oauth, key: "${CAPILLARY_KEY}", secret: "${CAPILLARY_SECRET}"}
"""


def load(text: str, *, with_secrets: bool = True, working_dir: Path = Path("/work-dir")) -> Settings:
    return load_settings(
        Path("may.yaml"), with_secrets=with_secrets, working_dir=working_dir, environ=ENVIRON, text=text
    )


def sandboxed(text: str) -> Settings:
    return load("api: {base_url: sandbox}\n" + text)


def refusal(text: str, **options: bool) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    return caught.value.text


def sandbox_refusal(text: str) -> str:
    """Return the one line that is said about `text`, which begins in line 2."""
    lines = refusal("api: {base_url: sandbox}\n" + text).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


class TestDefaults:
    def test_they_are_those_of_the_contract(self) -> None:
        settings = load(REAL)
        assert settings.api.path_prefix == ""
        assert settings.api.version == "v3.1"
        assert (settings.api.connect_timeout_s, settings.api.read_timeout_s) == (5, 30)
        assert (settings.api.ca_bundle, settings.api.proxy) == (None, None)
        assert (settings.scope.data_scope, settings.scope.org) == ("SELF", None)
        campaign = settings.campaign
        assert (campaign.action, campaign.kind) == (Action.ENROLL, Kind.MILESTONE)
        assert (campaign.target_group_id, campaign.target_id, campaign.cycles) == (None, None, None)
        assert (campaign.expand, campaign.on_cascade) == ("each", "report")
        assert (campaign.initial_balance, campaign.reset_streak_status) == (None, False)
        rules = settings.input
        assert (rules.columns, rules.sheet, rules.header_row, rules.encoding, rules.delimiter) == ({}, *[None] * 4)
        assert (rules.period_separator, rules.max_problems) == (None, 0.05)
        assert (rules.country_code, rules.look_up_source) == (None, "INSTORE")
        assert settings.pacing.rate == Rate(100, 60 * 10**9)
        assert (settings.pacing.concurrency, settings.pacing.adaptive) == (16, True)
        assert (settings.pacing.window, settings.pacing.time_zone) == (None, "UTC")
        retry = settings.retry
        assert (retry.attempts, retry.base_s, retry.max_s, retry.outage_s) == (5, 0.5, 60, 3600)
        assert retry.in_doubt == "resend"
        assert (settings.guard.canary, settings.guard.minimum) == (0, 200)
        assert settings.guard.stop_when == {"invalid_user": 0.5, "failed": 0.2}
        assert (settings.report.dir, settings.report.mask_customers) == (Path("/work-dir/reports"), False)
        assert (settings.ledger, settings.inbox, settings.notify, settings.sandbox) == ("sqlite", None, (), {})

    def test_a_section_whose_keys_are_all_commented_out_keeps_them(self) -> None:
        assert load(REAL + "pacing:\n  # rate: 1/s\ninput:\n  columns:\n").pacing.rate == Rate(100, 60 * 10**9)

    def test_every_setting_stands_in_the_table_with_its_default(self) -> None:
        table = settings_table()
        assert "| `api.base_url` | required | where the API is:" in table
        assert "| `auth.password_md5` | required |" in table
        assert "| `pacing.rate` | `100/min` | at most N starts in any window:" in table
        assert '| `api.path_prefix` | `""` |' in table
        assert "| `notify` | `[]` |" in table
        assert "| `guard.stop_when` | `{invalid_user: 50%, failed: 20%}` |" in table
        rows = table.splitlines()[2:]
        assert len(rows) == len({row.split("|")[1] for row in rows}) > 60
        assert all(len(re.split(r"(?<!\\)\|", row)) == 5 and row.split("|")[3].strip() for row in rows)

    def test_settings_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load(REAL).pacing.concurrency = 3


class TestShippedConfigs:
    @pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
    @pytest.mark.parametrize("with_secrets", [True, False])
    def test_each_loads(self, path: Path, *, with_secrets: bool) -> None:
        environ = ENVIRON if with_secrets else {}
        settings = load_settings(path, with_secrets=with_secrets, working_dir=Path.cwd(), environ=environ)
        assert settings.campaign.target_group_id in {29463, 29501}

    def test_the_sandbox_one_needs_nothing_and_has_no_limit(self) -> None:
        settings = load_settings(CONFIGS / "sandbox.yaml", with_secrets=True, working_dir=Path.cwd(), environ={})
        assert settings.uses_sandbox
        assert settings.auth is None
        assert settings.pacing.rate is None
        assert (settings.campaign.target_group_id, settings.campaign.target_id) == (29463, 5512)
        assert settings.campaign.cycle_names == tuple(f"PERIOD_G_29463_{n}" for n in range(1, 6))

    def test_every_one_that_the_house_has_is_there(self) -> None:
        names = {path.name for path in CONFIGS.glob("*.yaml")}
        assert names >= {"sandbox.yaml", "milestone.yaml", "streak.yaml", "unenroll.yaml", "connected_orgs.yaml"}


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("typed", "url"),
        [
            ("https://eu.api.capillarytech.com/", "https://eu.api.capillarytech.com"),
            ("HTTPS://EU.api.CapillaryTech.com:8443", "https://eu.api.capillarytech.com:8443"),
            ("https://gateway.example/loyalty//", "https://gateway.example/loyalty"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.8.9.10", "http://127.8.9.10"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("sandbox", "sandbox"),
        ],
    )
    def test_it_is_kept_in_one_form(self, typed: str, url: str) -> None:
        assert load(REAL.replace("https://eu.api.capillarytech.com", typed)).api.base_url == url

    @pytest.mark.parametrize(
        "typed",
        [
            "http://eu.api.capillarytech.com",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://128.0.0.1",
            "http://[::2]",
            "http://１２７.0.0.1",
        ],
    )
    def test_plain_http_stays_on_this_machine(self, typed: str) -> None:
        said = refusal(REAL.replace("https://eu.api.capillarytech.com", typed))
        assert said.startswith("may.yaml (as kept with the run), line 2, api.base_url: must begin with https://; ")

    @pytest.mark.parametrize(
        ("typed", "why"),
        [
            ("eu.api.capillarytech.com", "write https:// and its host, or sandbox"),
            ("ftp://eu.api.capillarytech.com", "write https:// and its host, or sandbox"),
            ("https://", "write https:// and its host, or sandbox"),
            ("Sandbox", "write https:// and its host, or sandbox"),
            ("https://user@host.example", "they belong under auth"),
            ("https://host.example/?a=b", "must not hold a ? or a #"),
            ("https://host.example/#a", "must not hold a ? or a #"),
            ("https://host.example?", "must not hold a ? or a #"),
            ("https://host.example/v3/", "the version belongs under api.version"),
            ("https://host.example/loyalty/V3.1", "the version belongs under api.version"),
            ("https://host.example/v3/oauth/token/generate", "what stands before it under api.path_prefix"),
            ("https://host.example/api_gateway/intouch-api-v3", "what stands before it under api.path_prefix"),
            ("https://eu.api.capillarytech.com/loyalty", "write scheme and host only"),
            ("https://host.example:https", "check the host and the port"),
            ("https://[::1", "check the host and the port"),
            ("https://host .example", "holds blanks"),
            (r"http://127.0.0.1\\@evil.example", "holds blanks, backslashes"),
        ],
    )
    def test_anything_else_is_refused(self, typed: str, why: str) -> None:
        assert why in refusal(REAL.replace("https://eu.api.capillarytech.com", typed))

    def test_it_is_required(self) -> None:
        assert refusal("pacing: {rate: 1/s}").startswith("may.yaml (as kept with the run), api.base_url: is missing: ")

    @pytest.mark.parametrize(
        ("typed", "prefix"),
        [
            ("api_gateway/intouch-api-v3", "/api_gateway/intouch-api-v3"),
            ("/a/b/", "/a/b"),
            ("/", ""),
            ('""', ""),
            ("", ""),
        ],
    )
    def test_the_path_prefix_gets_one_slash_before_and_none_behind(self, typed: str, prefix: str) -> None:
        assert load(f"api:\n  base_url: sandbox\n  path_prefix: {typed}\n").api.path_prefix == prefix

    @pytest.mark.parametrize("typed", ["a b", "a?b", '"a#b"', "[a]"])
    def test_a_path_prefix_that_is_no_plain_path_is_refused(self, typed: str) -> None:
        assert "line 3, api.path_prefix: " in refusal(f"api:\n  base_url: sandbox\n  path_prefix: {typed}\n")


class TestApi:
    def test_paths_count_from_the_working_directory(self, tmp_path: Path) -> None:
        (tmp_path / "root.pem").write_text("")
        text = REAL.replace("}", ", ca_bundle: root.pem}", 1) + "report: {dir: out/runs}"
        settings = load(text, working_dir=tmp_path)
        assert settings.api.ca_bundle == tmp_path / "root.pem"
        assert settings.report.dir == tmp_path / "out/runs"

    def test_a_ca_bundle_that_is_not_there_is_refused(self) -> None:
        assert 'api.ca_bundle: "nope.pem" is not there' in refusal("api: {base_url: sandbox, ca_bundle: nope.pem}")

    def test_a_proxy_is_a_secret(self) -> None:
        settings = load("api: {base_url: sandbox, proxy: 'http://me:${CAPILLARY_SECRET}@proxy.example:3128'}")
        assert settings.api.proxy is not None
        assert settings.api.proxy.get_secret_value() == "http://me:our-secret@proxy.example:3128"
        assert "our-secret" not in repr(settings)

    @pytest.mark.parametrize("typed", ["proxy.example:3128", "socks5://proxy.example", "http://", "http://a:b"])
    def test_what_is_no_proxy_is_refused(self, typed: str) -> None:
        assert "line 1, api.proxy: " in refusal(f"api: {{base_url: sandbox, proxy: '{typed}'}}")

    @pytest.mark.parametrize("typed", ["v2", "3.1", "V3", "[v3]", ""])
    def test_other_versions_are_refused(self, typed: str) -> None:
        said = refusal(f"api: {{base_url: sandbox, version: {typed}}}")
        shown = "must be" if typed in {"", "[v3]"} else f'"{typed}" is not'
        assert f"api.version: {shown} v3.1 or v3" in said

    @pytest.mark.parametrize("typed", ["0", "-1", "1e5", "0x10", "1_000", "05", ".inf", "nan", "5s", "1,5", "[5]", ""])
    def test_a_timeout_is_a_plain_number_above_zero(self, typed: str) -> None:
        assert "api.read_timeout_s: " in refusal(f"api:\n  base_url: sandbox\n  read_timeout_s: {typed}\n")


class TestScope:
    def test_a_connected_organisation_is_named_once(self) -> None:
        settings = sandboxed("scope: {data_scope: OTHER, org: 50672}")
        assert (settings.scope.data_scope, settings.scope.org) == ("OTHER", 50672)

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            (
                "{data_scope: ALL}",
                'scope.data_scope: "ALL" is refused by the API for enroll and unenroll (error 310141)',
            ),
            ("{data_scope: other, org: 1}", 'scope.data_scope: "other" is not SELF or OTHER'),
            ("{data_scope: OTHER}", "scope.org: is needed with data_scope: OTHER"),
            ("{org: 50672}", 'scope.org: "50672" is only for data_scope: OTHER'),
            ("{data_scope: OTHER, org: [50672, 50673]}", "scope.org: must be one organisation"),
            ("{data_scope: OTHER, org: '50672,50673'}", '"50672,50673" is not one organisation; for several'),
            ("{data_scope: OTHER, org: 050672}", '"050672" begins with a zero'),
            ("{data_scope: OTHER, org: 0}", '"0" is too small; write 1 or more'),
            ("{data_scope: OTHER, org: -5}", '"-5" is too small; write 1 or more'),
        ],
    )
    def test_a_scope_that_the_api_refuses_is_refused_here(self, typed: str, said: str) -> None:
        assert said in sandbox_refusal(f"scope: {typed}")

    def test_v3_knows_no_connected_organisations(self) -> None:
        said = refusal("api: {base_url: sandbox, version: v3}\nscope: {data_scope: OTHER, org: 50672}")
        assert "line 2, scope.data_scope: OTHER needs the API's version v3.1" in said


class TestCampaign:
    def test_ids_are_numbers(self) -> None:
        campaign = sandboxed("campaign: {target_group_id: 29463, target_id: '5512', initial_balance: 0}").campaign
        assert (campaign.target_group_id, campaign.target_id, campaign.initial_balance) == (29463, 5512, 0)

    @pytest.mark.parametrize("typed", ["0", "-1", "1e5", "5512.0", "0x1588", "5_512", "five", "true", "[5512]", "{}"])
    def test_what_is_no_id_is_refused(self, typed: str) -> None:
        assert "line 2, campaign.target_id: " in sandbox_refusal(f"campaign: {{target_id: {typed}}}")

    def test_a_number_that_no_database_holds_is_refused(self) -> None:
        assert "is too large for a number" in sandbox_refusal(f"campaign: {{target_id: {'9' * 5000}}}")

    @pytest.mark.parametrize(
        ("typed", "value"), [("true", True), ("yes", True), ("No", False), ("FALSE", False), ('"true"', True)]
    )
    def test_yes_and_no_are_truth_values(self, typed: str, *, value: bool) -> None:
        assert sandboxed(f"campaign: {{reset_streak_status: {typed}}}").campaign.reset_streak_status is value

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("action: re-enroll", '"re-enroll" is not enroll or unenroll'),
            ("kind: badge", '"badge" is not milestone or streak'),
            ("expand: all", '"all" is not each, first or current'),
            ("on_cascade: ''", '"" is not report, skip or stop'),
            ("reset_streak_status: 1", '"1" is neither true nor false'),
            ("initial_balance: -1", '"-1" is too small; write 0 or more'),
            ("initial_balance: 12.5", '"12.5" is not a whole number'),
        ],
    )
    def test_what_no_key_can_mean_is_refused(self, typed: str, said: str) -> None:
        assert said in sandbox_refusal(f"campaign: {{{typed}}}")


class TestCycles:
    def test_a_list_is_kept_in_order_and_to_the_letter_but_for_blanks_around_a_name(self) -> None:
        typed = "campaign: {cycles: [PERIOD_2, period_2, 'Period ', 1e5, 22:00, NO, 007, 'null', '~', 2025-05-22]}"
        names = ("PERIOD_2", "period_2", "Period", "1e5", "22:00", "NO", "007", "null", "~", "2025-05-22")
        assert sandboxed(typed).campaign.cycle_names == names

    def test_a_pattern_counts_with_both_ends(self) -> None:
        typed = 'campaign: {cycles: {pattern: "G{n}_{n} {x} {{n}", from: 0, to: 2}}'
        assert sandboxed(typed).campaign.cycle_names == ("G0_0 {x} {0", "G1_1 {x} {1", "G2_2 {x} {2")

    def test_names_that_differ_in_blanks_around_them_are_one(self) -> None:
        said = sandbox_refusal("campaign: {cycles: [Period, 'Period ']}")
        assert 'item 2: "Period " stands in the list twice' in said
        typed = 'campaign: {cycles: {pattern: " P{n} ", from: 1, to: 2}}'
        assert sandboxed(typed).campaign.cycle_names == ("P1", "P2")

    def test_a_pattern_may_stand_for_a_thousand_cycles_and_not_for_more(self) -> None:
        names = sandboxed('campaign: {cycles: {pattern: "{n}", from: 1, to: 1000}}').campaign.cycle_names
        assert names is not None
        assert len(names) == 1000
        said = sandbox_refusal('campaign: {cycles: {pattern: "{n}", from: 1, to: 1001}}')
        assert 'campaign.cycles.to: "1001" is too far from from; a pattern may stand for 1000 cycles' in said

    @pytest.mark.parametrize("typed", ["column", "null", ""])
    def test_the_column_alone_may_name_them(self, typed: str) -> None:
        assert sandboxed(f"campaign:\n  cycles: {typed}\n").campaign.cycle_names is None

    def test_a_repeat_is_named_with_its_line(self) -> None:
        said = sandbox_refusal("campaign:\n  cycles:\n    - C1\n    - C2\n    - C1\n")
        assert ', line 6, campaign.cycles, item 3: "C1" stands in the list twice; name each cycle once' in said

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("[]", "campaign.cycles: names no cycle"),
            ("[C1, null]", "campaign.cycles, item 2: is empty"),
            ("[C1, '']", 'campaign.cycles, item 2: "" is empty'),
            ("[C1, ' ']", 'campaign.cycles, item 2: " " is empty'),
            ("[C1, [C2]]", "campaign.cycles, item 2: must be a single value"),
            ("C1", 'campaign.cycles: "C1" is a single name where a list belongs; put it into [ ]'),
            ("{pattern: C, from: 1, to: 2}", 'campaign.cycles.pattern: "C" has no {n}'),
            ("{pattern: '{n}', from: 3, to: 2}", 'campaign.cycles.to: "2" is less than from'),
            ("{pattern: '{n}', from: a, to: 2}", 'campaign.cycles.from: "a" is not a whole number'),
            ("{pattern: '{n}', from: 1, to: -1}", 'campaign.cycles.to: "-1" is too small'),
            ("{pattern: '{n}', from: 1}", "campaign.cycles.to: is missing: the last number"),
            ("{pattern: '{n}', from: 1, to: 2, stpe: 1}", "campaign.cycles.stpe: unknown key; known here: pattern,"),
        ],
    )
    def test_what_names_no_cycles_is_refused(self, typed: str, said: str) -> None:
        assert said in sandbox_refusal(f"campaign: {{cycles: {typed}}}")


class TestInput:
    def test_headers_are_mapped(self) -> None:
        columns = sandboxed("input: {columns: {customer_id: Member ID, period_name: 007}}").input.columns
        assert columns == {"customer_id": "Member ID", "period_name": "007"}

    def test_every_unknown_column_gets_its_own_line(self) -> None:
        said = refusal("api: {base_url: sandbox}\ninput: {columns: {custmer_id: a, x: b, email: }}").splitlines()
        assert [line.partition("input.columns.")[2].partition(";")[0] for line in said] == [
            "custmer_id: unknown key",
            "x: unknown key",
            "email: is empty",
        ]
        assert "did you mean customer_id?" in said[0]

    def test_a_column_named_the_wrong_way_round_is_turned(self) -> None:
        said = refusal("api: {base_url: sandbox}\ninput: {columns: {Member ID: customer_id, x: y}}").splitlines()
        assert [line.partition("input.columns.")[2] for line in said] == [
            '"Member ID": our name stands first: {customer_id: Member ID}',
            f"x: unknown key; known here: {', '.join(COLUMN_NAMES)}",
        ]

    def test_the_names_are_those_that_the_intake_knows(self) -> None:
        assert set(COLUMN_NAMES) == {*COLUMNS, *LOOKED_UP}

    @pytest.mark.parametrize(
        ("typed", "character"),
        [("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|"), ('"\\t"', "\t"), (";", ";"), ('","', ",")],
    )
    def test_a_delimiter_is_a_word_or_a_sign(self, typed: str, character: str) -> None:
        assert sandboxed(f"input:\n  delimiter: {typed}\n").input.delimiter == character

    @pytest.mark.parametrize("typed", ["ab", "''", '"\\n"', "'\"'", "a", "7", "null", "[a]"])
    def test_other_delimiters_are_refused(self, typed: str) -> None:
        assert "line 2, input.delimiter: " in sandbox_refusal(f"input: {{delimiter: {typed}}}")

    def test_what_is_found_out_by_itself_is_none(self) -> None:
        rules = sandboxed("input: {header_row: auto, encoding: auto, delimiter: auto}").input
        assert (rules.header_row, rules.encoding, rules.delimiter) == (None, None, None)

    @pytest.mark.parametrize(("typed", "code"), [("91", "91"), ("'+91'", "91"), ("1", "1"), ("null", None)])
    def test_a_country_code_is_one_to_three_digits(self, typed: str, code: str | None) -> None:
        assert sandboxed(f"input: {{country_code: {typed}}}").input.country_code == code

    @pytest.mark.parametrize("typed", ["0", "091", "1234", "IN", "'+'"])
    def test_what_is_no_country_code_is_refused(self, typed: str) -> None:
        said = sandbox_refusal(f"input: {{country_code: '{typed.strip(chr(39))}'}}")
        assert "is no country code in digits; write one to three, such as 91 for India" in said

    def test_the_rest_is_kept(self) -> None:
        rules = sandboxed(
            "input: {sheet: 2025, header_row: 3, encoding: cp1252, period_separator: '; ', max_problems: 0%}"
        ).input
        assert (rules.sheet, rules.header_row, rules.encoding) == ("2025", 3, "cp1252")
        assert (rules.period_separator, rules.max_problems) == ("; ", 0)

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("header_row: 0", '"0" is too small; write 1 or more'),
            ("header_row: first", '"first" is not a whole number'),
            ("header_row: null", "input.header_row: is empty"),
            ("encoding: utf-9", '"utf-9" is not a known encoding'),
            ("encoding: base64", '"base64" is not a known encoding'),
            ('encoding: "utf-8\\0"', "is not a known encoding"),
            ("max_problems: 5", '"5" is not a percentage'),
            ("max_problems: 0.05", '"0.05" is not a percentage'),
            ("max_problems: 101%", '"101%" is not a percentage'),
            ("max_problems: -1%", '"-1%" is not a percentage'),
            ("max_problems: 05%", '"05%" is not a percentage'),
        ],
    )
    def test_what_cannot_be_is_refused(self, typed: str, said: str) -> None:
        assert said in sandbox_refusal(f"input: {{{typed}}}")

    @given(st.integers(1, 9999), st.integers(1, 10_000), st.sampled_from([-1, 0, 1]))
    def test_a_share_is_exceeded_exactly_when_the_percentage_is(self, hundredths: int, times: int, more: int) -> None:
        """Fails when read_share returns the nearest float: then 29 of 100 are more than 0.29 * 100."""
        exact = Fraction(hundredths, 10_000)
        share = sandboxed(f"input: {{max_problems: {hundredths / 100:.2f}%}}").input.max_problems
        assert (times * exact.numerator + more > share * (times * exact.denominator)) == (more > 0)


class TestRate:
    @pytest.mark.parametrize(
        ("typed", "rate"),
        [
            ("5/s", Rate(5, 10**9)),
            ("100/min", Rate(100, 60 * 10**9)),
            ("3600/h", Rate(3600, 3600 * 10**9)),
            ("10/30s", Rate(10, 30 * 10**9)),
            ("1/0.5s", Rate(1, 5 * 10**8)),
            (" 7 / s ", Rate(7, 10**9)),
            ("none", None),
        ],
    )
    def test_it_is_so_many_starts_in_any_window(self, typed: str, rate: Rate | None) -> None:
        assert parse_rate(typed) == rate
        assert sandboxed(f"pacing: {{rate: {typed}}}").pacing.rate == rate

    def test_null_is_no_limit(self) -> None:
        assert sandboxed("pacing: {rate: null}").pacing.rate is None

    BAD = (
        "",
        "100",
        "0/min",
        "0100/min",
        "-1/s",
        "1.5/s",
        "1/0s",
        "1/d",
        "1/30",
        "1/1e3s",
        "1/s/s",
        "100/min.",
        "1/-1s",
    )

    @pytest.mark.parametrize("typed", BAD)
    def test_anything_else_is_refused(self, typed: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_rate(typed)
        assert caught.value.text.startswith(f'the rate "{typed}" is ')
        assert f'line 2, pacing.rate: "{typed}" is ' in sandbox_refusal(f"pacing: {{rate: '{typed}'}}")


class TestPacingRetryAndGuards:
    def test_numbers_within_their_bounds_are_taken(self) -> None:
        settings = sandboxed(
            "pacing: {concurrency: 256, adaptive: no, time_zone: Asia/Kolkata}\n"
            "retry: {attempts: 1, base_s: 0.25, max_s: 5, outage_s: 1, in_doubt: leave}\n"
            "guard: {stop_when: {not_sent: 12.5%, failed: 100%}, minimum: 1}\n"
        )
        assert (settings.pacing.concurrency, settings.pacing.adaptive) == (256, False)
        assert settings.pacing.time_zone == "Asia/Kolkata"
        assert (settings.retry.attempts, settings.retry.base_s, settings.retry.in_doubt) == (1, 0.25, "leave")
        assert settings.guard.stop_when == {"not_sent": 0.125, "failed": 1}

    @pytest.mark.parametrize(
        ("typed", "opens_s", "closes_s", "shown"),
        [
            ("22:00-06:00", 22 * 3600, 6 * 3600, "22:00-06:00"),
            ("6:30 - 24:00", 6 * 3600 + 1800, 0, "06:30-00:00"),
            ("00:00-00:01", 0, 60, "00:00-00:01"),
        ],
    )
    def test_a_window_is_two_times_of_day(self, typed: str, opens_s: int, closes_s: int, shown: str) -> None:
        window = sandboxed(f"pacing: {{window: {typed}}}").pacing.window
        assert window is not None
        assert (window.opens_s, window.closes_s, str(window)) == (opens_s, closes_s, shown)

    @pytest.mark.parametrize("typed", ["{}", "null"])
    def test_no_guard_is_possible(self, typed: str) -> None:
        assert sandboxed(f"guard: {{stop_when: {typed}}}").guard.stop_when == {}

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("pacing: {concurrency: 0}", '"0" is too small; write 1 or more'),
            ("pacing: {concurrency: 257}", '"257" is too large; write 256 or less'),
            ("pacing: {concurrency: 016}", '"016" begins with a zero'),
            ("pacing: {time_zone: Mars/Olympus}", "is not a known time zone"),
            ("pacing: {time_zone: America}", "is not a known time zone"),
            ("pacing: {time_zone: europe/berlin}", "did you mean Europe/Berlin?"),
            ("pacing: {time_zone: Berlin}", "did you mean Europe/Berlin?"),
            ("pacing: {time_zone: Asia/Kolkatta}", "did you mean Asia/Kolkata?"),
            ("pacing: {time_zone: utc}", "did you mean UTC?"),
            ("pacing: {time_zone: Rome}", "did you mean Europe/Rome?"),
            ("pacing: {time_zone: IST}", "is not a known time zone; write a city's zone, such as Asia/Kolkata"),
            ("pacing: {time_zone: PDT}", "is not a known time zone; write a city's zone, such as Asia/Kolkata"),
            ("pacing: {time_zone: CEST}", "is not a known time zone; write a city's zone, such as Asia/Kolkata"),
            ("pacing: {time_zone: GMT+5}", "is not a known time zone; write a city's zone, such as Asia/Kolkata"),
            ("pacing: {time_zone: 'UTC+05:30'}", "is not a known time zone; write a city's zone, such as Asia/Kolkata"),
            ("pacing: {window: '22:00'}", 'pacing.window: "22:00" is no window; write HH:MM-HH:MM'),
            ("pacing: {window: 22-6}", 'pacing.window: "22-6" is no window'),
            ("pacing: {window: '22:00-25:00'}", "is no window"),
            ("pacing: {window: '22:60-23:00'}", "is no window"),
            ("pacing: {window: '06:00-06:00'}", "opens and closes at the same time"),
            ("pacing: {window: '00:00-24:00'}", "opens and closes at the same time"),
            ("pacing: {window: [22, 6]}", "must be a single value"),
            ("pacing: {time_zone: ../../etc/passwd}", "is not a known time zone"),
            ("retry: {attempts: 0}", '"0" is too small; write 1 or more'),
            ("retry: {base_s: 0}", '"0" is too small; write more than 0'),
            ("retry: {in_doubt: maybe}", '"maybe" is not resend, verify or leave'),
            ("guard: {minimum: 0}", '"0" is too small; write 1 or more'),
            ("guard: {stop_when: {faild: 5%}}", "guard.stop_when.faild: unknown key; did you mean failed?"),
            ("guard: {stop_when: {failed: 5}}", 'guard.stop_when.failed: "5" is not a percentage'),
            ("guard: {stop_when: 5%}", 'guard.stop_when: "5%" is not a group of keys, each with its value'),
        ],
    )
    def test_what_cannot_be_is_refused(self, typed: str, said: str) -> None:
        assert said in sandbox_refusal(typed)


class TestNotYet:
    @pytest.mark.parametrize(
        ("typed", "key"),
        [
            ("ledger: postgresql://host/db", "ledger"),
        ],
    )
    def test_what_this_version_does_not_do_is_refused_and_not_ignored(self, typed: str, key: str) -> None:
        said = sandbox_refusal(typed)
        assert said.startswith(f"may.yaml (as kept with the run), line 2, {key}: this version cannot do that yet; ")


class TestSandbox:
    def test_switches_are_passed_on_as_text(self) -> None:
        assert sandboxed("sandbox: {error_502: 3%, limit: 0100}").sandbox == {"error_502": "3%", "limit": "0100"}

    def test_they_are_refused_with_a_real_api(self) -> None:
        assert "line 4, sandbox: is only for base_url: sandbox" in refusal(REAL + "sandbox: {cascade: true}")


class TestShape:
    def test_every_fault_is_reported_at_once_in_the_order_of_the_file(self) -> None:
        said = refusal(
            "pacing: {rat: 5/s, concurrency: many}\napi: {base_url: sandbox, version: v9}\ncampagne: {}\n"
            "campaign: {target_id: x}\n"
        ).splitlines()
        assert [line.split(": ")[0] for line in said] == [
            "may.yaml (as kept with the run), line 1, pacing.concurrency",
            "may.yaml (as kept with the run), line 1, pacing.rat",
            "may.yaml (as kept with the run), line 2, api.version",
            "may.yaml (as kept with the run), line 3, campagne",
            "may.yaml (as kept with the run), line 4, campaign.target_id",
        ]
        assert said[1].endswith("unknown key; did you mean rate?")
        assert said[3].endswith("unknown key; did you mean campaign?")

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("pacing: 5", 'pacing: "5" is not'),
            ("pacing: [rate]", "pacing: must be"),
            ("input: {columns: Member}", 'input.columns: "Member" is not'),
            ("sandbox: [a]", "sandbox: must be"),
        ],
    )
    def test_a_value_where_a_group_belongs_is_refused(self, typed: str, said: str) -> None:
        assert f"{said} a group of keys, each with its value" in sandbox_refusal(typed)

    @pytest.mark.parametrize("typed", ["notify: mail", "notify: {a: b}"])
    def test_a_value_where_a_list_belongs_is_refused(self, typed: str) -> None:
        assert "notify: " in sandbox_refusal(typed)
