"""The text of a config: what YAML would change, what a slip of the keys makes of it, and which line is named."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from batch.config import Settings, load_settings, read_config
from batch.config.text import SIZE_LIMIT, parse
from batch.errors import ConfigError


def load(text: str) -> Settings:
    return load_settings(Path("may.yaml"), with_secrets=True, working_dir=Path("/work-dir"), environ={}, text=text)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse("may.yaml", text).findings.raise_if_any()
    return caught.value.text


def without_references(text: str) -> str:
    return text.replace("${", "$${")


def as_double_quoted(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")  # YAML wants this one escaped; JSON does not mind


def as_single_quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def is_plainly_written(text: str) -> bool:
    return all(c.isprintable() for c in text)


class TestScalars:
    @pytest.mark.parametrize(
        "typed", ["050672", "1e5", "22:00", "NO", "0x1F", "1_000", ".inf", "2025-05-22", "true", "="]
    )
    def test_a_plain_scalar_stays_the_text_that_was_typed(self, typed: str) -> None:
        assert parse("may.yaml", f"key: {typed}").tree == {"key": typed}

    @pytest.mark.parametrize("typed", ["", "~", "null", "Null", "NULL", "# nothing"])
    def test_a_plain_null_is_none(self, typed: str) -> None:
        assert parse("may.yaml", f"key: {typed}").tree == {"key": None}

    @pytest.mark.parametrize("typed", ['"null"', "'~'", '""', "|-\n  null", ">-\n  null"])
    def test_a_quoted_null_is_text(self, typed: str) -> None:
        assert parse("may.yaml", f"key: {typed}").tree["key"] == typed.strip("\"'").removeprefix("|-\n  ").removeprefix(
            ">-\n  "
        )

    @given(st.text(min_size=1).map(str.strip).filter(bool))
    def test_any_text_survives_quoting_as_a_cycle_name(self, name: str) -> None:
        """Fails when the halves of a character beyond U+FFFF, which JSON escapes apart, are not joined."""
        text = "api: {base_url: sandbox}\ncampaign: {cycles: [%s]}"
        assert load(text % as_double_quoted(without_references(name))).campaign.cycle_names == (name,)

    @given(st.text(min_size=1).map(str.strip).filter(bool).filter(is_plainly_written))
    def test_any_printable_text_survives_single_quotes(self, name: str) -> None:
        """Fails when a quoted text is stripped, or when a quoted null becomes none."""
        text = f"api: {{base_url: sandbox}}\ncampaign:\n  cycles:\n  - {as_single_quoted(without_references(name))}\n"
        assert load(text).campaign.cycle_names == (name,)

    @given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), min_size=1, max_size=5, unique=True))
    def test_a_dump_of_any_texts_is_read_as_they_were(self, names: list[str]) -> None:
        """Fails when a scalar is typed by YAML's rules: `1e5`, `NO` and `22:00` are dumped within quotes only."""
        tree = {"api": {"base_url": "sandbox"}, "campaign": {"cycles": [without_references(name) for name in names]}}
        assert load(yaml.safe_dump(tree)).campaign.cycle_names == tuple(names)

    def test_an_escape_that_is_half_a_character_is_refused(self) -> None:
        assert refusal('a: 1\nb: "\\ud83d"') == (
            "may.yaml, line 2, b: an escape stands for half a character; write the character itself"
        )


class TestJson:
    @pytest.mark.parametrize("indent", [None, 2, "\t"])
    def test_it_is_valid_too(self, indent: int | str | None) -> None:
        tree = {
            "api": {"base_url": "sandbox", "ca_bundle": None},
            "campaign": {"cycles": ["a/b", "ü€😀", "tab\there"], "target_id": 5512, "reset_streak_status": True},
        }
        campaign = load(json.dumps(tree, indent=indent)).campaign
        assert campaign.cycle_names == ("a/b", "ü€😀", "tab\there")
        assert (campaign.target_id, campaign.reset_streak_status) == (5512, True)


