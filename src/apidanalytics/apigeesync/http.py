"""Outgoing calls to Apigee Sync: one request and its answer, in memory or into a file."""

import asyncio
import hashlib
import os
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp
from yarl import URL

from apidanalytics import __version__, durable
from apidanalytics.apigeesync.errors import SyncError
from apidanalytics.outgoing.proxy import Proxy, addressed
from apidanalytics.outgoing.trouble import describe

MAX_ANSWER_BYTES: Final = 256 << 20
"""No change list is longer; a snapshot goes to disk and has no limit."""
MAX_ERROR_BYTES: Final = 64 << 10
PIECE_BYTES: Final = 1 << 20
SYNCED_BYTES: Final = 64 << 20
"""So much of a file is written before it is synced up to there."""
CONNECT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    sha256: str = ""
    """Of what was saved, in hex; empty when nothing was."""


class Http:
    """Sends requests over kept connections, through the proxy if there is one. Redirects are not followed."""

    def __init__(self, *, timeout_seconds: float, proxy: Proxy | None = None, ca_bundle: Path | None = None) -> None:
        """``timeout_seconds`` without any progress end a call; a long download that moves on has all the time."""
        self._timeout_seconds = timeout_seconds
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready.

        Raises:
            OSError: the CA bundle cannot be read (``ssl.SSLError`` when it is none).

        """
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"apidanalytics/{__version__}"},
        )

    async def aclose(self) -> None:
        """Close all connections; closing twice is fine."""
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self, method: str, url: str, headers: Mapping[str, str], *, body: bytes | None = None, wait_seconds: float = 0
    ) -> Answer:
        """Return the answer. The server may stay silent for ``wait_seconds`` longer than otherwise (long poll).

        Raises:
            SyncError: there is none.

        """
        async with self._sent(method, url, headers, body, wait_seconds) as response:
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    raise SyncError("the answer is too long")
            return Answer(status=response.status, headers=_lower(response), body=bytes(content))

    async def save(self, url: str, headers: Mapping[str, str], target: Path) -> Answer:
        """Write the body of a 200 to a file; any other answer comes with its body, cut.

        Raises:
            SyncError: there is none, or it ended too early.
            OSError: the file cannot be written.

        """
        async with self._sent("GET", url, headers, None, 0) as response:
            if response.status != 200:
                body = await response.content.read(MAX_ERROR_BYTES)
                return Answer(status=response.status, headers=_lower(response), body=body)
            digest = hashlib.sha256()
            with closing(_PrivateFile(target)) as private:
                file = await asyncio.to_thread(private.open)
                written = 0
                async for piece in response.content.iter_chunked(PIECE_BYTES):
                    digest.update(piece)
                    await asyncio.to_thread(file.write, piece)
                    written += len(piece)
                    if written > SYNCED_BYTES:  # so that little is left to write when the last byte is here
                        await asyncio.to_thread(os.fdatasync, file.fileno())
                        written = 0
            return Answer(status=200, headers=_lower(response), sha256=digest.hexdigest())

    @asynccontextmanager
    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, wait_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "not open"
        silence = self._timeout_seconds + wait_seconds
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method,
                target,
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=min(CONNECT_SECONDS, self._timeout_seconds), sock_read=silence
                ),
                **addressed(self._proxy, target, headers),
            ) as response:
                yield response
        except TimeoutError as error:
            raise SyncError(f"no progress for {silence:g} s") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise SyncError(describe(error)) from error


class _PrivateFile:
    """A file that a thread opens, and that is closed also when whoever asked for it went away meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._is_over = False

    def open(self) -> BinaryIO:
        file = os.fdopen(durable.create(self._path), "wb")
        with self._lock:
            self._file = file
            if self._is_over:
                file.close()
        return file

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            if self._file is not None:
                self._file.close()


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
