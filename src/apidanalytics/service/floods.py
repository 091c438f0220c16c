"""Who floods is held back while others post: what a worker's parts tell each other for that (``ingest.held_back``)."""

from apidanalytics.ingest.accept import Acceptor
from apidanalytics.ingest.guard import AUTHORIZATION, Guard
from apidanalytics.ingest.held_back import NOBODY, CallLater
from apidanalytics.ingest.http import Exchange
from apidanalytics.ingest.lanes import UNNAMED_LANE
from apidanalytics.ingest.large import LargeBodies
from apidanalytics.ingest.listener import Listener
from apidanalytics.ingest.refused import Refused
from apidanalytics.ingest.routes import Routes
from apidanalytics.ingest.whose import NOBODYS_LANE
from apidanalytics.service.stepping import step_back, step_forward
from apidanalytics.spool.writer import SpoolWriter

Floods = dict[str, int]
"""How often somebody began to be held back, for what is ``stored`` of him and for what is ``refused``."""


def no_floods() -> Floods:
    """Return a count of none."""
    return {"stored": 0, "refused": 0}


def hold_floods_back(
    listener: Listener,
    writer: SpoolWriter,
    acceptor: Acceptor,
    *,
    routes: Routes,
    guard: Guard | None,
    call_later: CallLater,
) -> Floods:
    """From now on hold back who has far more than others, or is refused very much, while others post.

    What is returned counts the floods.
    """

    def speaks_for(exchange: Exchange, lane: str) -> bool:
        if guard is None or lane in {NOBODYS_LANE, UNNAMED_LANE}:
            return True
        return guard.lets(exchange.header(AUTHORIZATION), lane, routes.scope_of(exchange.path))

    way = _Way(listener, writer, acceptor.large)
    acceptor.large.pace = listener.may_go
    writer.on_company = way.let_heavy
    acceptor.counters.on_refused = Refused(
        acceptor.lane_of,
        way.let_refused,
        stored=lambda: acceptor.counters.batches,
        who_posts=writer.who_posts,
        call_later=call_later,
        speaks_for=speaks_for,
    ).saw
    return way.floods


class _Way:
    """Holds some tenants back, if any are heavy or refused very much, and is there at once for the others."""

    def __init__(self, listener: Listener, writer: SpoolWriter, large_bodies: LargeBodies) -> None:
        self._listener = listener
        self._large_bodies = large_bodies
        self._writer = writer
        self._heavy = self._refused = NOBODY
        self.floods = no_floods()

    def let_heavy(self, lanes: frozenset[str]) -> None:
        """Let those wait that have far more in the spool than others."""
        self.floods["stored"] += len(lanes - self._heavy)
        self._heavy = lanes
        self._make()

    def let_refused(self, lanes: frozenset[str]) -> None:
        """Let those wait of whom very much is refused."""
        self.floods["refused"] += len(lanes - self._refused)
        self._refused = lanes
        self._make()

    def _make(self) -> None:
        lanes = self._heavy | self._refused
        self._listener.hold_back(lanes)
        self._large_bodies.held_back = lanes
        if lanes:
            step_forward(*self._writer.thread_ids)
        else:
            step_back(*self._writer.thread_ids)
