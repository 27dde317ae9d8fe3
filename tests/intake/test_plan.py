from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batch.errors import InputRefused
from batch.intake.plan import Planner, RowPlan, match_columns
from batch.model import Action, EnrollmentRequest, Kind, Problem, Scope, SourceRow, request_id
from tests.intake.readings import plan_rules

if TYPE_CHECKING:
    from batch.model import Cell

SCOPE = Scope(Action.ENROLL, Kind.MILESTONE, None, 29463, 5512)
STREAK: dict[str, Any] = {"kind": Kind.STREAK}
UNENROLL: dict[str, Any] = {"action": Action.UNENROLL}


def plan(columns: str, *cells: Cell, **rules: Any) -> RowPlan:
    """Plan one row under these columns (names with blanks between)."""
    headers = columns.split()
    planner = Planner(plan_rules(**rules), headers, match_columns(headers, {}))
    return planner.plan_row(SourceRow(2, cells))


def asked(row_plan: RowPlan) -> list[tuple[object, ...]]:
    assert not row_plan.problems
    return [(r.customer, r.period, r.initial_balance, r.reset_streak_status) for r in row_plan.requests]


def reported(row_plan: RowPlan) -> list[tuple[str, Problem]]:
    assert not row_plan.requests
    return [(problem.column, problem.problem) for problem in row_plan.problems]


def test_a_row_is_expanded_over_the_cycles_of_the_config_in_their_order() -> None:
    assert asked(plan("customer_id", "5", cycles=("B", "A", "C"))) == [(5, name, None, False) for name in "BAC"]


def test_first_expands_over_the_first_cycle_only() -> None:
    assert asked(plan("customer_id", "5", cycles=("B", "A"), expand="first")) == [(5, "B", None, False)]


def test_a_period_column_is_never_expanded_further() -> None:
    planned = plan("customer_id period_name", "5", "June", cycles=("A", "B"), expand="first")
    assert asked(planned) == [(5, "June", None, False)]


def test_several_periods_in_a_cell_are_several_requests_where_a_separator_is_set() -> None:
    planned = plan("customer_id period_name", "5", " A ; B;C ", period_separator=";")
    assert asked(planned) == [(5, "A", None, False), (5, "B", None, False), (5, "C", None, False)]


def test_without_a_separator_a_cell_is_one_name() -> None:
    assert asked(plan("customer_id period_name", "5", "A;B")) == [(5, "A;B", None, False)]


@pytest.mark.parametrize("cell", ["A;", ";A", "A;;B", ";"])
def test_a_blank_name_beside_a_separator_is_a_problem(cell: str) -> None:
    assert reported(plan("customer_id period_name", "5", cell, period_separator=";")) == [
        ("period_name", Problem.MISSING)
    ]


def test_a_column_decides_for_every_row_and_the_config_only_where_there_is_none() -> None:
    columns = "customer_id period_name initial_balance target_group_id target_id org_id"
    planned = plan(columns, "5", "A", "", "7", "8", "9", cycles=("X",), initial_balance=100, org_id=3)
    scope = Scope(Action.ENROLL, Kind.MILESTONE, 9, 7, 8)
    assert planned.requests == (EnrollmentRequest(scope, 5, "A"),)


def test_the_config_gives_balance_and_org_where_there_is_no_column() -> None:
    planned = plan("customer_id", "5", cycles=("X",), initial_balance=0, org_id=3)
    assert planned.requests == (EnrollmentRequest(Scope(Action.ENROLL, Kind.MILESTONE, 3, 29463, 5512), 5, "X", 0),)


@pytest.mark.parametrize("name", ["customer_id", "period_name", "target_group_id", "target_id", "org_id", "action"])
def test_a_blank_in_a_column_that_applies_is_a_problem(name: str) -> None:
    columns = ["customer_id", "period_name", "target_group_id", "target_id", "org_id", "action"]
    good = dict(zip(columns, ["5", "A", "7", "8", "9", "enroll"], strict=True))
    planned = plan(" ".join(columns), *(good | {name: " "}).values())
    assert reported(planned) == [(name, Problem.MISSING)]


def test_all_problems_of_a_row_are_reported() -> None:
    columns = "customer_id period_name initial_balance target_group_id target_id org_id"
    planned = plan(columns, "x", 5, "1.5", "0", "", "-1")
    assert [column for column, _ in reported(planned)] == [
        "customer_id",
        "org_id",
        "target_group_id",
        "target_id",
        "period_name",
        "initial_balance",
    ]


def test_a_streak_is_one_request_without_a_period() -> None:
    assert asked(plan("customer_id reset_streak_status", "5", "yes", **STREAK)) == [(5, None, None, True)]
    assert asked(plan("customer_id", "5", reset_streak_status=True, **STREAK)) == [(5, None, None, True)]
    assert asked(plan("customer_id reset_streak_status", "5", "", reset_streak_status=True, **STREAK)) == [
        (5, None, None, False)
    ]


