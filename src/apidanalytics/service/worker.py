"""The life of one ingest worker: serve batches, report to the agent, drain when told or left alone.

Everything it acknowledges is in its spool, so it may be killed at any moment; a clean end only saves recovery.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from apidanalytics.control.channel import Channel, Message

log = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 1.0
ORPHAN_DRAIN_SECONDS: Final = 5.0
"""How long a worker whose agent is gone goes on with what is in flight."""
ORPHAN_EXIT_SECONDS: Final = 10.0
"""A worker that did not manage to end by then is ended."""


class Server(Protocol):
    """The HTTP side."""

    def start(self) -> None:
        """Accept connections."""

    async def drain(self, timeout_seconds: float) -> None:
        """Finish what is in flight and close."""


class Writer(Protocol):
    """The spool side."""

    def start(self) -> None:
        """Start committing."""

    async def stop(self) -> None:
        """Commit what waits, seal, end."""


class Worker:
    """Joins server, spool and scope data, and follows the agent's messages."""

    def __init__(
        self,
        *,
        server: Server,
        writer: Writer,
        start_draining: Callable[[], None],
        load_scopes: Callable[[Message], Awaitable[None]],
        poll_scopes: Callable[[], Awaitable[None]],
        report: Callable[[], Mapping[str, Any]],
        follow: Callable[[Message], None],
    ) -> None:
        """Take the parts; ``follow`` is given every message that is not for this class."""
        self._server = server
        self._writer = writer
        self._start_draining = start_draining
        self._load_scopes = load_scopes
        self._poll_scopes = poll_scopes
        self._report = report
        self._follow = follow
        self._scopes_task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._drain_seconds = ORPHAN_DRAIN_SECONDS
        self._channel: Channel | None = None

    async def run(self, channel: Channel) -> None:
        """Serve until told to drain; returns when all is acknowledged and sealed."""
        loop = asyncio.get_running_loop()
        self._channel = channel
        loop.add_signal_handler(signal.SIGTERM, self._end, ORPHAN_DRAIN_SECONDS)
        # Ctrl-C in a terminal reaches the whole process group; the agent alone decides what it means.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        self._writer.start()
        self._server.start()
        beating = asyncio.create_task(self._beat())
        await self._stop.wait()
        self._start_draining()
        await self._server.drain(self._drain_seconds)
        await self._writer.stop()
        beating.cancel()

    def hear(self, message: Message) -> None:
        """Follow a message of the agent."""
        if message["type"] == "scopes":
            self._scopes_task = asyncio.ensure_future(self._load(self._load_scopes(message)))
        elif message["type"] == "drain":
            self._end(message["timeout_seconds"])
        else:
            self._follow(message)

    def abandoned(self) -> None:
        """Drain and end: the agent is gone."""
        if not self._stop.is_set():
            log.warning("worker.abandoned", hint="the agent is gone; finishing what is in flight, then ending")
        self._end(ORPHAN_DRAIN_SECONDS)

    async def _load(self, loading: Awaitable[None]) -> None:
        try:
            await loading
        except Exception:
            log.exception("worker.scopes_failed", hint="the scope data in use stays in use")
        self._send_heartbeat()

    def _end(self, timeout_seconds: float) -> None:
        # The order may come before there is anything to end: then `run` ends as soon as it has begun.
        if not self._stop.is_set():
            self._drain_seconds = timeout_seconds
            self._stop.set()

    async def _beat(self) -> None:
        while True:
            self._send_heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await self._poll_scopes()

    def _send_heartbeat(self) -> None:
        if self._channel is not None:
            self._channel.send({"type": "heartbeat", "report": dict(self._report())})


def end_with_the_agent(is_alone: Callable[[], bool]) -> None:
    """Make sure that this process ends soon after its agent, even when its event loop hangs."""

    def watch() -> None:
        while not is_alone():
            time.sleep(1)
        time.sleep(ORPHAN_EXIT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="orphan-watch", daemon=True).start()
