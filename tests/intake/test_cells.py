from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.intake.cells import MAX_ID, Fault, read_action, read_balance, read_id, read_name, read_yes_no
from batch.intake.raw_cells import BLANKS, Unreadable, cell_text, is_blank_row
from batch.intake.spellings import NO, YES
from batch.model import Action, Cell, Problem

WHOLE, RANGE, LOST, TWO_READINGS = (
    Problem.NOT_A_WHOLE_NUMBER,
    Problem.OUT_OF_RANGE,
    Problem.DIGITS_LOST,
    Problem.AMBIGUOUS,
)
MONDAY = dt.date(2024, 1, 1)
NOON = dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001 - spreadsheets know no time zones


def problem(value: object) -> Problem | None:
    if isinstance(value, Fault):
        assert value.hint
        return value.problem
    return None


@pytest.mark.parametrize(
    "cell",
    [
        345651201,
        345651201.0,
        "345651201",
        " 345651201\t",
        "\u00a0345651201\u202f",
        "\u200b345651201\ufeff",
        "\u202d345651201\u202c",
        "\u3000345651201",
        "'345651201",
        '="345651201"',
        "345651201.0",
        "345651201.000",
        "3.45651201E8",
        "3.45651201e+08",
        "3,45651201E+8",
    ],
)
def test_an_id_is_read_where_a_careful_person_is_certain(cell: Cell) -> None:
    assert read_id(cell) == 345651201


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, Problem.MISSING),
        ("", Problem.MISSING),
        (" \u00a0\u200b", Problem.MISSING),
        (True, WHOLE),
        ("TRUE", WHOLE),
        ("NULL", WHOLE),
        ("A345", WHOLE),
        ("345 651 201", TWO_READINGS),
        ("345,651,201", TWO_READINGS),
        ("345.651.201", TWO_READINGS),
        ("345'651'201", TWO_READINGS),
        ("345\u00a0651\u00a0201", TWO_READINGS),
        ("1,000", TWO_READINGS),
        ("1.000", TWO_READINGS),
        ("12,5", WHOLE),
        ("12.5", WHOLE),
        ("12.", WHOLE),
        ("12,0", WHOLE),
        (12.5, WHOLE),
        ("345651201,345651202", WHOLE),
        ("345651201;345651202", WHOLE),
        ("345651201\n345651202", WHOLE),
        ("007", TWO_READINGS),
        ("+49170", TWO_READINGS),
        ("＋49170", TWO_READINGS),
        ("-5", RANGE),
        ("−5", RANGE),
        ("-", WHOLE),
        ("0", RANGE),
        (0, RANGE),
        (-5, RANGE),
        (-0.0, RANGE),
        ("9223372036854775808", RANGE),
        ("9" * 40, RANGE),
        ("9" * 5000, WHOLE),
        ("3.45651E+08", LOST),
        ("3.45651E8", LOST),
        ("1E5", LOST),
        ("1E15", LOST),
        ("1.234567890123456E15", LOST),
        (1e15, LOST),
        (10**15, LOST),
        (-(10**15), LOST),
        (math.inf, LOST),
        (math.nan, LOST),
        ("３４５", WHOLE),
        ("٣٤٥", WHOLE),
        ("34\u200b5", WHOLE),
        ("34\u00ad5", WHOLE),
        ("1_000", WHOLE),
        ("0x1F", WHOLE),
        ("²", WHOLE),
        ("Ⅳ", WHOLE),
        ("五", WHOLE),
        ("$5", WHOLE),
        ("5 €", WHOLE),
        ("5%", WHOLE),
        ('"5"', WHOLE),
        ("''5", WHOLE),
        ("#N/A", Problem.ERROR_CELL),
        ("#bezug!", Problem.ERROR_CELL),
        ("Err:502", Problem.ERROR_CELL),
        (MONDAY, WHOLE),
        (NOON, WHOLE),
        (dt.time(12), WHOLE),
        (dt.timedelta(hours=3), WHOLE),
    ],
)
def test_an_id_that_can_be_read_otherwise_is_a_problem(cell: Cell, why: Problem) -> None:
    assert problem(read_id(cell)) is why


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("12,5", '"12,5" is not a whole number; write 12, if that is meant'),
        ("３４５", '"３４５" is not written in the digits 0 to 9; write 345'),
        ("1,000", '"1,000" has separators and can be read in two ways; write 1000, if that is meant'),
        ("34\u200b5", '"34\u200b5" holds an invisible character (U+200B); write the number again'),
        ("0", f'"0" is no id: ids go from 1 to {MAX_ID}; check the id'),
        ("", "is blank; write the id"),
        ("x" * 100, f'"{"x" * 60}…" is no id; write the id, or remove the row if it is a total'),
        ("Total", '"Total" is no id; write the id, or remove the row if it is a total'),
    ],
)
def test_a_hint_says_what_is_wrong_and_what_to_write(cell: Cell, hint: str) -> None:
    found = read_id(cell)
    assert isinstance(found, Fault)
    assert found.hint == hint


