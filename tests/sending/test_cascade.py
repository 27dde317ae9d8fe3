from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.model import Action, EnrollmentRequest, Kind, OpenRequest, Outcome, Scope, StopReason, Verdict
from batch.sending.cascade import Cascades, OnCascade, Way
from batch.sending.evidence import PROOF, Answer, answer_of
from tests.sending.fakes import ENROLLED, LOST, SCOPE, FakeRecorder, FakeSender, make_pool, open_requests
from tests.sending.virtual_loop import run_virtually

ALREADY = Verdict(Outcome.ALREADY_ENROLLED, settled=True, http_status=400, error_code=310119)
NO_CYCLE = Verdict(Outcome.PERIOD_NOT_FOUND, settled=True, http_status=400, error_code=310019)
CONFIRMED = Verdict(Outcome.ENROLLED, settled=True, reason="confirmed_by_retry", http_status=400, error_code=310119)
UNENROLL = dataclasses.replace(SCOPE, action=Action.UNENROLL)


def planned(customer_count: int, cycles: int = 10) -> list[tuple[Scope, str, int]]:
    return [(SCOPE, f"c{n}", customer_count) for n in range(1, cycles + 1)]


def in_order(cycles: int = 10) -> list[tuple[Scope, str, str]]:
    return [(SCOPE, f"c{n}", f"c{later}") for n in range(1, cycles) for later in range(n + 1, cycles + 1)]


Said = tuple[str, Verdict]
Story = list[Said]
"""What one customer's requests were answered, in order: cycle and verdict."""


def told(stories: Iterable[Story], on_cascade: OnCascade = OnCascade.SKIP, customer_count: int = 400) -> Cascades:
    """A fold that has heard these customers, numbered from 1; its chunk is done."""
    cascades = Cascades(on_cascade, planned(customer_count), in_order())
    cascades.recall(
        (1, False, EnrollmentRequest(SCOPE, customer, period), verdict, 1)
        for customer, story in enumerate(stories, start=1)
        for period, verdict in story
    )
    return cascades


fresh_customers = count(1_000_000)


def ways(cascades: Cascades, anchor: str, periods: Iterable[str]) -> list[Way]:
    """What becomes of the later cycles of a new customer, whose cycle `anchor` was accepted."""
    customer = next(fresh_customers)
    cascades.recall([(1, False, EnrollmentRequest(SCOPE, customer, anchor), ENROLLED, 1)])
    chunk = open_requests(1)[0].chunk
    return [
        cascades.way_of(OpenRequest(no, EnrollmentRequest(SCOPE, customer, period), chunk))
        for no, period in enumerate(periods, start=1)
    ]


COVERED: Story = [("c1", ENROLLED), ("c2", ALREADY), ("c3", ALREADY)]


def left_out(cascades: Cascades, anchor: str, period: str) -> bool:
    """Whether a later cycle of new customers is left out: many are asked, because a sample is always sent."""
    return Way.LEAVE in ways(cascades, anchor, [period] * 100)


def test_several_customers_whose_later_cycles_were_all_enrolled_make_a_finding() -> None:
    assert not left_out(told([COVERED] * (PROOF - 1)), "c1", "c2")
    assert left_out(told([COVERED] * PROOF), "c1", "c2")
    assert left_out(told([COVERED] * PROOF), "c1", "c3")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([("c1", ENROLLED), ("c2", ALREADY), ("c3", ENROLLED)], id="one cycle was enrolled by others"),
        pytest.param([("c1", ENROLLED), ("c2", ENROLLED)], id="accepted"),
        pytest.param([("c2", ENROLLED), ("c3", ENROLLED)], id="accepted after another cycle"),
    ],
)
def test_one_later_cycle_that_is_accepted_refutes_the_target(other: Story) -> None:
    assert not left_out(told([*[COVERED] * 50, other]), "c1", "c2")
    assert not left_out(told([other, *[COVERED] * 50]), "c1", "c2")


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([("c1", ALREADY), ("c2", ALREADY)], id="enrolled before by others"),
        pytest.param([("c1", CONFIRMED), ("c2", ALREADY)], id="perhaps enrolled by an attempt of ours"),
        pytest.param([("c1", ENROLLED), ("c2", CONFIRMED)], id="the later one enrolled by an attempt of ours"),
        pytest.param([("c1", ENROLLED), ("c2", NO_CYCLE)], id="no such cycle"),
        pytest.param([("c1", NO_CYCLE), ("c2", ALREADY)], id="no such first cycle"),
    ],
)
def test_what_proves_nothing_makes_no_finding(story: Story) -> None:
    assert not left_out(told([story] * 50), "c1", "c2")


