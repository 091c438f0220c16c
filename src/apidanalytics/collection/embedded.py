"""The collection endpoint of the embedded default: it signs PUT URLs to itself, and keeps the objects in a folder.

=======  ==========================  ==============================================================================
GET      /analytics                  200 ``{"url": ..., "headers": ...}``; 400 parameters, or two tenants read the
                                     same; 401 bearer token; 404 no such tenant
PUT      /lake/<key>?...&signature=  see ``local``
=======  ==========================  ==============================================================================
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

from aiohttp import web
from yarl import URL

from apidanalytics import layout
from apidanalytics.clock import Clock
from apidanalytics.collection import answers
from apidanalytics.collection.asked import read_asked
from apidanalytics.collection.http_log import HTTP_LOG
from apidanalytics.collection.keys import GZIP
from apidanalytics.collection.lake import Lake
from apidanalytics.collection.local import PREFIX, LocalStore
from apidanalytics.collection.ports import Put
from apidanalytics.collection.signature import UrlSigner

EXPIRY_SECONDS: Final = 900
"""How long a URL may be used."""


KnownAmong = Callable[[Sequence[str]], Awaitable[Sequence[str]]]


class EmbeddedCollection:
    """One server on one address, in the event loop of whoever starts it."""

    def __init__(self, *, lake: Lake, known_among: KnownAmong, token: str, signer: UrlSigner, clock: Clock) -> None:
        """``known_among`` tells which of these tenants there are."""
        self._store = LocalStore(lake=lake, signer=signer, clock=clock)
        self._lake = lake
        self._known_among = known_among
        self._token = token
        self._clock = clock
        self._base = URL()
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<EmbeddedCollection {self._base} {self._lake!r}>"

    async def start(self, host: str, port: int) -> str:
        """Serve at this address (port 0: any free one); return the URL to give to the uploader.

        Raises:
            OSError: the address is not to be had, or the folder cannot be made.

        """
        await asyncio.to_thread(self._store.refresh)
        app = web.Application(client_max_size=0)
        app.router.add_get("/analytics", self._sign)
        app.router.add_put(PREFIX + "{key:.+}", self._put, expect_handler=self._expect)
        self._runner = web.AppRunner(app, access_log=None, logger=HTTP_LOG, shutdown_timeout=5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        self._base = URL.build(scheme="http", host=str(bound[0]), port=int(bound[1]))
        base = str(self._base).rstrip("/")
        self._store.base_url = base + PREFIX
        return base

    async def stop(self) -> None:
        """Finish what is on its way and close; twice is fine."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _sign(self, request: web.Request) -> web.Response:
        token = answers.bearer_token(request).encode(errors="surrogateescape")
        if not hmac.compare_digest(token, self._token.encode()):
            return answers.unauthorized()
        try:
            asked = read_asked(request.query)
        except ValueError as error:
            return answers.problem(HTTPStatus.BAD_REQUEST, str(error))
        if asked.content_type != GZIP:
            return answers.problem(HTTPStatus.BAD_REQUEST, f"file_content_type is not {GZIP}")
        known = await self._known_among([layout.format_tenant(org, env) for org, env in asked.readings])
        if not known:
            return answers.problem(HTTPStatus.NOT_FOUND, "no such tenant")
        if len(known) > 1:  # a guess would mix the files of two tenants
            return answers.problem(HTTPStatus.BAD_REQUEST, f"tenant may be any of {', '.join(known)}")
        (tenant,) = known
        put = Put(
            key=f"{tenant}/{asked.relative_path}",
            content_type=asked.content_type,
            encrypt=asked.encrypt,
            asked_at=self._clock.now(),
            expires_seconds=EXPIRY_SECONDS,
        )
        return answers.signed(self._store.sign(put))

    async def _put(self, request: web.Request) -> web.Response:
        return await self._store.put(request, request.match_info["key"])

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        return await self._store.expect(request, request.match_info["key"])