NO_BALANCE = (
    "is not a whole number; write one without separators, decimals and currency, such as 1250, "
    "or leave the cell blank for none"
)


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("1.250,00", "is not a whole number; write 1250, if that is meant"),
        ("1,250.00", "is not a whole number; write 1250, if that is meant"),
        ("1 250,50", "is not a whole number; write 1250, if that is meant"),
        ("1.250.000,00", "is not a whole number; write 1250000, if that is meant"),
        ("1'250.", "is not a whole number; write 1250, if that is meant"),
        ("12,50,000", "is not a whole number; write 1250000, if that is meant"),
        ("1,25,000.00", "is not a whole number; write 125000, if that is meant"),
        ("₹12,50,000", "is not a whole number; write 1250000, if that is meant"),
        ("€1.250", NO_BALANCE),
        ("$0.250", NO_BALANCE),
        ("€ 0,500", NO_BALANCE),
        ("12€50", NO_BALANCE),
        ("5€99", NO_BALANCE),
        ("50¢", NO_BALANCE),
        ("0.250", "has separators and can be read in two ways; write a whole number"),
        ("01,250", "has separators and can be read in two ways; write a whole number"),
        ("1.250,00 €", "is not a whole number; write 1250, if that is meant"),
        ("$5", "is not a whole number; write 5, if that is meant"),
        ("007,5", "is not a whole number; write 7, if that is meant"),
        ("1.000", "can be read as 1 and as 1000; write the one that is meant"),
        ("1.250.00", NO_BALANCE),
        ("1,250/-", NO_BALANCE),
        ("Rs. 1.250,00", NO_BALANCE),
        ("1.250,00 EUR", NO_BALANCE),
        ("N/A", NO_BALANCE),
    ],
)
def test_no_hint_for_a_balance_invites_a_hundredfold(cell: str, hint: str) -> None:
    """Who is told to write digits only makes 125000 of 1.250,00."""
    found = read_balance(cell)
    assert isinstance(found, Fault)
    assert found.hint == f'"{cell}" {hint}'


@given(st.from_regex(r"[₹$€+-]?[0-9]{1,3}([., '][0-9]{2,3}){1,3}( EUR|/-)?", fullmatch=True))
def test_no_hint_for_a_number_with_separators_asks_for_digits_only(text: str) -> None:
    """Fails when any branch asks for the digits of what was typed."""
    for found in (read_balance(text), read_id(text)):
        assert not isinstance(found, Fault) or "digits" not in found.hint


@given(st.integers(1, MAX_ID))
def test_every_id_survives_as_text(number: int) -> None:
    assert read_id(str(number)) == number


@given(st.integers(1, 10**15 - 1))
def test_every_id_of_fifteen_digits_survives_in_a_numeric_cell(number: int) -> None:
    assert read_id(number) == number
    assert read_id(float(number)) == number


@given(st.text(max_size=30) | st.from_regex(r"[-+']?[0-9.,' eE٣３]{1,20}", fullmatch=True))
def test_a_text_is_an_id_only_if_its_digits_are_the_id(text: str) -> None:
    """Broken by accepting what `int` accepts ("1_000", "３４５") or `float` does ("1e5")."""
    number = read_id(text)
    if isinstance(number, int):
        plain = text.strip(BLANKS).removeprefix("'")
        mantissa, _, exponent = plain.lower().partition("e")
        digits = "".join(char for char in mantissa if char in "0123456789")
        assert digits.startswith(str(number))
        assert set(digits.removeprefix(str(number))) <= {"0"}
        assert not exponent or len(digits) == int(exponent) + 1


@pytest.mark.parametrize(
    ("cell", "balance"),
    [
        (None, None),
        ("", None),
        (" \u00a0", None),
        ("NULL", None),
        (" null ", None),
        ("Null", None),
        (0, 0),
        ("0", 0),
        (0.0, 0),
        ("0.0", 0),
        ("0.00", 0),
        (12, 12),
        ("12", 12),
        (12.0, 12),
        ("12.0", 12),
        (str(MAX_ID), MAX_ID),
    ],
)
def test_a_blank_balance_is_none_and_zero_is_zero(cell: Cell, balance: int | None) -> None:
    found = read_balance(cell)
    assert found == balance
    assert (found is None) == (balance is None)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("12,5", WHOLE),
        (12.5, WHOLE),
        ("-5", RANGE),
        (-5, RANGE),
        ("€12", WHOLE),
        ("12 EUR", WHOLE),
        ("1,200", TWO_READINGS),
        ("0.000", TWO_READINGS),
        ("00", TWO_READINGS),
        ("-", WHOLE),
        ("N/A", WHOLE),
        ("none", WHOLE),
        (True, WHOLE),
        (MONDAY, WHOLE),
        (1e15, LOST),
        ("1E3", LOST),
        ("#REF!", Problem.ERROR_CELL),
        ("9223372036854775808", RANGE),
    ],
)
def test_a_balance_that_is_no_whole_number_is_a_problem(cell: Cell, why: Problem) -> None:
    assert problem(read_balance(cell)) is why


