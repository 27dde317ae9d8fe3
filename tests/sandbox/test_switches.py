"""The switches: read from text, refused with a reason, and all of them in the help."""

from __future__ import annotations

from dataclasses import fields

import pytest

from batch.errors import UsageError
from batch.sandbox.faults import Dose, Fault
from batch.sandbox.readers import Latency
from batch.sandbox.switches import SWITCH_NAMES, RetryAfter, Switches, parse_switches, switches_help


def test_nothing_set_is_the_default():
    assert parse_switches({}) == Switches()


def test_every_switch_reads_the_value_that_its_help_shows():
    shown = {}
    for line in switches_help().splitlines():
        if line.startswith("  ") and "=" in line and not line.startswith("   "):
            name, _, value = line.strip().split("  ")[0].partition("=")
            shown[name] = value.strip('"')
    assert set(shown) == {field.name for field in fields(Switches)} - {"faults"}
    assert parse_switches(shown) == Switches()


def test_every_switch_and_fault_is_in_the_help_with_its_label():
    text = switches_help()
    assert all(name in text for name in SWITCH_NAMES)
    assert "[D]" in text
    assert "[A]" in text


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cascade", "Yes", True),
        ("limit_per_min", "none", None),
        ("limit_per_min", "100", 100),
        ("retry_after", "http-date", RetryAfter.HTTP_DATE),
        ("latency_ms", "40", Latency(40, 40)),
        ("latency_ms", "20-60", Latency(20, 60)),
        ("ended_cycle", "accept", None),
        ("unenroll_of_non_member", "310119", 310119),
        ("token_ttl_s", "2", 2.0),
    ],
)
def test_a_value_is_read_by_its_type(name, text, value):
    assert getattr(parse_switches({name: f" {text} "}), name) == value


@pytest.mark.parametrize(
    ("text", "dose"),
    [
        ("3%", Dose(Fault.ERROR_502, 0.03)),
        ("0.03", Dose(Fault.ERROR_502, 0.03)),
        ("1", Dose(Fault.ERROR_502, 1.0)),
        ("first 10", Dose(Fault.ERROR_502, 1.0, 10)),
        ("3% of first 200", Dose(Fault.ERROR_502, 0.03, 200)),
    ],
)
def test_a_fault_has_a_share_of_all_or_of_the_first_calls(text, dose):
    assert parse_switches({"error_502": text}).faults == (dose,)


@pytest.mark.parametrize("text", ["", "often", "101%", "1.5", "-1%", "first", "first -1", "3% first 200", "of first 3"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UsageError, match="error_502"):
        parse_switches({"error_502": text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cascade", "perhaps"),
        ("limit_per_min", "0"),
        ("limit_per_min", "-5"),
        ("limit_per_min", "many"),
        ("retry_after", "later"),
        ("latency_ms", "60-20"),
        ("latency_ms", "-1"),
        ("latency_ms", "inf"),
        ("token_ttl_s", "0"),
        ("token_ttl_s", "nan"),
        ("success_status", "2000"),
        ("status", "310119"),
        ("status", "310119:abc"),
        ("status", "310119:99"),
        ("seed", "1.5"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_what_may_stand_there(name, text):
    with pytest.raises(UsageError) as refused:
        parse_switches({name: text})
    assert name in refused.value.text
    assert f'"{text}"' in refused.value.text


def test_an_unknown_switch_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match='"cascde"; did you mean "cascade"'):
        parse_switches({"cascde": "true"})
    with pytest.raises(UsageError, match="sandbox --help"):
        parse_switches({"zzz": "true"})


def test_shares_that_come_to_more_than_all_calls_are_refused():
    with pytest.raises(UsageError, match="110%"):
        parse_switches({"error_500": "60%", "error_502": "50%"})
    with pytest.raises(UsageError, match="200%"):
        parse_switches({"error_500": "first 3", "error_502": "first 5"})
    parse_switches({"error_500": "60%", "error_502": "40%"})
