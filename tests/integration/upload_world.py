"""A data directory with staged files, and a collection endpoint and an object store that can be made to misbehave."""

import asyncio
import gzip
import hashlib
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import xxhash
from aiohttp import web

from apidanalytics.backoff import Backoff
from apidanalytics.clock import SystemClock
from apidanalytics.layout import BucketName, DataDirectory, FileName, parse_tenant
from apidanalytics.model import StagedFile
from apidanalytics.upload.client import CollectionClient
from apidanalytics.upload.decide import Policy
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.settings import UploadSettings
from apidanalytics.upload.states import State
from apidanalytics.upload.token import FixedToken
from apidanalytics.upload.uploader import Uploader

TOKEN = "a-very-secret-token"
START = 1_767_323_040
QUICK = Policy(
    attempts=3,
    file_pauses=Backoff(first_seconds=0.02, factor=2, longest_seconds=1),
    tenant_pauses=Backoff(first_seconds=0.02, factor=2, longest_seconds=0.2),
    breaker_pauses=Backoff(first_seconds=0.02, factor=2, longest_seconds=0.2),
)

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


async def until(is_so: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not is_so():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.005)


async def fine(_request: web.Request) -> None:
    """Do not misbehave."""


async def broken_off(request: web.Request, begin: bytes = b'{"url": "ht') -> web.StreamResponse:
    """Answer 200, and end the connection in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(begin)
    request.transport.close()
    return response


class Server:
    """An HTTP server of one handler."""

    def __init__(self) -> None:
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.handle, expect_handler=self.expect)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def aclose(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Expect"):
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError


class Store(Server):
    """An object store: objects by key, and how often each was put."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.requests: list[web.Request] = []
        self.behave: Behaviour = fine
        self.after: Behaviour = fine
        """What it does instead of answering, once it has the object."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        misbehaved = await self.behave(request)
        if misbehaved is not None:
            return misbehaved
        try:
            body = await request.read()
        except ConnectionResetError:  # an uploader may break off; whether this is seen here or later is luck
            return web.Response(status=400)
        key = request.match_info["path"]
        self.puts.append(key)
        assert self.objects.setdefault(key, body) == body, "the same key with other bytes"
        return await self.after(request) or web.Response(headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})


class Endpoint(Server):
    """A collection endpoint that signs URLs of a store."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.token = TOKEN
        self.signed = 0
        self.headers: dict[str, str] = {}
        """To send along with a PUT."""
        self.queries: list[dict[str, str]] = []
        self.requests: list[web.Request] = []
        self.behave: Behaviour = fine

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        misbehaved = await self.behave(request)
        if misbehaved is not None:
            return misbehaved
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        assert (request.method, request.path) == ("GET", "/base/analytics")
        self.queries.append(dict(request.query))
        self.signed += 1
        key = f"{request.query['tenant']}/{request.query['relative_file_path']}"
        url = f"{self.store.base}/{quote(key)}?signature=secret-{self.signed}"
        return web.json_response({"url": url, "headers": self.headers})


class World:
    """Everything that one test needs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = DataDirectory(root / "ax")
        self.data.create()
        self.clock = SystemClock()
        self.ledger = Ledger.open(self.data.ledger, self.data.damaged, self.clock.now())
        self.store = Store()
        self.endpoint = Endpoint(self.store)
        self.expected: dict[str, bytes] = {}
        self.order: list[str] = []
        self._made = 0

    async def open(self) -> None:
        await self.store.open()
        await self.endpoint.open()

    async def aclose(self) -> None:
        await self.endpoint.aclose()
        await self.store.aclose()
        self.ledger.close()

    def stage(self, *tenants: str, size: int = 100, starts: int = 1) -> None:
        """Publish one file for each tenant named, in one transaction, as packing does."""
        files = [self._make(tenant, size, starts) for tenant in tenants]
        self.ledger.stage(files, self.clock.now())

    def _make(self, tenant: str, size: int, starts: int) -> StagedFile:
        self._made += 1
        start_at = START + 120 * (self._made // starts)
        name = str(FileName(hash="00ff", start_at=start_at, end_at=start_at + 120, instance_id="node-1", n=self._made))
        directory = str(BucketName(tenant=tenant, start_at=start_at))
        lines = b"".join(b'{"n":%d}\n' % n for n in range(3))
        content = gzip.compress(lines, mtime=0) + gzip.compress(random.Random(self._made).randbytes(size), 0, mtime=0)
        path = self.data.staging / directory / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(content)
        partition = BucketName.parse(directory)
        file = StagedFile(
            directory=directory,
            name=name,
            tenant=tenant,
            start_at=start_at,
            records=3,
            bytes=len(lines),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            xxh3=xxhash.xxh3_128_hexdigest(content),
        )
        key = self.key(tenant, partition.start_at, name)
        self.expected[key] = content
        self.order.append(key)
        return file

    @staticmethod
    def key(tenant: str, start_at: int, name: str) -> str:
        from apidanalytics.layout import format_object_path

        return f"{'~'.join(parse_tenant(tenant))}/{format_object_path(name, start_at)}"

    @asynccontextmanager
    async def uploading(self, *, token=None, timeout_seconds=5.0, settings=None, **client):
        """Run an uploader; what it raises, the test sees."""
        exchanger = Exchanger(
            timeout_seconds=timeout_seconds, proxy=client.pop("proxy", None), ca_bundle=client.pop("ca_bundle", None)
        )
        await exchanger.open()
        uploader = Uploader(
            data=self.data,
            ledger=self.ledger,
            collection=CollectionClient(
                client.pop("base", f"{self.endpoint.base}/base/"),
                exchanger=exchanger,
                token=token or FixedToken(TOKEN),
                clock=self.clock,
                **client,
            ),
            settings=settings or self.settings(),
            clock=self.clock,
            random=random.random,
        )
        task = asyncio.create_task(uploader.run())
        try:
            yield uploader
        finally:
            await uploader.stop(10.0)
            await exchanger.aclose()
            await task

    def settings(self, **changed) -> UploadSettings:
        return UploadSettings(
            **{"concurrency": 4, "interval_seconds": 0.05, "failed_retry_seconds": 600, "policy": QUICK} | changed
        )

    def total(self, state: State) -> int:
        """Files of all tenants in a state."""
        return sum(states[state].files for states in self.ledger.totals().values() if state in states)

    def is_delivered(self) -> bool:
        left = any(any(root.iterdir()) for root in (self.data.staging, self.data.failed))
        return self.total(State.UPLOADED) == len(self.expected) and not left

    async def delivered(self, seconds: float = 60.0) -> None:
        """Wait until every file is uploaded, and see that the store has each as it was."""
        await until(self.is_delivered, f"{len(self.expected)} files uploaded", seconds)
        assert self.store.objects == self.expected

    def left(self) -> list[str]:
        """Files in staging/ and failed/."""
        return [path.name for root in (self.data.staging, self.data.failed) for path in root.glob("*/*")]
