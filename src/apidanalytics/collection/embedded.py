"""The collection endpoint of the embedded default: it signs PUT URLs to itself, and keeps the objects in a folder.

=======  ==========================  ==============================================================================
GET      /analytics                  200 ``{"url": ...}``; 400 parameters; 401 bearer token; 404 no such tenant
PUT      /lake/<key>?...&signature=  200 once it is durable; 400 not gzip; 403 not what was signed, or expired;
                                     411 without Content-Length
=======  ==========================  ==============================================================================
"""

import asyncio
import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from yarl import URL

from apidanalytics import layout
from apidanalytics.clock import Clock
from apidanalytics.collection.lake import Lake, Writing
from apidanalytics.collection.paths import parse_relative_path, parse_tenant_parameter
from apidanalytics.collection.signature import PREFIX, Permission, SignatureError, UrlSigner

EXPIRY_SECONDS: Final = 900
"""How long a URL may be used."""

GZIP_MAGIC: Final = b"\x1f\x8b"
_CONTENT_TYPE: Final = "application/x-gzip"
_PIECE_BYTES: Final = 256 << 10
_ENCRYPTION: Final = "x-amz-server-side-encryption"


class EmbeddedCollection:
    """One server on one address, in the event loop of whoever starts it."""

    def __init__(
        self, *, lake: Lake, has_tenant: Callable[[str, str], bool], token: str, signer: UrlSigner, clock: Clock
    ) -> None:
        self._lake = lake
        self._has_tenant = has_tenant
        self._token = token
        self._signer = signer
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
        await asyncio.to_thread(self._lake.create)
        app = web.Application(client_max_size=0)
        app.router.add_get("/analytics", self._sign)
        app.router.add_put(PREFIX + "{key:.+}", self._put, expect_handler=self._expect)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        self._base = URL.build(scheme="http", host=str(bound[0]), port=int(bound[1]))
        return str(self._base).rstrip("/")

    async def stop(self) -> None:
        """Finish what is on its way and close; twice is fine."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _sign(self, request: web.Request) -> web.Response:
        if not self._is_authorized(request):
            return _problem(HTTPStatus.UNAUTHORIZED, "bearer token missing or wrong")
        try:
            relative = parse_relative_path(_parameter(request, "relative_file_path"))
            readings = parse_tenant_parameter(_parameter(request, "tenant"))
            _one_of(_parameter(request, "file_content_type"), "file_content_type", _CONTENT_TYPE)
            encrypt = _one_of(request.query.get("encrypt", "false"), "encrypt", "true", "false") == "true"
        except ValueError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        tenant = next((layout.format_tenant(org, env) for org, env in readings if self._has_tenant(org, env)), None)
        if tenant is None:
            return _problem(HTTPStatus.NOT_FOUND, "no such tenant")
        permission = Permission(
            key=f"{tenant}/{relative}",
            content_type=_CONTENT_TYPE,
            encrypt=encrypt,
            expires_at=int(self._clock.now()) + EXPIRY_SECONDS,
        )
        return web.json_response({"url": str(self._base).rstrip("/") + self._signer.path(permission)})

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        """Let the body come only if it would be taken."""
        refusal = self._refusal(request)
        if refusal is None and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return refusal

    async def _put(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        writing = self._lake.begin(request.match_info["key"])
        try:
            return await self._receive(request, writing)
        except OSError as error:
            # A client that went away is an OSError too, and nobody reads that answer.
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, error.strerror or type(error).__name__)
        finally:
            await asyncio.to_thread(writing.abandon)

    async def _receive(self, request: web.Request, writing: Writing) -> web.Response:
        held = bytearray()
        async for piece in request.content.iter_any():
            held += piece
            if len(held) >= _PIECE_BYTES:
                if not _begins_well(writing, held):
                    return _problem(HTTPStatus.BAD_REQUEST, "not a gzip file")
                await asyncio.to_thread(writing.write, bytes(held))
                held.clear()
        if not _begins_well(writing, held):
            return _problem(HTTPStatus.BAD_REQUEST, "not a gzip file")
        if writing.size_bytes + len(held) != request.content_length:
            return _problem(HTTPStatus.BAD_REQUEST, "the body is not as long as Content-Length says")
        await asyncio.to_thread(_finish, writing, bytes(held))
        return web.Response()

    def _refusal(self, request: web.Request) -> web.Response | None:
        try:
            permission, signature = _read_permission(request)
            self._signer.check(request.method, permission, signature, self._clock.now())
        except (SignatureError, ValueError) as error:
            return _problem(HTTPStatus.FORBIDDEN, str(error))
        if request.content_length is None or "Transfer-Encoding" in request.headers:
            return _problem(HTTPStatus.LENGTH_REQUIRED, "Content-Length is required")
        return None

    def _is_authorized(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self._token.encode())


def _parameter(request: web.Request, name: str) -> str:
    values = request.query.getall(name, [])
    if len(values) != 1 or not values[0]:
        raise ValueError(f"{name} is required, once")
    return str(values[0])


def _one_of(value: str, name: str, *allowed: str) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is not {' or '.join(allowed)}")
    return value


def _read_permission(request: web.Request) -> tuple[Permission, str]:
    encryption = request.headers.get(_ENCRYPTION)
    if encryption not in {None, "AES256"}:
        raise ValueError(f"{_ENCRYPTION} is not AES256")
    permission = Permission(
        key=request.match_info["key"],
        content_type=request.headers.get("Content-Type", ""),
        encrypt=encryption is not None,
        expires_at=int(request.query.get("expires", "")),
    )
    return permission, request.query.get("signature", "")


def _begins_well(writing: Writing, held: bytearray) -> bool:
    return writing.size_bytes > 0 or held[:2] == GZIP_MAGIC


def _finish(writing: Writing, rest: bytes) -> None:
    writing.write(rest)
    writing.publish()


def _problem(status: HTTPStatus, reason: str) -> web.Response:
    return web.json_response({"reason": reason}, status=status)
