"""What `why` tells of a customer whose row was not sent, and of one who stands nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.commands.test_look_ups import mobiles, number_of

if TYPE_CHECKING:
    from tests.commands.conftest import Desk, Factory

ONE_CYCLE = {"cycles": ["PERIOD_G_29463_1"]}
ROWS = (
    "Member ID,initial_balance,Note\n"
    "101,5,fine\n"
    "102,much,a word\n"
    "0103,6,zeros\n"
    '"1,040",7,two readings\n'
    "105,8,fine\n"
    "105.0,?,again\n"
    "105,8,repeat\n"
)


@pytest.fixture
def reported(desk: Desk, sandbox: Factory) -> Desk:
    """A run whose rows have problems of several kinds."""
    columns = {"columns": {"customer_id": "Member ID"}, "max_problems": "100%"}
    assert desk.run(sandbox(preload=False), ROWS, campaign=ONE_CYCLE, input=columns).code == 4
    return desk


def test_a_row_with_a_problem_is_told_with_its_place_its_value_and_its_hint(reported: Desk) -> None:
    """Fails when only requests are looked at."""
    said = reported("why", "run", "102")
    text = " ".join(said.out.split())
    assert said.code == 0
    assert "upload.csv, row 3: not sent" in text
    assert 'initial_balance "much": "much" is not a whole number' in text
    assert "101" not in text


@pytest.mark.parametrize(
    ("whom", "row", "cell"), [("0103", 4, "0103"), ("103", 4, "0103"), ("1,040", 5, "1,040"), ("1040", 5, "1,040")]
)
def test_a_cell_that_is_no_id_is_found_as_it_stands_there_and_as_it_may_be_meant(
    reported: Desk, whom: str, row: int, cell: str
) -> None:
    said = reported("why", "run", whom)
    assert said.code == 0
    assert f"upload.csv, row {row}: not sent" in said.out
    assert f'Member ID "{cell}"' in said.out


def test_a_customer_with_a_request_and_a_row_that_was_not_sent_gets_both(reported: Desk) -> None:
    """Fails when an id is compared as text, or when a repeat of a request counts as a row that was not sent."""
    out = reported("why", "run", "105").out
    assert "asked for again in row 8" in out
    assert [line.strip() for line in out.splitlines() if "not sent" in line] == ["upload.csv, row 7: not sent"]


def test_a_customer_who_stands_nowhere_is_said_to(reported: Desk) -> None:
    said = reported("why", "run", "999")
    assert said.code == 2
    assert "customer 999 stands in no row of run" in said.err


def test_a_mobile_number_that_cannot_be_read_is_found_by_its_digits(desk: Desk, sandbox: Factory) -> None:
    rows = "mobile,period_name\n+91 91111 11111,\n"
    desk.run(sandbox(), rows, campaign=ONE_CYCLE)
    for whom in ("919111111111", "+91 91111 11111"):
        assert "upload.csv, row 2: not sent" in desk("why", "run", whom).out


def test_each_customer_of_a_run_that_stopped_in_its_look_ups_is_known(desk: Desk, sandbox: Factory) -> None:
    """Fails when who was looked up is sought under the id only, which the requests do not have yet."""
    api = sandbox(preload=False)
    api.inject(0, ["ok"] * 3 + ["error_403_4000"] * 8, "read")
    assert desk.run(api, mobiles(range(200, 206)), campaign=ONE_CYCLE).code == 10
    assert {desk("why", "run", number_of(each)).code for each in range(200, 206)} == {0}
