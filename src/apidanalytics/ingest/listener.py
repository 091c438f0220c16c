"""Takes connections from listening sockets, and ends them all in good order."""

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.ingest.http import Handler
from apidanalytics.ingest.lanes import LaneOf, lane_by_path
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.peers import Admit
from apidanalytics.ingest.protocol import HttpConnection
from apidanalytics.ingest.reclaim import is_anyone_waiting
from apidanalytics.ingest.server_state import ServerState

log = structlog.get_logger()

SWEEP_SECONDS: Final = 0.25
READ_FIRST_SECONDS: Final = 0.001
"""Between finding a deadline passed and acting on it: the event loop reads what has come in."""
ACCEPTS_PER_TURN: Final = 64
ACCEPTS_PER_TURN_SHARED: Final = 8
"""For a socket that several workers accept from: who wakes up first must not take all."""
RECLAIMED_PER_SWEEP: Final = 64
STARVED_SECONDS: Final = 1.0
"""How long nothing is accepted after the system had no descriptor or memory left."""
STARVED_LOG_SECONDS: Final = 60.0
TLS_SHUTDOWN_SECONDS: Final = 2.0


class Listener:
    """Serves HTTP on listening sockets with one handler. To be used on the event loop only.

    The sockets stay the caller's: they are made non-blocking, and never closed.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        handler: Handler,
        *,
        clock: Clock,
        limits: HttpLimits | None = None,
        tls: ssl.SSLContext | None = None,
        accepts_per_turn: int = ACCEPTS_PER_TURN,
        lane_of: LaneOf = lane_by_path,
        admit: Admit | None = None,
        busy_seconds: Callable[[], float] = time.thread_time,
        is_awaited: Callable[[], bool] = bool,
    ) -> None:
        """Take the parts; requests of different lanes take turns when there are too many.

        ``busy_seconds`` tells for how long the event loop was busy so far, and ``is_awaited`` whether the disk is
        at work, or somebody who is not held back waits for it.

        With ``admit``, which needs ``tls`` that asks for certificates, clients that it does not admit get 403.
        """
        self._sockets = sockets
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._accepts_per_turn = accepts_per_turn
        self._admit = admit
        self._loop = asyncio.get_event_loop()
        self._state = ServerState(
            handler,
            self._limits,
            clock,
            call_soon=self._loop.call_soon,
            call_later=self._loop.call_later,
            on_close=self._let_go,
            lane_of=lane_of,
            busy_seconds=busy_seconds,
            is_awaited=is_awaited,
        )
        self._opening: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._is_watching = False
        self._is_stopped = True
        self._is_starved = False
        self._emptied: asyncio.Future[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._next_log_at: dict[str, float] = {}

    def start(self) -> None:
        """Begin to accept."""
        for listening in self._sockets:
            listening.setblocking(False)
            if listening.family != socket.AF_UNIX:
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        self._is_stopped = False
        self._watch()
        self._sweep()

    def hold_back(self, lanes: frozenset[str]) -> None:
        """Handle requests of these lanes only as fast as ``flood_share`` leaves time for others; none: as they come."""
        self._state.hold_back(lanes)

    def may_go(self) -> bool:
        """Tell whether a step of what a lane has that is held back, and that was handed on, may go ahead now."""
        return self._state.may_go()

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - a deadline for the clients, not for the call
        """Stop accepting, serve what was asked or is on its way, then close; cut off what is left after ``timeout``.

        Connections that wait in the accept queue are served, too. An idle connection is closed after about a second.
        """
        self._take_waiting()
        self._is_stopped = True
        self._watch()
        self._state.is_draining = True
        for connection in list(self._state.connections):
            connection.drain()
        if not await self._wait_until_empty(timeout):
            log.warning(
                "ingest.drain_cut_short",
                connections=self.connections,
                hint="apidanalytics_shutdown_timeout is over, and clients still sent; their batches are not kept",
            )
            self._abort()
            await self._wait_until_empty(1.0)
        if self._sweeper is not None:
            self._sweeper.cancel()

    # For metrics.

    @property
    def connections(self) -> int:
        """Open connections, and those whose TLS handshake is under way."""
        return self._connections

    @property
    def requests(self) -> int:
        """Complete requests so far."""
        return self._state.requests

    @property
    def refusals(self) -> dict[int, int]:
        """Requests refused before they reached the handler so far, by status."""
        return dict(self._state.refusals)

    @property
    def inflight_bytes(self) -> int:
        """Bytes of all bodies that are being read or wait for their answer."""
        return self._state.budget.used

    @property
    def held_back(self) -> int:
        """Requests of heavy tenants that wait so that others find the worker free."""
        return self._state.held_back

    @property
    def held_back_so_far(self) -> int:
        """Requests that were held back so far, however briefly."""
        return self._state.held_back_so_far

    @property
    def holds_back(self) -> bool:
        """Whether requests of some tenants are held back for the sake of others."""
        return self._state.holds_back

    @property
    def waiting_connections(self) -> int:
        """Connections that are not read because ``inflight_bytes`` is at its limit."""
        return len(self._state.budget.line)

    def __repr__(self) -> str:
        state = "stopped" if self._is_stopped else "starved" if self._is_starved else "listening"
        return f"<Listener {state}: {self.connections} connections, {self.inflight_bytes} bytes in flight>"

    # Accepting.

    @property
    def _has_room(self) -> bool:
        return self.connections < self._limits.max_connections

    def _watch(self) -> None:
        """Watch the listening sockets if, and only if, a connection could be taken now."""
        wanted = not self._is_stopped and not self._is_starved and self._has_room
        if wanted == self._is_watching:
            return
        self._is_watching = wanted
        for listening in self._sockets:
            if wanted:
                self._loop.add_reader(listening, self._accept_some, listening)
            else:
                self._loop.remove_reader(listening)

    def _accept_some(self, listening: socket.socket) -> None:
        for _ in range(self._accepts_per_turn):
            if not self._accept(listening):
                break
        if not self._has_room:
            self._warn(
                "ingest.connections_full",
                hint="others wait until some close; to have more, raise apidanalytics_max_connections",
            )
        self._watch()

    def _take_waiting(self) -> None:
        for listening in self._sockets:
            while self._accept(listening):
                pass

    def _accept(self, listening: socket.socket) -> bool:
        """Take one connection; return whether there may be more."""
        if self._is_stopped or not self._has_room:
            return False
        try:
            accepted, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            self._starve(error)
            return False
        self._connections += 1
        task = self._loop.create_task(self._open(accepted, _host_of(address)))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, accepted: socket.socket, peer: str) -> None:
        is_tls = self._tls is not None
        connection = HttpConnection(self._state, is_tls=is_tls, admit=self._admit, peer=peer)
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.handshake_timeout if is_tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if is_tls else None,
            )
        except OSError:
            accepted.close()  # the client went away, or does not speak TLS; its business
        finally:
            if not connection.was_made:
                self._let_go()

    def _starve(self, error: OSError) -> None:
        """Accept nothing for a while: trying again at once would only burn the processor."""
        self._is_starved = True
        self._watch()
        self._loop.call_later(STARVED_SECONDS, self._recover)
        name = errno.errorcode.get(error.errno or 0, "unknown")
        self._warn("ingest.accept_failed", error=name, hint="with EMFILE or ENFILE: raise the limit of open files")

    def _recover(self) -> None:
        self._is_starved = False
        self._watch()

    def _warn(self, event: str, **fields: str) -> None:
        """Log at most once a minute; it may be true thousands of times a second."""
        if self._state.now >= self._next_log_at.get(event, 0.0):
            self._next_log_at[event] = self._state.now + STARVED_LOG_SECONDS
            log.warning(event, connections=self.connections, **fields)

    # Ending.

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if self._state.sweep():
            self._loop.call_later(READ_FIRST_SECONDS, self._state.expire_overdue)
        if not self._has_room and not self._is_stopped:
            self._reclaim()

    def _reclaim(self) -> None:
        """Close some that are quiet, if others wait to come in."""
        if is_anyone_waiting(self._sockets) and self._state.close_quiet(RECLAIMED_PER_SWEEP):
            hint = "quiet ones were closed for others (apidanalytics_reclaim_after)"
            self._warn("ingest.connections_reclaimed", hint=hint)

    def _let_go(self) -> None:
        self._connections -= 1
        if not self._is_watching:
            self._watch()
        if self._emptied is not None and not self._emptied.done() and not self.connections:
            self._emptied.set_result(None)

    async def _wait_until_empty(self, timeout: float) -> bool:  # noqa: ASYNC109 - see drain
        if not self.connections:
            return True
        self._emptied = self._loop.create_future()
        done, _ = await asyncio.wait([self._emptied], timeout=timeout)
        return bool(done)

    def _abort(self) -> None:
        for task in self._opening:
            task.cancel()
        for connection in list(self._state.connections):
            connection.abort()


def _host_of(address: object) -> str:
    """Return the host of a socket's address; a unix socket's clients have none."""
    return str(address[0]) if isinstance(address, tuple) else ""