def test_an_unenroll_is_one_request_of_the_customer_alone() -> None:
    planned = plan("customer_id", "5", cycles=("A", "B"), **UNENROLL)
    assert planned.requests == (EnrollmentRequest(Scope(Action.UNENROLL, Kind.MILESTONE, None, 29463, 5512), 5),)


def test_an_action_column_decides_row_by_row() -> None:
    headers = ["customer_id", "action"]
    planner = Planner(plan_rules(cycles=("A", "B")), headers, match_columns(headers, {}))
    plans = [planner.plan_row(SourceRow(2, ("5", action))) for action in ("re-enroll", "unenroll")]
    assert [len(each.requests) for each in plans] == [2, 1]
    assert [each.requests[0].scope.action for each in plans] == [Action.ENROLL, Action.UNENROLL]


@pytest.mark.parametrize(
    ("rules", "columns", "cells", "notes"),
    [
        (
            STREAK,
            "initial_balance period_name",
            ("7", "May"),
            [
                "initial_balance does not apply to a streak: left out",
                "period_name does not apply to a streak: left out",
            ],
        ),
        (STREAK, "initial_balance period_name", ("", " "), []),
        (STREAK, "initial_balance", ("nonsense",), ["initial_balance does not apply to a streak: left out"]),
        (STREAK, "initial_balance", ("NULL",), []),
        (STREAK, "initial_balance", (0,), ["initial_balance does not apply to a streak: left out"]),
        (
            {"cycles": ("A",)},
            "reset_streak_status",
            ("true",),
            ["reset_streak_status does not apply to a milestone: left out"],
        ),
        ({"cycles": ("A",)}, "reset_streak_status", ("false",), []),
        (
            UNENROLL,
            "period_name initial_balance reset_streak_status",
            ("May", "1,5", "y"),
            [
                "initial_balance does not apply to an unenroll: left out",
                "reset_streak_status does not apply to an unenroll: left out",
                "period_name does not apply to an unenroll: left out",
            ],
        ),
        (
            STREAK | {"initial_balance": 0, "cycles": ("A",)},
            "note",
            ("x",),
            [
                "campaign.initial_balance does not apply to a streak: left out",
                "campaign.cycles does not apply to a streak: left out",
            ],
        ),
        (
            {"cycles": ("A",), "reset_streak_status": True},
            "note",
            ("x",),
            ["campaign.reset_streak_status does not apply to a milestone: left out"],
        ),
        (STREAK | {"initial_balance": 5}, "initial_balance", ("",), []),
    ],
)
def test_what_does_not_apply_is_left_out_with_a_note(
    rules: dict[str, Any], columns: str, cells: tuple[Cell, ...], notes: list[str]
) -> None:
    planned = plan(f"customer_id {columns}", "5", *cells, **rules)
    assert len(planned.requests) == 1
    assert planned.requests[0].initial_balance is None
    assert not planned.requests[0].reset_streak_status
    assert list(planned.notes) == notes


def test_a_row_with_problems_has_no_notes() -> None:
    planned = plan("customer_id initial_balance", "x", "7", **STREAK)
    assert reported(planned) == [("customer_id", Problem.NOT_A_WHOLE_NUMBER)]
    assert planned.notes == ()


@pytest.mark.parametrize(
    ("columns", "rules", "words"),
    [
        (
            "customer_id",
            {"target_group_id": None, "cycles": ("A",)},
            "neither a column target_group_id nor campaign.target_group_id",
        ),
        ("customer_id", {"target_id": None, "cycles": ("A",)}, "neither a column target_id nor campaign.target_id"),
        ("customer_id", {"cycles": None}, "neither a column period_name nor campaign.cycles"),
        ("customer_id", {"cycles": ()}, "neither a column period_name nor campaign.cycles"),
    ],
)
def test_a_table_without_what_every_row_needs_is_refused(columns: str, rules: dict[str, Any], words: str) -> None:
    with pytest.raises(InputRefused) as refused:
        plan(columns, "5", **rules)
    assert words in refused.value.text


def test_an_enroll_row_without_a_cycle_is_a_problem_where_a_column_says_the_action() -> None:
    assert reported(plan("customer_id action", "5", "enroll")) == [("period_name", Problem.MISSING)]
    assert len(plan("customer_id action", "5", "unenroll").requests) == 1


def test_numbers_that_look_alike_to_python_are_not_taken_for_each_other() -> None:
    """Broken by remembering cells of every type in one dict: 1, 1.0 and True are one key."""
    headers = ["customer_id", "period_name", "initial_balance"]
    planner = Planner(plan_rules(), headers, match_columns(headers, {}))
    plans = [planner.plan_row(SourceRow(2, ("5", "A", cell))) for cell in (1, True, 1.0, "1", True)]
    assert [bool(each.problems) for each in plans] == [False, True, False, False, True]