def test_a_cycle_that_was_never_covered_is_sent_although_others_are() -> None:
    cascades = told([[("c1", ENROLLED), ("c2", ALREADY), ("c9", NO_CYCLE)]] * 50)
    assert left_out(cascades, "c1", "c2")
    assert not left_out(cascades, "c1", "c9")


def test_customers_with_their_cycles_in_the_other_order_are_sent_and_refute_nothing() -> None:
    backwards: Story = [("c3", ENROLLED), ("c2", ENROLLED), ("c1", ENROLLED)]
    for stories in ([*[COVERED] * 50, backwards], [backwards, *[COVERED] * 50]):
        cascades = told(stories)
        assert left_out(cascades, "c1", "c2")
        assert not left_out(cascades, "c2", "c1")


def test_a_balance_is_sent_although_it_will_not_be_set() -> None:
    cascades = told([COVERED] * 50)
    cascades.recall([(1, False, EnrollmentRequest(SCOPE, 999_999, "c1"), ENROLLED, 1)])
    chunk = open_requests(1)[0].chunk
    item = OpenRequest(7, EnrollmentRequest(SCOPE, 999_999, "c2", initial_balance=0), chunk)
    assert cascades.way_of(item) is Way.SEND


def test_what_a_retry_confirmed_covers_nothing_because_it_may_have_been_somebody_else() -> None:
    cascades = told([COVERED] * 50)
    cascades.recall([(1, False, EnrollmentRequest(SCOPE, 999_999, "c1"), CONFIRMED, 2)])
    chunk = open_requests(1)[0].chunk
    sent = [OpenRequest(no, EnrollmentRequest(SCOPE, 999_999, "c2"), chunk) for no in range(100)]
    assert {cascades.way_of(item) for item in sent} == {Way.SEND}


@pytest.mark.parametrize("changes", [{"attempts": 1}, {"maybe_applied": True}, {"look": 1}])
def test_what_was_begun_is_gone_on_with(changes: dict[str, int]) -> None:
    cascades = told([COVERED] * 50)
    cascades.recall([(1, False, EnrollmentRequest(SCOPE, 999_999, "c1"), ENROLLED, 1)])
    chunk = open_requests(1)[0].chunk
    item = OpenRequest(7, EnrollmentRequest(SCOPE, 999_999, "c2"), chunk)
    assert cascades.way_of(item) is Way.LEAVE
    assert cascades.way_of(dataclasses.replace(item, **changes)) is Way.SEND  # type: ignore[arg-type]


@pytest.mark.parametrize("on_cascade", [OnCascade.REPORT, OnCascade.STOP])
def test_only_skip_leaves_anything_out(on_cascade: OnCascade) -> None:
    assert not left_out(told([COVERED] * 50, on_cascade), "c1", "c2")


def test_an_unenroll_ends_what_an_earlier_cycle_proves() -> None:
    cascades = told([COVERED] * 50)
    chunk = open_requests(1)[0].chunk
    customer = 999_999
    cascades.recall(
        [
            (1, False, EnrollmentRequest(SCOPE, customer, "c1"), ENROLLED, 1),
            (1, False, EnrollmentRequest(UNENROLL, customer), Verdict(Outcome.IN_DOUBT, settled=True), 1),
        ]
    )
    assert cascades.way_of(OpenRequest(7, EnrollmentRequest(SCOPE, customer, "c2"), chunk)) is Way.SEND


