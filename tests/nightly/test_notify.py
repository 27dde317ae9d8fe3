"""Telling is tried again, is never waited for without end, and never brings anything down."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from batch.errors import EXIT_CODES
from batch.model import Occasion
from batch.nightly.messages import Message, Undelivered, occasion_of
from batch.nightly.notify import deliver

MESSAGE = Message(Occasion.DONE, "monday", 0, "all done", "host:/reports/monday", 1_000_000_000)
SECRET = "hidden-token"


@dataclass
class Script:
    """A way that does what it is told, attempt by attempt; then it arrives."""

    script: list[Exception] = field(default_factory=list)
    name: str = "notify, item 1 (script)"
    got: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.script:
            raise self.script.pop(0)
        self.got.append(message)

    def check(self) -> str:
        return "fine"


def busy() -> Undelivered:
    return Undelivered("busy", again=True)


def test_a_message_arrives_at_the_first_attempt() -> None:
    way = Script()
    (delivery,) = deliver([(way, MESSAGE)])
    assert way.got == [MESSAGE]
    assert delivery.text == "notify, item 1 (script): told (1 attempt)"


def test_what_may_get_better_is_tried_again_after_longer_and_longer_waits() -> None:
    way, slept = Script([busy(), busy()]), list[float]()
    (delivery,) = deliver([(way, MESSAGE)], waits_s=(1, 5, 25), sleep=slept.append)
    assert slept == [1, 5]
    assert (delivery.attempts, delivery.fault) == (3, None)


def test_it_is_not_tried_for_ever() -> None:
    way, slept = Script([busy() for _ in range(99)]), list[float]()
    (delivery,) = deliver([(way, MESSAGE)], waits_s=(1, 5), sleep=slept.append)
    assert slept == [1, 5]
    assert delivery.text == "notify, item 1 (script): not told: busy (3 attempts)"
    assert way.got == []


def test_what_will_not_get_better_is_not_tried_again() -> None:
    way, slept = Script([Undelivered("unknown", again=False)]), list[float]()
    (delivery,) = deliver([(way, MESSAGE)], sleep=slept.append)
    assert (delivery.attempts, delivery.fault, slept) == (1, "unknown", [])


def test_a_fault_of_a_way_is_told_without_its_words() -> None:
    way = Script([ValueError(SECRET)])
    (delivery,) = deliver([(way, MESSAGE)])
    assert delivery.fault == "a fault of enroll-batch itself (ValueError)"


def test_one_way_that_fails_keeps_no_other_from_its_message() -> None:
    first, second = Script([Undelivered("no", again=False)]), Script(name="second")
    deliveries = deliver([(first, MESSAGE), (second, MESSAGE)])
    assert [delivery.fault for delivery in deliveries] == ["no", None]
    assert second.got == [MESSAGE]


def test_whoever_takes_too_long_is_left_alone() -> None:
    let_go = threading.Event()

    class Slow(Script):
        def send(self, message: Message) -> None:
            let_go.wait()

    try:
        (slow, quick) = deliver([(Slow(), MESSAGE), (Script(), MESSAGE)], patience_s=0.2)
    finally:
        let_go.set()
    assert slow.fault == "it takes too long"
    assert quick.fault is None


def test_every_exit_code_is_an_occasion() -> None:
    assert {code: occasion_of(code).value for code in EXIT_CODES} == {
        0: "done", 1: "stopped", 2: "refused", 3: "refused", 4: "partial", 5: "partial", 6: "stopped", 7: "stopped",
        8: "stopped", 9: "stopped", 10: "refused", 11: "stopped",
    }  # fmt: skip


@pytest.mark.parametrize("report", ["", "host:/reports/\udcff"])
def test_a_body_can_be_encoded_whatever_the_path_is(report: str) -> None:
    message = Message(Occasion.DONE, "monday", 0, "all done\n\n", report, 0)
    assert message.body.encode().startswith(b"all done\n")
