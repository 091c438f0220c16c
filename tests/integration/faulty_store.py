"""A collection endpoint and object store, in a thread of its own, that can be told to fail in every known way."""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Self

from aiohttp import web

from tests.loops import end_other_tasks

TOKEN = "the-right-token"


class FaultyStore:
    """Objects go to ``<lake>/<tenant>/date=.../time=.../<file>``. Set the attributes at any time.

    It never takes other bytes for an object it has: ``altered`` lists what was tried.
    """

    def __init__(self, lake: Path, port: int, *, objects_url: str = "") -> None:
        """``objects_url``: the store whose URLs it hands out, if that is another one."""
        self._lake = lake
        self._part = lake.with_name(f"{lake.name}.part")
        self._port = port
        self._objects_url = objects_url or f"http://127.0.0.1:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store")
        self._runner: web.AppRunner | None = None
        self.token = TOKEN
        self.sign_status: dict[str, int] = {}
        """Tenant, or ``""`` for all -> what a request for a URL is answered with instead."""
        self.put_status: dict[str, int] = {}
        """The same for a PUT; nothing is kept."""
        self.takes_then = ""
        """After an object was taken: ``break`` the connection, ``500``, or be ``slow``."""
        self.retry_after = ""
        """What every fault says of when to come again."""
        self.delay_seconds = 0.0
        """Before any answer."""
        self.seen: Counter[str] = Counter()
        """What was asked, what was taken, and every fault that was made."""
        self.altered: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.stop()
            self._call(end_other_tasks())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def start(self) -> None:
        self._call(self._start())

    def stop(self) -> None:
        """Be gone: connections are refused. It may start again."""
        if self._runner is not None:
            self._call(self._runner.cleanup())
            self._runner = None

    def accepts(self, authorization: str) -> bool:
        """Return whether this header opens the endpoint. May be replaced."""
        return authorization == f"Bearer {self.token}"

    def heal(self) -> None:
        """Fail no more."""
        self.sign_status, self.put_status = {}, {}
        self.takes_then, self.delay_seconds = "", 0.0

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/analytics", self._sign)
        app.router.add_put("/objects/{key:.+}", self._put)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()

    async def _sign(self, request: web.Request) -> web.Response:
        self.seen["asked"] += 1
        await asyncio.sleep(self.delay_seconds)
        if not self.accepts(request.headers.get("Authorization", "")):
            return self._fault(401)
        tenant = request.query["tenant"]
        if status := self.sign_status.get(tenant) or self.sign_status.get(""):
            return self._fault(status)
        return web.json_response({"url": f"{self._objects_url}/objects/{tenant}/{request.query['relative_file_path']}"})

    async def _put(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        assert "Authorization" not in request.headers, "the token is for the endpoint only"
        body = await request.read()
        await asyncio.sleep(self.delay_seconds)
        if status := self.put_status.get(key.partition("/")[0]) or self.put_status.get(""):
            return self._fault(status)
        self._take(key, body)
        return await self._answer(request)

    def _take(self, key: str, body: bytes) -> None:
        path = self._lake / key
        if path.exists() and path.read_bytes() != body:
            self.altered.append(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._part.write_bytes(body)
        self._part.rename(path)  # whole, or not there: tests read the lake while it grows
        self.seen["taken"] += 1

    async def _answer(self, request: web.Request) -> web.Response:
        if self.takes_then == "break":
            self.seen["broken"] += 1
            assert request.transport is not None
            request.transport.abort()
        elif self.takes_then == "500":
            return self._fault(500)
        elif self.takes_then == "slow":
            self.seen["slow"] += 1
            await asyncio.sleep(5)
        return web.Response()

    def _fault(self, status: int) -> web.Response:
        self.seen[str(status)] += 1
        return web.Response(status=status, headers={"Retry-After": self.retry_after} if self.retry_after else {})
