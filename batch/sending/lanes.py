"""Step 4 of 5: keep each customer's requests in order, one at a time.

Owns which request may go next: lanes that are ready, in the order of the input; lanes that wait for a retry; lanes
with a request in flight; lanes that wait for what others find out. Pure: time is an argument, in nanoseconds.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from batch.model import Chunk, OpenRequest


@dataclass(slots=True, eq=False)
class Lane:
    """One customer's open requests in order; `left` are those that it went on without."""

    open: deque[OpenRequest]
    left: list[OpenRequest] = field(default_factory=list)


def _take_up(lane: Lane, chosen: Container[int]) -> None:
    lane.open.extend(item for item in lane.left if item.request_no in chosen)
    lane.left = [item for item in lane.left if item.request_no not in chosen]


class Lanes:
    """The open lanes of all claimed chunks."""

    def __init__(self) -> None:
        self._ready: deque[Lane] = deque()
        self._waiting: list[tuple[int, int, Lane]] = []
        self._order = count()
        self._in_flight: dict[int, Lane] = {}
        self._held: list[Lane] = []
        self._left: list[Lane] = []
        self._open: Counter[Chunk] = Counter()

    def add_chunk(self, chunk: Chunk, requests: Sequence[OpenRequest]) -> None:
        """Take the open requests of a chunk, lane by lane in lane order."""
        self._open[chunk] += len(requests)
        for _, lane in groupby(requests, key=lambda item: item.request.customer):
            self._ready.append(Lane(deque(lane)))

    @property
    def ready_count(self) -> int:
        """How many lanes have a request that may go now."""
        return len(self._ready)

    @property
    def in_flight(self) -> int:
        """How many lanes have a request out, or about to leave."""
        return len(self._in_flight)

    @property
    def is_empty(self) -> bool:
        """Whether no request is ready, waiting for its time, or in flight."""
        return not (self._ready or self._waiting or self._in_flight)

    def next_retry_at(self) -> int | None:
        """Return when the next waiting lane becomes ready, or None."""
        return self._waiting[0][0] if self._waiting else None

    def wake(self, now: int) -> None:
        """Make the lanes ready whose waiting is over; a retry goes before what was never tried."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.appendleft(heapq.heappop(self._waiting)[2])

    def take(self) -> OpenRequest:
        """Take the next request; its lane stands still until `advance`, `retry` or `give_back`."""
        lane = self._ready.popleft()
        self._in_flight[lane.open[0].request_no] = lane
        return lane.open[0]

    def rest_of(self, item: OpenRequest) -> Iterator[OpenRequest]:
        """Return what is open in the lane of a request that was taken, itself included."""
        return iter(self._in_flight[item.request_no].open)

    def advance(self, item: OpenRequest) -> None:
        """Let the lane go on to its next request: this one needs no further attempt.

        It goes on before others begin, so that a run which stops half-way leaves few customers half enrolled.
        """
        lane = self._in_flight.pop(item.request_no)
        lane.open.popleft()
        self._go_on(lane)

    def leave(self, item: OpenRequest) -> None:
        """Let the lane go on without this request, for now."""
        lane = self._in_flight.pop(item.request_no)
        lane.left.append(lane.open.popleft())
        self._go_on(lane)

    def _go_on(self, lane: Lane) -> None:
        if lane.open:
            self._ready.appendleft(lane)
        elif lane.left:
            self._left.append(lane)

    def hold(self, item: OpenRequest) -> None:
        """Let the whole lane wait, until `release_held`."""
        self._held.append(self._in_flight.pop(item.request_no))

    def release_held(self) -> bool:
        """Make those ready that wait for others, before all that were not begun; return whether there were any."""
        held, self._held = self._held, []
        self._ready.extendleft(reversed(held))
        return bool(held)

    def release_left(self) -> None:
        """Make what lanes went on without ready again, where nothing else of the customer is open."""
        for lane in reversed(self._left):
            lane.open, lane.left = deque(lane.left), []
            self._ready.appendleft(lane)
        self._left = []

    @property
    def left(self) -> Iterator[OpenRequest]:
        """What lanes went on without, where nothing else of the customer is open."""
        return (item for lane in self._left for item in lane.left)

    def ask_about_left(self, questions: Mapping[int, OpenRequest]) -> None:
        """Make lanes ready to ask about what they went on without, in the order of the questions.

        Each question by the number of its first request.
        """
        lanes, self._left = self._left, []
        asked: dict[int, Lane] = {}
        for lane in lanes:
            numbers = [item.request_no for item in lane.left if item.request_no in questions]
            lane.open.extend(questions[number] for number in numbers)
            if numbers:
                asked[numbers[0]] = lane
            else:
                self._left.append(lane)
        self._ready.extend(asked[number] for number in questions if number in asked)

    def take_up_left(self, chosen: Container[int]) -> None:
        """Make these of the requests that lanes went on without ready."""
        lanes, self._left = self._left, []
        for lane in lanes:
            _take_up(lane, chosen)
            (self._ready if lane.open else self._left).append(lane)

    def left_of(self, question: OpenRequest) -> list[OpenRequest]:
        """Return what the lane of a question that was taken went on without."""
        return self._in_flight[question.request_no].left

    def answered(self, question: OpenRequest, chosen: Container[int] = ()) -> None:
        """Let the lane go on after its question, first with these of the requests that it went on without."""
        lane = self._in_flight.pop(question.request_no)
        lane.open.popleft()
        _take_up(lane, chosen)
        self._go_on(lane)

    def take_left(self) -> list[OpenRequest]:
        """Take what lanes went on without."""
        left, self._left = list(self.left), []
        return left

    def retry(self, item: OpenRequest, not_before: int) -> None:
        """Try the request again later; `item` carries what its attempts left behind."""
        lane = self._in_flight.pop(item.request_no)
        lane.open[0] = item
        heapq.heappush(self._waiting, (not_before, next(self._order), lane))

    def give_back(self, item: OpenRequest) -> None:
        """Close the lane for this invocation: the request stays open for a resume."""
        del self._in_flight[item.request_no]

    def settle(self, item: OpenRequest) -> bool:
        """Count a request as settled; return whether it was the last open one of its chunk."""
        self._open[item.chunk] -= 1
        return self._open[item.chunk] == 0
