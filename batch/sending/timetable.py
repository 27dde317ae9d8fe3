"""Step 4 of 5: when requests may start by the clock on the wall, told on the clock of the running loop.

Joins the two clocks anew at each question, because the one on the wall may be set, and a machine may sleep. Which
hours they are is known to `window`.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from batch.sending.window import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch.sending.window import Hours


class Timetable:
    """The hours of one invocation. Times are integer nanoseconds; `now` and answers are on the loop's clock."""

    def __init__(
        self,
        hours: Hours,
        zone: dt.tzinfo,
        *,
        over: str,
        unknown_ns: int,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`over`: why the run stops when nothing may start any more. `unknown_ns`: how long a request may take.

        The latter holds only before the first answer. `wall_clock` gives nanoseconds since 1970.
        """
        self._hours = hours
        self._zone = zone
        self.over = over
        self._unknown_ns = unknown_ns
        self._wall_clock = wall_clock

    def opens_at(self, at: int, now: int, lasting_ns: int) -> int | None:
        """Return the earliest time, not before `at`, at which a request may start and end in time; None: never.

        `lasting_ns`: how long it may take, 0 where that is not known yet.
        """
        ahead = self._wall_clock() - now
        opens = self._hours.start_at(at + ahead, lasting_ns or self._unknown_ns)
        return None if opens is None else opens - ahead

    def shown(self, at: int, now: int) -> str:
        """Say what the clock on the wall shows at a time: "22:00"; with the day where that is not within a day."""
        wall_ns = self._wall_clock()
        moment = dt.datetime.fromtimestamp((wall_ns + at - now) // SECOND_NS, self._zone)
        form = "%H:%M" if at - now < 86_400 * SECOND_NS else "%a %H:%M"
        return f"{moment.strftime(form)} {self._zone}"
