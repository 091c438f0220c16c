"""The endpoints, as the edge proxy shows them, on one socket of 127.0.0.1.

====  ====================  ============================================================================
POST  <prefix>/accesstoken  a bearer token (``tokens.py``)
GET   <prefix>/snapshots    checks, then 303 to ``/data``: host-absolute, and without the prefix
GET   /data                 the snapshot (also below the prefix)
GET   <prefix>/changes      the changes since a sequence, by long poll (``changes.py``)
====  ====================  ============================================================================
"""

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

from aiohttp import web
from yarl import URL

from tests.apigeesync import changes
from tests.apigeesync.changes import RefusedError
from tests.apigeesync.database import Database, Sequence
from tests.apigeesync.faults import Faults, Reply, document, error, status
from tests.apigeesync.sending import negotiate, send
from tests.apigeesync.snapshots import as_json, sha256, write_sqlite
from tests.apigeesync.tokens import Tokens
from tests.apigeesync.values import TimestampForm, UnreadableValueError
from tests.loops import end_other_tasks

JSON = "application/json"
SQLITE = "application/transicator+sqlite"
TXID = "Transicator-Snapshot-TXID"
_START_SECONDS = 60.0
_DIRECTORY = web.RequestKey("directory", Path)

Answer: TypeAlias = Callable[[web.Request], Awaitable[Reply]]