@pytest.mark.parametrize("cell", [*YES, *(word.upper() for word in YES), " Yes ", "WAHR", True, 1, 1.0])
def test_every_spelling_of_yes_is_read(cell: Cell) -> None:
    assert read_yes_no(cell) is True


@pytest.mark.parametrize("cell", [*NO, *(word.upper() for word in NO), None, "", " \u00a0", False, 0, 0.0])
def test_every_spelling_of_no_is_read_and_blank_is_no(cell: Cell) -> None:
    assert read_yes_no(cell) is False


@pytest.mark.parametrize("cell", ["x", "2", 2, 0.5, "ok", "s", "v", "o", "yes!", "NULL", MONDAY])
def test_anything_else_is_neither_yes_nor_no(cell: Cell) -> None:
    assert problem(read_yes_no(cell)) is Problem.NOT_YES_OR_NO


def test_no_word_is_yes_and_no() -> None:
    assert not YES & NO


@pytest.mark.parametrize(
    "name", ["NA", "null", "1-2", "MAR1", "=x", "-", "1E5", "'x", "0", "TRUE", "2024-01-01", "N/A", "\ta\nb "]
)
def test_a_period_name_in_text_is_kept_to_the_letter(name: str) -> None:
    assert read_name(name) == name.strip()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\ufffd")).filter(lambda text: text.strip(BLANKS)))
def test_every_text_is_a_period_name_but_for_blanks_around_it(name: str) -> None:
    found = read_name(name)
    assert found == name.strip(BLANKS) or problem(found) is Problem.ERROR_CELL


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("Fr\ufffdhling", Problem.AMBIGUOUS),
        (5, Problem.NOT_TEXT),
        (5.5, Problem.NOT_TEXT),
        (True, Problem.NOT_TEXT),
        (MONDAY, Problem.NOT_TEXT),
        (dt.time(3), Problem.NOT_TEXT),
        ("#N/A", Problem.ERROR_CELL),
        ("#NAME?", Problem.ERROR_CELL),
        (None, Problem.MISSING),
        (" \u200b", Problem.MISSING),
    ],
)
def test_a_period_name_that_is_no_text_is_a_problem(cell: Cell, why: Problem) -> None:
    assert problem(read_name(cell)) is why


def test_a_number_in_a_period_says_how_to_format_the_column() -> None:
    found = read_name(202405)
    assert isinstance(found, Fault)
    assert found.hint == '"202405" is stored as a number; format the column as text and write the name again'


@pytest.mark.parametrize(
    ("cell", "action"),
    [
        ("enroll", Action.ENROLL),
        ("Enrol", Action.ENROLL),
        ("RE-ENROLL", Action.ENROLL),
        ("re_enrol", Action.ENROLL),
        ("Re Enroll", Action.ENROLL),
        ("unEnroll", Action.UNENROLL),
        ("un-enrol", Action.UNENROLL),
        (" UNENROLL\u00a0", Action.UNENROLL),
    ],
)
def test_an_action_is_read_in_all_its_spellings(cell: Cell, action: Action) -> None:
    assert read_action(cell) is action


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("remove", Problem.NOT_AN_ACTION),
        ("enrolled", Problem.NOT_AN_ACTION),
        (1, Problem.NOT_AN_ACTION),
        (True, Problem.NOT_AN_ACTION),
        ("", Problem.MISSING),
        (None, Problem.MISSING),
        ("#N/A", Problem.ERROR_CELL),
    ],
)
def test_anything_else_is_no_action(cell: Cell, why: Problem) -> None:
    assert problem(read_action(cell)) is why


@pytest.mark.parametrize("reader", [read_id, read_balance, read_yes_no, read_name, read_action])
def test_an_unreadable_cell_brings_its_own_problem_everywhere(reader: object) -> None:
    cell = Unreadable("5", Problem.AMBIGUOUS, "because")
    assert reader(cell) == Fault(Problem.AMBIGUOUS, "because")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (True, "TRUE"),
        (5.0, "5"),
        (5.5, "5.5"),
        (1.23e18, "1.23e+18"),
        (MONDAY, "2024-01-01"),
        (NOON, "2024-01-01 12:00:00"),
        (dt.time(12), "12:00:00"),
        (dt.timedelta(hours=3), "3:00:00"),
    ],
)
def test_a_cell_is_shown_as_people_know_it(cell: Cell, text: str) -> None:
    assert cell_text(cell) == text


def test_a_row_is_blank_when_nobody_sees_anything_in_it() -> None:
    assert is_blank_row((None, "", " \u00a0\u200b", Unreadable("", Problem.AMBIGUOUS, "merged")))
    assert not is_blank_row((None, 0))
    assert not is_blank_row(("", False))