OWN = (
    "customer_id period_name initial_balance reset_streak_status action org_id target_group_id target_id outcome "
    "request_id"
)
ID = request_id(EnrollmentRequest(SCOPE, 5, "May;June"))


@pytest.mark.parametrize(("written", "customer"), [(ID, "5"), (f" {ID} ", 5), ("", "6"), (None, "6")])
def test_a_row_of_our_report_is_sent_again_as_it_stands(written: Cell, customer: Cell) -> None:
    planned = plan(
        OWN,
        customer,
        "May;June",
        "0",
        "",
        "enroll",
        "",
        "29463",
        "5512",
        "not_sent",
        written,
        cycles=("X",),
        initial_balance=9,
        org_id=3,
        period_separator=";",
    )
    assert planned.requests == (EnrollmentRequest(SCOPE, int(str(customer)), "May;June", 0),)


@pytest.mark.parametrize(("customer", "period"), [("6", "May;June"), ("5", "May")])
def test_a_row_of_our_report_that_was_changed_is_a_problem_that_says_what_to_do(customer: str, period: str) -> None:
    planned = plan(OWN, customer, period, "", "", "enroll", "", "29463", "5512", "not_sent", ID)
    assert reported(planned) == [("request_id", Problem.AMBIGUOUS)]
    assert "empty the request_id to send the row as it now stands" in planned.problems[0].hint


def test_a_blank_org_is_a_problem_except_in_our_reports() -> None:
    assert reported(plan("customer_id period_name org_id", "5", "A", "")) == [("org_id", Problem.MISSING)]


def test_a_customer_may_be_named_in_another_way_than_by_id() -> None:
    assert asked(plan("mobile", "+91 91111 11111", cycles=("A",))) == [("mobile:919111111111", "A", None, False)]
    assert asked(plan("E-Mail", "a@b.com", cycles=("A",))) == [("email:a@b.com", "A", None, False)]
    assert asked(plan("ExternalId", "X1", cycles=("A",))) == [("external_id:X1", "A", None, False)]


def test_beside_a_customer_id_other_names_of_the_customer_are_not_looked_at() -> None:
    assert asked(plan("mobile customer_id", "call me", "5", cycles=("A",))) == [(5, "A", None, False)]
    assert reported(plan("mobile customer_id", "919111111111", "", cycles=("A",))) == [("customer_id", Problem.MISSING)]


def test_a_national_number_gets_the_country_code_of_the_rules() -> None:
    assert asked(plan("mobile", "09111111111", cycles=("A",), country_code="91")) == [
        ("mobile:919111111111", "A", None, False)
    ]
    assert reported(plan("mobile", "09111111111", cycles=("A",))) == [("mobile", Problem.AMBIGUOUS)]


def test_what_names_nobody_and_what_else_is_wrong_are_reported_together() -> None:
    assert reported(plan("mobile initial_balance", "", "x", cycles=("A",))) == [
        ("mobile", Problem.MISSING), ("initial_balance", Problem.NOT_A_WHOLE_NUMBER)
    ]  # fmt: skip


def test_a_report_of_ours_names_some_by_id_and_some_as_the_upload_did() -> None:
    columns = "customer_id period_name outcome request_id mobile"
    by_mobile = EnrollmentRequest(SCOPE, "mobile:919111111111", "A")
    digest = request_id(by_mobile)
    assert asked(plan(columns, "5", "A", "server_error", "", "call me")) == [(5, "A", None, False)]
    assert asked(plan(columns, "", "A", "invalid_user", digest, "919111111111")) == [
        ("mobile:919111111111", "A", None, False)
    ]
    assert reported(plan(columns, "", "A", "invalid_user", digest, "919111111112")) == [
        ("request_id", Problem.AMBIGUOUS)
    ]
    assert reported(plan(columns, "", "A", "invalid_user", digest, "")) == [("customer_id", Problem.MISSING)]


def test_several_columns_of_a_report_may_be_called_mobile_where_customers_have_ids() -> None:
    assert asked(plan("customer_id period_name outcome request_id mobile mobile", "5", "A", "", "", "1", "2")) == [
        (5, "A", None, False)
    ]


def test_two_columns_for_one_way_to_name_a_customer_are_refused() -> None:
    with pytest.raises(InputRefused, match="2 columns could be mobile"):
        match_columns(["Mobile", "mobile"], {})


def test_a_column_of_the_config_may_name_the_customer_by_mobile() -> None:
    assert match_columns(["Phone", "mobile"], {"mobile": "Phone"}) == {"mobile": 0}