def test_a_streak_says_nothing_about_cascades() -> None:
    streak = dataclasses.replace(SCOPE, kind=Kind.STREAK)
    assert answer_of(EnrollmentRequest(streak, 1), ENROLLED, 1) is None
    assert answer_of(EnrollmentRequest(SCOPE, 1, "c1"), ENROLLED, 1) is Answer.ACCEPTED
    assert answer_of(EnrollmentRequest(SCOPE, 1, "c1"), ENROLLED, 0) is None


def test_a_sample_is_sent_from_every_stretch_of_an_upload() -> None:
    """Believed after _GOLDEN was replaced by a power of two: then all samples lay in a row."""
    stories = [[(f"c{n}", ENROLLED if n == 1 else ALREADY) for n in range(1, 11)]] * 5
    cascades = told(stories, customer_count=200)
    chosen = ways(cascades, "c1", ["c5"] * 1_800)
    assert 15 <= chosen.count(Way.SEND) <= 25
    for begin in range(0, 1_800, 300):
        assert Way.SEND in chosen[begin : begin + 300]


PATTERNS: list[Story] = [
    COVERED,
    [("c2", ENROLLED), ("c1", ALREADY)],
    [("c2", ENROLLED), ("c1", ENROLLED)],
    [("c1", CONFIRMED), ("c3", NO_CYCLE)],
]
answers = st.sampled_from([ENROLLED, ALREADY, CONFIRMED, NO_CYCLE])
any_story = st.lists(st.tuples(st.sampled_from(["c1", "c2", "c3"]), answers), unique_by=lambda said: said[0])
stories_of_customers = st.builds(
    lambda many, few: [*many, *few],
    st.lists(st.sampled_from(PATTERNS), max_size=40),
    st.lists(any_story, max_size=2),
)
REFUTING: Story = [("c1", ENROLLED), ("c2", ENROLLED)]