class TestFaults:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a: 1\nb: {c: ${X}}", 'line 2: put quotes around "${X}" and the text that it belongs to'),
            ("a: [${file:/run/secret}]", 'line 1: put quotes around "${file:/run/secret}" and'),
            ("a: {b: https://${HOST}/, c: 1}", 'line 1: put quotes around "${HOST}" and'),
            ("a: {b: ${X", 'line 1: put quotes around "${X" and'),
            ("a: {pattern: P_{n}, from: 1}", 'line 1: put quotes around "{n}" and'),
            ("a:\n\tb: 1", "line 2: a tab stands here; put blanks in its place"),
            ("a:\tb", "line 1: a tab stands here; put blanks in its place"),
            ("a: 1\nb: 'x\nc: 2", "line 2: the quote that opens here is never closed"),
            ('a: "x', "line 1: the quote that opens here is never closed"),
            ("a: b: c", 'line 1: wrong indentation, or a text with ": " in it that needs quotes'),
            ("a: 1\n b: 2", "line 2: wrong indentation"),
            ("- a\nb: 1", "line 2: wrong indentation"),
            ("a: [1\nb: 2", "line 2: a { or [ before this is not closed"),
            ("a: {b: 1", "line 1: a { or [ before this is not closed"),
            ("a: [1,\n", "line 2: a { or [ before this is not closed"),
            ("a: [", "line 1: a { or [ before this is not closed"),
            ("a: {b:", "line 1: a { or [ before this is not closed"),
            ("a: {b: [}", "line 1: a { or [ before this is not closed"),
            ("a: [1]]", "line 1: a } or ] that no { or [ before it opens"),
            ("a: }", "line 1: a } or ] that no { or [ before it opens"),
            (
                "a:\n  kind oauth\n  key: b",
                'line 3: wrong indentation, or a text with ": " in it that needs quotes, or a key',
            ),
            ("a:\n  kind:oauth\n  key: b", 'or a key here or in the line before that has no ": " behind it'),
            ("a: {b: 1} {c: 2}", "line 1: "),
            ("a: @b", "line 1: a text that begins with @ needs quotes"),
            ("a: %5", "line 1: a text that begins with % needs quotes"),
            ("a: ,", "line 1: a text that begins with a sign needs quotes"),
            ("a: 1\nb", "line 2: a key without a colon"),
            ("a: 1\n---\nb: 2", "line 2: a second document begins here (---); keep one"),
            ('a: "\\q"', "line 1: is not valid YAML (found unknown escape character 'q')"),
            ("a: 1\nb: \x07", "line 2: the character 0x0007 cannot stand in a config file"),
            ("a: 1\nb: 'x\u2028y'", "line 2: the character 0x2028 cannot stand in a config file"),
            ("a: \x85", "line 1: the character 0x0085 cannot stand in a config file"),
            ("a: \x00", "line 1: the character 0x0000 cannot stand in a config file"),
            ('a: "\\U00110000"', "may.yaml: an escape in double quotes names no character"),
            ("[" * 5000, "may.yaml: is nested too deeply"),
            ("- a\n- b", "line 1: is not a mapping of keys"),
            ("customer_id,period_name\n345651201,C1\n", "line 1: is not a mapping of keys"),
            ("just text", "line 1: is not a mapping of keys"),
            ("? [a]\n: b", "line 1: a key must be a single word"),
            ("a: *b", "line 1: a text that begins with * needs quotes"),
            ("a: &b c", "line 1: a text that begins with & needs quotes"),
            ("a: !!python/name:os.system x", "line 1: a text that begins with ! needs quotes"),
            ("a: 1\n<<: {b: 2}", 'line 2, "<<": merge keys are not supported; write the keys out'),
            ("a: 1\nb: 2\na: 3", "line 3, a: repeated key; it already stands in line 1; remove one"),
            ("a: {b: {c: 1,\n c: 2}}", "line 2, a.b.c: repeated key; it already stands in line 1; remove one"),
        ],
    )
    def test_each_slip_has_its_own_line_of_advice(self, text: str, said: str) -> None:
        lines = refusal(text).splitlines()
        assert len(lines) == 1
        assert said in lines[0]
        assert lines[0].startswith("may.yaml")

    def test_a_billion_laughs_are_refused_before_the_first(self) -> None:
        bomb = "a: &a [x, x]\n" + "".join(
            f"{name}: &{name} [*{before}, *{before}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        )
        assert refusal(bomb).startswith("may.yaml, line 1: ")

    def test_an_empty_file_is_a_config_without_keys(self) -> None:
        assert parse("may.yaml", "").tree == parse("may.yaml", "# only a comment\n").tree == {}

    def test_a_strange_key_is_shown_on_one_line(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load('api: {base_url: sandbox}\n"a\\nb\\x85c": 1')
        assert caught.value.text.startswith('may.yaml (as kept with the run), line 2, "a\\u000ab\\u0085c": unknown key')

    def test_a_long_value_is_cut(self) -> None:
        with pytest.raises(ConfigError) as caught:
            load(f"api: {{base_url: sandbox, version: {'9' * 5000}}}")
        assert len(caught.value.text) < 200

    def test_a_key_quoted_like_a_merge_key_is_an_ordinary_key(self) -> None:
        assert parse("may.yaml", '"<<": 1').tree == {"<<": "1"}

    @given(st.text(max_size=60))
    def test_no_text_brings_anything_but_a_tree_or_a_config_error(self, text: str) -> None:
        """Fails when an error of PyYAML's own passes through: take one `except` out of parse()."""
        try:
            parse("may.yaml", text)
        except ConfigError as error:
            assert error.text.startswith("may.yaml")  # noqa: PT017 - either way is right here

    @given(st.text(alphabet="abc:{}[]-?&*!|>'\"%@`#,\\$\t\n 0~<", max_size=40))
    def test_no_punctuation_does_either(self, text: str) -> None:
        """As above, where most texts are near to YAML."""
        try:
            parse("may.yaml", text)
        except ConfigError as error:
            assert error.text.startswith("may.yaml")  # noqa: PT017


class TestFile:
    def refused(self, path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read_config(path)
        assert caught.value.text.startswith(f"{path}: ")
        return caught.value.text.removeprefix(f"{path}: ")

    def test_one_that_is_missing_is_named(self, tmp_path: Path) -> None:
        said = self.refused(tmp_path / "nope.yaml")
        assert said == "cannot be read (No such file or directory); check the path of the config file"

    def test_a_folder_is_not_a_file(self, tmp_path: Path) -> None:
        assert self.refused(tmp_path) == "cannot be read (Is a directory); correct the path"

    def test_a_path_that_cannot_be_is_refused(self) -> None:
        assert self.refused(Path("a\0b")).startswith("is not a path")

    def test_text_that_is_not_utf_8_is_refused_with_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "cp1252.yaml"
        path.write_bytes("a: 1\nb: für\n".encode("cp1252"))
        assert self.refused(path) == "is not UTF-8 text (line 2); save it as UTF-8"

    def test_one_that_another_user_has_is_for_him_to_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_right(*_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "open", no_right)
        assert self.refused(Path("his.yaml")) == "cannot be read (Permission denied); let this user read it"

    def test_one_that_is_far_too_large_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "upload.csv"
        path.write_bytes(b"#" * (SIZE_LIMIT + 1))
        assert self.refused(path) == "is larger than 1 MB; correct the path"

    def test_a_byte_order_mark_and_windows_line_ends_change_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "windows.yaml"
        path.write_bytes(b"\xef\xbb\xbfapi:\r\n  base_url: sandbox\r\ncampaign:\r\n  target_id: x\r\n")
        with pytest.raises(ConfigError) as caught:
            load_settings(path, with_secrets=True, working_dir=tmp_path, environ={})
        assert caught.value.text.startswith(f'{path}, line 4, campaign.target_id: "x" is not a whole number')

    def test_the_text_of_a_ledger_stands_for_the_file(self, tmp_path: Path) -> None:
        settings = load_settings(
            tmp_path / "gone.yaml",
            with_secrets=True,
            working_dir=tmp_path,
            environ={},
            text="api: {base_url: sandbox}\npacing: {rate: 5/s}",
        )
        assert settings.pacing.rate is not None
        assert settings.report.dir == tmp_path / "reports"
