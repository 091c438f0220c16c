"""The object store in a folder: it signs URLs that lead to this server, and takes the PUTs.

=======  =============================  ===========================================================================
PUT      <base><key>?...&signature=...  200 once it is durable; 400 not gzip; 403 not what was signed, or expired;
                                        411 without Content-Length; 412 create-only, and it is there already
=======  =============================  ===========================================================================
"""

import asyncio
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from aiohttp import web

from apidanalytics.clock import Clock
from apidanalytics.collection.answers import problem
from apidanalytics.collection.lake import ExistsError, Lake, Writing
from apidanalytics.collection.ports import Put, SignedPut
from apidanalytics.collection.signature import Permission, SignatureError, UrlSigner

GZIP_MAGIC: Final = b"\x1f\x8b"
PREFIX: Final = "/lake/"
"""Where the server that holds this store takes PUTs."""

_PIECE_BYTES: Final = 256 << 10
_ENCRYPTION: Final = "x-amz-server-side-encryption"


class LocalStore:
    """A folder, as a store."""

    def __init__(self, *, lake: Lake, signer: UrlSigner, clock: Clock, create_only: bool = False) -> None:
        self._lake = lake
        self._signer = signer
        self._clock = clock
        self._create_only = create_only
        self._is_made = False
        self.base_url = ""
        """In front of each key; whoever serves the PUTs fills it in."""

    def __repr__(self) -> str:
        return f"<LocalStore {self._lake!r}>"

    def sign(self, put: Put) -> SignedPut:
        """Return the URL and its headers."""
        permission = Permission(
            key=put.key,
            content_type=put.content_type,
            encrypt=put.encrypt,
            create_only=self._create_only,
            expires_at=put.expires_at,
        )
        headers = {"Content-Type": put.content_type} | ({_ENCRYPTION: "AES256"} if put.encrypt else {})
        return SignedPut(url=f"{self.base_url}{quote(put.key)}?{self._signer.query(permission)}", headers=headers)

    def refresh(self) -> None:
        """Make the folder, once: what is half-made there is cleared away, and later there are uploads on their way."""
        if not self._is_made:
            self._lake.create()
            self._is_made = True

    async def expect(self, request: web.Request, key: str) -> web.StreamResponse | None:
        """Let the body come only if it would be taken."""
        refusal = self._refusal(request, key)
        if refusal is None and request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return refusal

    async def put(self, request: web.Request, key: str) -> web.Response:
        """Take one object."""
        refusal = self._refusal(request, key)
        if refusal is not None:
            return refusal
        writing = self._lake.begin(key, create_only=_is_create_only(request))
        try:
            return await self._receive(request, writing)
        except ExistsError:
            return problem(HTTPStatus.PRECONDITION_FAILED, "there is such an object already")
        except OSError as error:
            # A client that went away is an OSError too, and nobody reads that answer.
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, error.strerror or type(error).__name__)
        finally:
            await asyncio.to_thread(writing.abandon)

    async def _receive(self, request: web.Request, writing: Writing) -> web.Response:
        held = bytearray()
        async for piece in request.content.iter_any():
            held += piece
            if len(held) >= _PIECE_BYTES:
                if not _begins_well(writing, held):
                    return problem(HTTPStatus.BAD_REQUEST, "not a gzip file")
                await asyncio.to_thread(writing.write, bytes(held))
                held.clear()
        if not _begins_well(writing, held):
            return problem(HTTPStatus.BAD_REQUEST, "not a gzip file")
        if writing.size_bytes + len(held) != request.content_length:
            return problem(HTTPStatus.BAD_REQUEST, "the body is not as long as Content-Length says")
        await asyncio.to_thread(_finish, writing, bytes(held))
        return web.Response()

    def _refusal(self, request: web.Request, key: str) -> web.Response | None:
        try:
            signature = request.query.get("signature", "")
            self._signer.check(request.method, _permission(request, key), signature, self._clock.now())
        except (SignatureError, ValueError) as error:
            return problem(HTTPStatus.FORBIDDEN, str(error))
        if request.content_length is None or "Transfer-Encoding" in request.headers:
            return problem(HTTPStatus.LENGTH_REQUIRED, "Content-Length is required")
        return None


def _permission(request: web.Request, key: str) -> Permission:
    """Return what the request claims that it may do; the signature tells whether that is so."""
    encryption = request.headers.get(_ENCRYPTION)
    if encryption not in {None, "AES256"}:
        raise ValueError(f"{_ENCRYPTION} is not AES256")
    return Permission(
        key=key,
        content_type=request.headers.get("Content-Type", ""),
        encrypt=encryption is not None,
        create_only=_is_create_only(request),
        expires_at=int(request.query.get("expires", "")),
    )


def _is_create_only(request: web.Request) -> bool:
    return request.query.get("create-only") == "true"


def _begins_well(writing: Writing, held: bytearray) -> bool:
    return writing.size_bytes > 0 or held[:2] == GZIP_MAGIC


def _finish(writing: Writing, rest: bytes) -> None:
    writing.write(rest)
    writing.publish()