_TEXTS = {
    "MISSING_SCOPE": 'The "scope" parameter must be included',
    "INVALID_REQUEST_PARAM": "An invalid param was in the request",
    "UNSUPPORTED_MEDIA_TYPE": "The media type is not supported",
    "UNSUPPORTED_FORMAT": "The specified media type is not supported",
    "PARAMETER_INVALID": "A parameter has an invalid value",
    "SNAPSHOT_TOO_OLD": "The client is operating on an old snapshot",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that came, as tests look at it."""

    endpoint: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    at: float

    def values(self, name: str) -> list[str]:
        """Every value of a query parameter, in order."""
        return [value for key, value in self.query if key == name]


class StandIn:
    """The three servers over one database. Every attribute may be changed while it runs."""

    def __init__(self, database: Database, *, prefix: str = "/edgex") -> None:
        self.database = database
        self.tokens = Tokens()
        self.faults = Faults()
        self.requests: list[Request] = []
        """All that came, in order."""
        self.is_open = False
        """Ask nobody for a token."""
        self.data_location = "/data"
        """Where ``/snapshots`` sends clients; with the prefix, or on another host."""
        self.longest_block_seconds = 3600.0
        """A long poll ends after this time at the latest, with an early empty list."""
        self.timestamps = TimestampForm.AS_FOUND
        self.ready_made: Path | None = None
        """Send this SQLite file for every snapshot, instead of one made from the database."""
        self._prefix = prefix
        self._runner: web.AppRunner | None = None
        self._origin = URL()

    def __repr__(self) -> str:
        return f"<StandIn {self.base_url}, {len(self.requests)} requests>"

    @property
    def base_url(self) -> str:
        """What goes into ``apigeesync_*_server_base``."""
        return f"{self._origin}".rstrip("/") + self._prefix

    def asked(self, endpoint: str) -> list[Request]:
        """Return the requests that came to this endpoint."""
        return [request for request in self.requests if request.endpoint == endpoint]

    # -- life

    async def start(self, port: int = 0) -> None:
        """Serve; after ``stop`` again on the same port, if none is given.

        Raises:
            OSError: the port is taken.

        """
        self._listener = socket.create_server(("127.0.0.1", port or self._origin.port or 0))
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.database.on_commit.append(self._wake_from_anywhere)
        self._runner = web.AppRunner(
            self._application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()
        host, bound = self._runner.addresses[0][:2]
        self._origin = URL.build(scheme="http", host=host, port=bound)

    async def stop(self) -> None:
        """Close the port and every connection; twice is fine."""
        if self._runner is not None:
            self.database.on_commit.remove(self._wake_from_anywhere)
            # A connection that is accepted while the port closes would be lost unclosed: first accept no more.
            self._loop.remove_reader(self._listener)
            await _turns()
            await self._runner.cleanup()
            await _turns()
            self._runner = None

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_post(f"{self._prefix}/accesstoken", self._handler("token", self._token))
        for path in dict.fromkeys(("", self._prefix)):
            application.router.add_get(f"{path}/data", self._handler("data", self._data))
        application.router.add_get(f"{self._prefix}/snapshots", self._handler("snapshots", self._snapshots))
        application.router.add_get(f"{self._prefix}/changes", self._handler("changes", self._changes))
        self.add_routes(application)
        return application

    def add_routes(self, application: web.Application) -> None:
        """Add more routes. Overridden by the form that is used by hand."""

    def _wake_from_anywhere(self) -> None:
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- answering

    def _handler(self, endpoint: str, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.requests.append(await _recorded(endpoint, request))
            fault = self.faults.take(endpoint)
            if isinstance(fault, Reply):
                return await send(request, fault)
            with tempfile.TemporaryDirectory(prefix="stand-in-") as directory:
                request[_DIRECTORY] = Path(directory)
                reply = await self._answered(endpoint, answer, request)
                return await send(request, fault(reply) if fault else reply)

        return handle

    async def _answered(self, endpoint: str, answer: Answer, request: web.Request) -> Reply:
        if endpoint != "token" and not self._is_allowed(request):
            return status(401, b"")
        try:
            return await answer(request)
        except RefusedError as refusal:
            return error(refusal.status, refusal.code, _TEXTS[refusal.code], refusal.description)

    def _is_allowed(self, request: web.Request) -> bool:
        return self.is_open or self.tokens.accepts(request.headers.get("Authorization", ""))

    async def _token(self, request: web.Request) -> Reply:
        form = {name: str(value) for name, value in (await request.post()).items()}
        granted = self.tokens.issue(form)
        return status(401, b"") if granted is None else document(granted)

    async def _snapshots(self, request: web.Request) -> Reply:
        scopes = changes.read_selectors(request.query.items(), "INVALID_REQUEST_PARAM")
        if not scopes:
            raise RefusedError(400, "MISSING_SCOPE")
        media_type = negotiate(request.headers.get("Accept", ""), (JSON, SQLITE))
        if media_type is None:
            raise RefusedError(415, "UNSUPPORTED_MEDIA_TYPE")
        query = [*(("selector", scope) for scope in scopes), ("type", "sqlite" if media_type == SQLITE else "json")]
        location = str(URL(self.data_location).with_query(query))
        body = f'<a href="{location}">See Other</a>.\n\n'.encode().replace(b"&", b"&amp;")
        return Reply(status=303, headers={"Location": location, "Content-Type": "text/html; charset=utf-8"}, body=body)

    async def _data(self, request: web.Request) -> Reply:
        scopes = changes.read_selectors(request.query.items(), "INVALID_REQUEST_PARAM")
        if not scopes:
            raise RefusedError(400, "MISSING_SCOPE")
        kind = request.query.get("type", "json")
        if kind == "json":
            return document(as_json(self.database, scopes))
        if kind != "sqlite":
            return status(400, b"")
        path = request[_DIRECTORY] / "sqlite3"
        try:
            info, path, checksum = await asyncio.to_thread(self._snapshot, path, scopes)
        except UnreadableValueError:
            return error(500, "INTERNAL_SERVER_ERROR", "An error occurred in the server")
        return Reply(headers={"Content-Type": SQLITE, TXID: info, "ETag": f'"{checksum}"'}, body=path, is_chunked=True)

    def _snapshot(self, path: Path, scopes: list[str]) -> tuple[str, Path, str]:
        info = self.database.snapshot_info() if self.ready_made else write_sqlite(path, self.database, scopes)
        path = self.ready_made or path
        return info, path, sha256(path)

    async def _changes(self, request: web.Request) -> Reply:
        if negotiate(request.headers.get("Accept", ""), (JSON,)) is None:
            raise RefusedError(415, "UNSUPPORTED_FORMAT")
        question = changes.read_question(request.query.items())
        last = self.database.last_sequence
        answer = changes.answer(self.database, question, self.timestamps)
        if not answer["changes"]:
            await self._wait_for_news(question, last)
            answer = changes.answer(self.database, question, self.timestamps)
        return document(answer)

    async def _wait_for_news(self, question: changes.Question, after: Sequence) -> None:
        """Wait as long as the client lets us; news may turn out to be none that is due."""
        # Not `wait_for`: before Python 3.12 it forgets that it was cancelled when news come in the same turn.
        with suppress(TimeoutError):
            async with asyncio.timeout(min(question.block_seconds, self.longest_block_seconds)):
                while not changes.has_news(self.database, question.selectors, after):
                    await self._changed.wait()


async def _turns() -> None:
    """Let the event loop finish what it began: connections that are accepted, or closed."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _recorded(endpoint: str, request: web.Request) -> Request:
    return Request(
        endpoint=endpoint,
        query=tuple(request.query.items()),
        headers=request.headers,
        body=await request.read(),
        at=time.monotonic(),
    )


class InThread:
    """Runs a stand-in in a thread of its own while the ``with`` block lasts, for tests that have no event loop."""

    def __init__(self, stand_in: StandIn, port: int = 0) -> None:
        self.stand_in = stand_in
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-in")

    def __enter__(self) -> Self:
        self._thread.start()
        self.serve(self._port)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
            asyncio.run_coroutine_threadsafe(end_other_tasks(), self._loop).result(_START_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def serve(self, port: int = 0) -> None:
        """Serve, again on the same port after ``stop``."""
        asyncio.run_coroutine_threadsafe(self.stand_in.start(port), self._loop).result(_START_SECONDS)

    def stop(self) -> None:
        """Be away: connections break, new ones are refused."""
        asyncio.run_coroutine_threadsafe(self.stand_in.stop(), self._loop).result(_START_SECONDS)
