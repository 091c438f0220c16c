"""Whose requests are refused, and so many of them that others wait: for holding them back, and for nothing else.

What is stored tells its tenant to the writer (``spool.company``); what is refused comes to nobody's spool, and is
counted here. A request is its tenant's, as far as path and body tell; those that are no tenant's share a lane. Where
tokens are asked for, only what comes with one for that tenant counts: nobody else may have it held back.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from apidanalytics.ingest.held_back import NOBODY, CallLater
from apidanalytics.ingest.http import Exchange
from apidanalytics.ingest.lanes import UNNAMED_LANE, LaneOf, LanesByPath
from apidanalytics.ingest.whose import PROBES_LANE

PERIOD_SECONDS: Final = 0.25
"""Who is refused is told from the last two periods."""
MANY: Final = 8
"""Fewer refusals than so many in that time hold up nobody."""
HEAVY_SHARE: Final = 16
"""A lane is heavy when at least this part (one in so many) of all requests were refused in it."""


class Refused:
    """Counts refusals by lane. Where nothing is refused it does nothing."""

    def __init__(
        self,
        lane_of: LaneOf,
        on_heavy: Callable[[frozenset[str]], None],
        *,
        stored: Callable[[], int],
        who_posts: Callable[[], set[str]],
        call_later: CallLater,
        speaks_for: Callable[[Exchange, str], bool] = lambda *_: True,
    ) -> None:
        """``on_heavy`` is told, whenever that changes, in which lanes very much is refused while others post.

        ``stored`` tells how many batches were stored so far, and ``who_posts`` whose the last of them were;
        ``speaks_for`` whether who sent a request may post for the tenant of this lane.
        """
        self._lane_of = lane_of
        self._on_heavy = on_heavy
        self._stored = stored
        self._who_posts = who_posts
        self._call_later = call_later
        self._speaks_for = speaks_for
        self._known = LanesByPath(lane_of)
        self._period: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._stored_at = (0, 0)  # the beginning of each
        self._heavy = NOBODY
        self._is_watching = False

    def __repr__(self) -> str:
        return f"<Refused {self._period.total()}, heavy: {sorted(self._heavy)}>"

    def saw(self, exchange: Exchange) -> None:
        """Take note that a request is refused."""
        lane = self._known[exchange.path]
        if lane == UNNAMED_LANE:
            lane = self._lane_of(exchange.path, exchange.body)
        if lane == PROBES_LANE or not self._speaks_for(exchange, lane):
            return
        self._period[lane] += exchange.weight
        if not self._is_watching:
            self._is_watching = True
            self._stored_at = (self._stored(),) * 2
            self._call_later(PERIOD_SECONDS, self._look)

    def _look(self) -> None:
        refused, stored = self._before + self._period, self._stored()
        heavy = self._heavy_of(refused, stored - self._stored_at[0])
        if heavy != self._heavy:
            self._heavy = heavy
            self._on_heavy(heavy)
        self._known.clear()  # scope data change
        self._before, self._period = self._period, Counter()
        self._stored_at = (self._stored_at[1], stored)
        self._is_watching = bool(refused)
        if self._is_watching:
            self._call_later(PERIOD_SECONDS, self._look)

    def _heavy_of(self, refused: Counter[str], stored: int) -> frozenset[str]:
        if not stored:
            return NOBODY
        least, posting = max((refused.total() + stored) / HEAVY_SHARE, MANY), self._who_posts()
        return frozenset(lane for lane, number in refused.items() if number >= least and posting - {lane})
