"""Mobile numbers, e-mail addresses and external ids as spreadsheets bring them: read exactly, or a problem.

Believed after breaks made them fail: a leading 0 taken off without a country code, digits beyond the 15th trusted, a
number that begins like its country code always taken as international.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import ConfigError
from batch.intake.cells import Fault
from batch.intake.identifiers import Customers, read_email, read_external_id
from batch.intake.mobiles import read_mobile, region_of
from batch.intake.raw_cells import Unreadable
from batch.model import Problem, RowProblem

if TYPE_CHECKING:
    from batch.model import Cell


def test_a_row_whose_id_is_a_word_may_be_a_total() -> None:
    problems: list[RowProblem] = []
    Customers(("Customer ID",), {"customer_id": 0}, None).take(("Summe",), problems)
    assert [problem.hint for problem in problems] == [
        '"Summe" is no customer id; write the id, or remove the row if it is a total'
    ]


def mobile(cell: Cell, country_code: str | None = None) -> str | Problem:
    """The number, or the kind of problem."""
    found = read_mobile(cell, country_code, region_of(country_code) if country_code else None)
    return found.problem if isinstance(found, Fault) else found


@pytest.mark.parametrize(
    "cell",
    [
        "919111111111",
        " 91 91111 11111\u00a0",
        "+91 (911) 111-1111",
        "+91-91111-11111",
        "＋919111111111",
        "0091 91111 11111",
        "91.91111.11111",
        "\u202a+919111111111\u202c",
        "91\u200b9111111111",
        "'919111111111",
        '="919111111111"',
        "919111111111.0",
        "919111111111.00",
        "9.19111111111E+11",
        919111111111,
        919111111111.0,
    ],
)
def test_a_mobile_number_is_read_however_it_is_written(cell: Cell) -> None:
    assert mobile(cell) == "919111111111"
    assert mobile(cell, "91") == "919111111111"


@pytest.mark.parametrize(
    "cell", ["9111111111", "09111111111", "(0) 91111-11111", 9111111111, 9111111111.0, "91111 11111"]
)
def test_a_national_number_gets_the_country_code_of_the_config(cell: Cell) -> None:
    assert mobile(cell, "91") == "919111111111"


@pytest.mark.parametrize(
    ("cell", "country_code", "number"),
    [
        ("0171 2345678", "49", "491712345678"),
        ("1712345678", "49", "491712345678"),
        ("491712345678", "49", "491712345678"),
        ("+49 (0)171 2345678", "91", "491712345678"),
        ("0049 171 2345678", "91", "491712345678"),
        ("+49 0171 2345678", "49", "491712345678"),
        ("91234567", "65", "6591234567"),
        ("6591234567", "65", "6591234567"),
        ("3331234567", "39", "393331234567"),
        ("2025550123", "1", "12025550123"),
        ("12025550123", "1", "12025550123"),
        ("050 123 4567", "971", "971501234567"),
        ("501234567", "971", "971501234567"),
        ("910000000123", "91", "910000000123"),
        ("+910000000123", "91", "910000000123"),
    ],
)
def test_with_a_country_code_the_likely_reading_is_taken(cell: str, country_code: str, number: str) -> None:
    assert mobile(cell, country_code) == number


@pytest.mark.parametrize("cell", ["09111111111", "0171 2345678", "(0)171 2345678"])
def test_without_a_country_code_a_leading_zero_is_a_problem_that_says_what_to_do(cell: str) -> None:
    found = read_mobile(cell)
    assert isinstance(found, Fault)
    assert found.problem is Problem.AMBIGUOUS
    assert "input.country_code" in found.hint


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("9.19111E+11", Problem.DIGITS_LOST),
        ("9,19111E+11", Problem.DIGITS_LOST),
        (9191111111112222.0, Problem.DIGITS_LOST),
        (9191111111112222, Problem.DIGITS_LOST),
        (float("nan"), Problem.DIGITS_LOST),
        (9111111111.5, Problem.NOT_AN_IDENTIFIER),
        ("9111111111.5", Problem.NOT_AN_IDENTIFIER),
        (-919111111111, Problem.NOT_AN_IDENTIFIER),
        ("-919111111111", Problem.NOT_AN_IDENTIFIER),
        ("919111111111 / 919111111112", Problem.NOT_AN_IDENTIFIER),
        ("919111111111, 919111111112", Problem.NOT_AN_IDENTIFIER),
        ("919111111111 919111111112", Problem.NOT_AN_IDENTIFIER),
        ("call me", Problem.NOT_AN_IDENTIFIER),
        ("91111x1111", Problem.NOT_AN_IDENTIFIER),
        ("12345", Problem.NOT_AN_IDENTIFIER),
        ("+", Problem.NOT_AN_IDENTIFIER),
        ("+999 123456789", Problem.NOT_AN_IDENTIFIER),
        ("٩١٩١١١١١١١١١", Problem.NOT_AN_IDENTIFIER),
        (True, Problem.NOT_AN_IDENTIFIER),
        (dt.date(2026, 1, 2), Problem.NOT_AN_IDENTIFIER),
        ("#N/A", Problem.ERROR_CELL),
        ("9" * 5_000, Problem.NOT_AN_IDENTIFIER),
        (Unreadable("#REF!", Problem.ERROR_CELL, "mend it"), Problem.ERROR_CELL),
    ],
)
def test_what_cannot_be_read_exactly_is_a_problem(cell: Cell, problem: Problem) -> None:
    assert mobile(cell) is problem
    assert mobile(cell, "91") is problem


def test_a_number_of_another_country_needs_its_plus() -> None:
    assert mobile("971501234567", "91") is Problem.NOT_AN_IDENTIFIER
    assert mobile("+971501234567", "91") == "971501234567"


def test_a_number_with_two_likely_readings_is_a_problem() -> None:
    found = read_mobile("431234567", "43", region_of("43"))
    assert isinstance(found, Fault)
    assert found.problem is Problem.AMBIGUOUS
    assert "write +431234567 or +43431234567" in found.hint


def test_a_country_code_that_no_country_has_is_said() -> None:
    with pytest.raises(ConfigError, match=r"input\.country_code: 999"):
        region_of("999")


@given(st.text(max_size=40) | st.floats() | st.integers(), st.sampled_from([None, "91", "49", "1", "39"]))
def test_whatever_stands_in_a_cell_it_is_digits_or_a_problem(cell: Cell, country_code: str | None) -> None:
    found = mobile(cell, country_code)
    assert isinstance(found, Problem) or (found.isascii() and found.isdigit() and 7 <= len(found) <= 18)


@given(st.integers(10**9, 10**10 - 1), st.sampled_from(["+91{}", "0091{}", "+91 ({})", "+91-{}", " +91{}\u00a0"]))
def test_an_international_number_is_never_changed(national: int, form: str) -> None:
    assert mobile(form.format(national), "91") in {f"91{national}", Problem.NOT_AN_IDENTIFIER}
    assert mobile(form.format(national)) == mobile(form.format(national), "49")


@pytest.mark.parametrize(
    "text", ["a@b.com", "Ann.Lee+x@Example.CO.in", " a@b.com\u00a0", "o'neil@x-y.org", "ü@münchen.de"]
)
def test_an_address_is_kept_as_typed_but_for_blanks_around_it(text: str) -> None:
    assert read_email(text) == text.strip()


@pytest.mark.parametrize(
    "cell",
    ["ann", "a@b", "a@@b.com", "@b.com", "a@", "a b@c.com", "a@b.com;c@d.com", "Ann <a@b.com>", "a@b..com", "a@.com",
     "a@b.com.", "a\u200bb@c.com", "a@b.com, c@d.com", "x" * 250 + "@b.com", 5, True, "#N/A", "a\ufffd@b.com"],
)  # fmt: skip
def test_what_is_no_address_is_a_problem(cell: Cell) -> None:
    assert isinstance(read_email(cell), Fault)


@pytest.mark.parametrize("text", ["EXT-1", "00123", "a b", "1e5", "Ä/ß#1", "+91"])
def test_an_external_id_is_kept_to_the_letter(text: str) -> None:
    assert read_external_id(f" {text} ") == text


@pytest.mark.parametrize("cell", [123, 1.5, dt.date(2026, 1, 2), True, "#REF!", "a\ufffd", "x" * 256, "a\tb"])
def test_an_external_id_that_is_no_text_is_a_problem(cell: Cell) -> None:
    assert isinstance(read_external_id(cell), Fault)


def test_of_several_columns_the_first_that_is_not_blank_decides() -> None:
    of = Customers(["mail", "phone", "ext"], {"email": 0, "mobile": 1, "external_id": 2}, None)
    problems: list[RowProblem] = []
    assert of.take(["a@b.com", "919111111111", "E1"], problems) == "mobile:919111111111"
    assert of.take(["a@b.com", " ", "E1"], problems) == "email:a@b.com"
    assert of.take([None, "", "E1"], problems) == "external_id:E1"
    assert not problems


def test_a_bad_number_is_a_problem_although_another_column_names_the_customer() -> None:
    of = Customers(["mail", "phone"], {"email": 0, "mobile": 1}, None)
    problems: list[RowProblem] = []
    of.take(["a@b.com", "call me"], problems)
    assert [(problem.column, problem.value) for problem in problems] == [("phone", "call me")]


def test_a_row_that_names_nobody_says_what_to_write() -> None:
    of = Customers(["mail"], {"email": 0}, None)
    problems: list[RowProblem] = []
    of.take([""], problems)
    assert problems == [RowProblem("mail", "", Problem.MISSING, "is blank; write the e-mail address")]
