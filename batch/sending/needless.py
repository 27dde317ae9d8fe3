"""Step 4 of 5: do with a customer's lane what the cascade says: send, go on without a request, or wait for others.

Owns when what was left out is decided: in the end, when every answer is in. Where the finding still stands then, it is
settled without a call; where it was taken back, it is sent. Knows no time and no task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from batch.model import Action
from batch.sending.cascade import Way

if TYPE_CHECKING:
    from batch.model import OpenRequest
    from batch.sending.cascade import Cascades
    from batch.sending.conclusions import Conclusions
    from batch.sending.lanes import Lanes


class Needless:
    """The requests of one invocation that need not be sent as it stands."""

    def __init__(self, lanes: Lanes, cascades: Cascades, conclusions: Conclusions) -> None:
        self._lanes = lanes
        self._cascades = cascades
        self._conclusions = conclusions

    def stands_back(self, item: OpenRequest) -> bool:
        """Return whether a request that was taken is not sent now; its lane is seen to.

        Nothing is put off beyond an unenroll of the same customer, which would undo something else then.
        """
        way = self._cascades.way_of(item)
        if way is not Way.SEND and any(
            each.request.scope.action is Action.UNENROLL for each in self._lanes.rest_of(item)
        ):
            way = Way.SEND
        match way:
            case Way.SEND:
                return False
            case Way.LEAVE:
                self._lanes.leave(item)
            case Way.WAIT:
                self._lanes.hold(item)
            case _:
                assert_never(way)
        return True

    def hear(self) -> None:
        """Let those lanes go on that something was found out for meanwhile."""
        if self._cascades.has_news:
            self._lanes.release_held()
        if self._cascades.was_taken_back:
            self._lanes.release_left()
        self._cascades.has_news = self._cascades.was_taken_back = False

    def finish(self) -> bool:
        """Decide what is left, when nothing else is open; return whether something is to be sent after all."""
        self._cascades.no_more_answers = True
        if not self._lanes.release_held():
            for item in self._lanes.take_left(lambda item: self._cascades.way_of(item) is Way.LEAVE):
                self._conclusions.cover(item)
        return self._lanes.ready_count > 0