@given(stories_of_customers, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_customers_does_not_matter(stories: list[Story], refuted: bool, random: object) -> None:
    """Believed after a later customer, in the other order, could clear `is_refuted`."""
    stories = [*stories, REFUTING] if refuted else stories
    shuffled = list(stories)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for anchor in ("c1", "c2", "c3"):
        one, other = told(stories), told(shuffled)
        assert [left_out(one, anchor, p) for p in ("c1", "c2", "c3")] == [
            left_out(other, anchor, p) for p in ("c1", "c2", "c3")
        ]


@given(stories_of_customers)
def test_nothing_is_left_out_that_was_once_accepted_after_that_cycle(stories: list[Story]) -> None:
    """Believed after `not self.accepted` had been taken out of `is_proven`."""
    for story in stories:
        accepted = [period for period, verdict in story if verdict is ENROLLED]
        for anchor, period in pairwise(accepted):
            assert not left_out(told(stories), anchor, period)


class World:
    """An organisation, cascading or not, in which some customers are enrolled into some cycles already."""

    def __init__(self, cascades: bool, before: Iterable[tuple[int, str]] = ()) -> None:
        self.cascades = cascades
        self.enrolled = set(before)
        self.accepted: list[tuple[int, str]] = []

    def answer(self, customer: int, period: str | None, _: int) -> Verdict:
        assert period is not None
        if (customer, period) in self.enrolled:
            return ALREADY
        self.accepted.append((customer, period))
        later = [f"c{n}" for n in range(int(period[1:]), 21)] if self.cascades else [period]
        self.enrolled |= {(customer, each) for each in later}
        return ENROLLED


def skipping(customers: int, cycles: int, on_cascade: OnCascade = OnCascade.SKIP) -> Cascades:
    return Cascades(on_cascade, planned(customers, cycles), in_order(cycles))


def seeing_sender(world: World) -> FakeSender:
    """A sender to whom the API also shows who is enrolled where."""
    sender = FakeSender(world.answer)
    sender.shows = lambda customer, period: (customer, period) in world.enrolled
    return sender


def enrolled_or_covered(recorder: FakeRecorder, world: World, requests: Iterable[OpenRequest]) -> bool:
    """Whether every request has an outcome, and every customer is in fact in the cycles of the upload."""
    outcomes = recorder.outcomes()
    return all(
        item.request_no in outcomes and (item.request.customer, item.request.period) in world.enrolled
        for item in requests
    )


def test_where_an_organisation_cascades_few_later_cycles_are_sent() -> None:
    world, requests = World(cascades=True), open_requests(200, 10)
    sender, recorder = seeing_sender(world), FakeRecorder([requests[:1000], requests[1000:]])
    run_virtually(make_pool(sender, recorder, concurrency=16, cascades=skipping(200, 10)).run())
    assert len(sender.starts) + len(sender.looks) <= 300
    assert len(sender.looks) == 48
    assert sender.overlaps == 0
    assert enrolled_or_covered(recorder, world, requests)
    outcomes = list(recorder.outcomes().values())
    assert outcomes.count(Outcome.ENROLLED) == 200
    assert outcomes.count(Outcome.COVERED_BY_CASCADE) + outcomes.count(Outcome.ALREADY_ENROLLED) == 1_800
    assert recorder.events.count("cascade") == 1
    assert "no_cascade" not in recorder.events
    assert recorder.finished == [1]


@given(
    customers=st.integers(5, 120),
    periods=st.integers(2, 5),
    share=st.sampled_from([0.0, 0.3, 0.6]),
    contiguous=st.booleans(),
    concurrency=st.sampled_from([1, 4, 16]),
    random=st.randoms(use_true_random=False),
)
def test_where_it_does_not_cascade_nobody_is_left_out(
    customers: int, periods: int, share: float, contiguous: bool, concurrency: int, random: object
) -> None:
    """Believed after the left requests were settled at once: those of the others, who come first, then hid it."""
    several = int(customers * share)
    chosen = range(1, several + 1) if contiguous else random.sample(range(1, customers + 1), several)  # type: ignore[attr-defined]
    world, requests = World(False, ((customer, "c2") for customer in chosen)), open_requests(customers, periods)
    sender, recorder = FakeSender(world.answer), FakeRecorder([requests])
    pool = make_pool(sender, recorder, concurrency=concurrency, cascades=skipping(customers, periods))
    assert run_virtually(pool.run()) is None
    assert len(sender.starts) == len(requests)
    assert Outcome.COVERED_BY_CASCADE not in recorder.outcomes().values()
    assert sender.overlaps == 0
    if not contiguous or periods > 2:
        for customer in range(1, customers + 1):
            sent = [period for _, who, period in sender.starts if who == customer]
            assert sent == sorted(sent), "in order, because nothing was found"


def test_with_stop_the_finding_stops_the_run_and_a_resume_goes_on() -> None:
    world, requests = World(cascades=True), open_requests(60, 3)
    sender, recorder = FakeSender(world.answer), FakeRecorder([requests])
    stop = run_virtually(make_pool(sender, recorder, cascades=skipping(60, 3, OnCascade.STOP)).run())
    assert stop is not None
    assert stop.reason is StopReason.GUARD
    assert "on_cascade" in stop.text
    settled = recorder.outcomes()
    assert len(settled) < 40
    known = skipping(60, 3, OnCascade.STOP)
    known.recall((1, False, requests[r.request_no - 1].request, r.verdict, r.attempt) for r in recorder.results)
    again = FakeRecorder([[item for item in requests if item.request_no not in settled]])
    assert run_virtually(make_pool(FakeSender(world.answer), again, cascades=known).run()) is None
    assert len(again.outcomes()) == 180 - len(settled)


def test_a_finding_survives_a_resume_and_is_not_found_again() -> None:
    world, requests = World(cascades=True), open_requests(60, 3)
    recorder = FakeRecorder([requests])
    sender = seeing_sender(world)
    run_virtually(make_pool(sender, recorder, limit=40, cascades=skipping(60, 3)).run())
    settled = recorder.outcomes()
    known = skipping(60, 3)
    known.recall((1, False, requests[r.request_no - 1].request, r.verdict, r.attempt) for r in recorder.results)
    again = FakeRecorder([[item for item in requests if item.request_no not in settled]])
    second = seeing_sender(world)
    assert run_virtually(make_pool(second, again, cascades=known).run()) is None
    assert not {"cascade", "no_cascade"} & set(again.events)
    assert len(sender.starts) + len(second.starts) <= 60 + 5 + 2 * 3 + 25
    assert len(settled | again.outcomes()) == 180


def test_a_lost_answer_to_a_question_does_not_hold_up_the_others() -> None:
    world, requests = World(cascades=True), open_requests(40, 4)

    def answer(customer: int, period: str | None, attempt: int) -> Verdict:
        said = world.answer(customer, period, attempt)
        return LOST if customer <= 4 and attempt < 3 else said

    sender, recorder = FakeSender(answer), FakeRecorder([requests])
    assert run_virtually(make_pool(sender, recorder, cascades=skipping(40, 4)).run()) is None
    assert enrolled_or_covered(recorder, world, requests)


def test_nothing_is_put_off_beyond_an_unenroll() -> None:
    requests = [
        item
        for customer in range(60)
        for no, (scope, period) in enumerate([(SCOPE, "c1"), (SCOPE, "c2"), (UNENROLL, None)], 1 + 3 * customer)
        for item in [OpenRequest(no, EnrollmentRequest(scope, customer, period), open_requests(1)[0].chunk)]
    ]
    done: list[tuple[int, str | None]] = []

    def answer(customer: int, period: str | None, _: int) -> Verdict:
        done.append((customer, period))
        return ALREADY if period == "c2" else ENROLLED

    run_virtually(make_pool(FakeSender(answer), FakeRecorder([requests]), cascades=skipping(60, 2)).run())
    assert len(done) == 180
    for customer in range(60):
        assert [period for who, period in done if who == customer] == ["c1", "c2", None]


def test_what_the_apis_word_refuted_is_not_forgotten_on_a_resume() -> None:
    """The answers alone would make a finding: the missing one was enrolled by an attempt that was lost."""
    cascades = Cascades(OnCascade.SKIP, planned(400), in_order())
    cascades.remember([SCOPE], [])
    cascades.recall(
        (1, False, EnrollmentRequest(SCOPE, customer, period), verdict, 1)
        for customer in range(1, 50)
        for period, verdict in COVERED
    )
    assert not cascades.is_found(SCOPE)
    assert not left_out(cascades, "c1", "c2")
    assert cascades.asked_before(SCOPE) == 0


@pytest.mark.parametrize("customers", [500, 1_000])
def test_a_cycle_that_is_refused_to_everybody_is_soon_not_waited_for(customers: int) -> None:
    """Fails when every answer lets all who wait be looked at again: that grows with the square of the customers."""
    ended = Verdict(Outcome.INVALID_INPUT, settled=True, http_status=400, error_code=300004)
    sender = FakeSender(lambda _, period, __: ENROLLED if period == "c1" else ended)
    cascades, recorder, asked = skipping(customers, 3), FakeRecorder([open_requests(customers, 3)]), 0
    way_of = cascades.way_of

    def counted(item: OpenRequest) -> Way:
        nonlocal asked
        asked += 1
        return way_of(item)

    cascades.way_of = counted  # type: ignore[method-assign]
    assert run_virtually(make_pool(sender, recorder, concurrency=16, cascades=cascades).run()) is None
    assert len(sender.starts) == 3 * customers
    assert asked < 4 * 3 * customers
