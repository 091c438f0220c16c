"""Connections by origin: kept for a while, made anew when there is none, through the proxy when there is one."""

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import aiohappyeyeballs

from apidanalytics.outgoing.proxy import Proxy
from apidanalytics.outgoing.trouble import os_reason
from apidanalytics.upload.answers import Answer, before_path
from apidanalytics.upload.connection import Connection
from apidanalytics.upload.content import PIECE_BYTES

CONNECT_SECONDS: Final = 10.0
"""How long making one connection may take, TLS included."""

KEPT_SECONDS: Final = 30.0
"""How long an idle connection is kept."""

_EYEBALLS_SECONDS: Final = 0.25
"""How long one address is tried before the next one is, beside it (RFC 8305)."""

_MOST_KEPT: Final = 64
"""Idle connections: every tenant may have a host of its own."""

_PORTS: Final = {"http": 80, "https": 443}


class NotConnectedError(Exception):
    """There is no connection to be had; the text says why, and holds no URL."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a request goes to."""

    scheme: str
    host: str
    port: int

    @staticmethod
    def of(url: str) -> "Origin":
        """Return the origin of a URL.

        Raises:
            ValueError: it has none.

        """
        return _origin(before_path(url))

    @property
    def authority(self) -> str:
        """Return ``host:port``; the port is left out when it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(maxsize=64)
def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    return Origin(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])


class Pool:
    """Hands out connections and takes them back."""

    def __init__(self, *, context: ssl.SSLContext, proxy: Proxy | None, connect_seconds: float) -> None:
        self._context = context
        self._proxy = proxy
        self._connect_seconds = min(CONNECT_SECONDS, connect_seconds)
        self._idle: dict[Connection, tuple[Origin, float]] = {}
        self._by_origin: dict[Origin, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Pool {len(self._idle)} idle>"

    def take_kept(self, origin: Origin) -> Connection | None:
        """Return an idle connection, the one used last, if there is any."""
        kept = self._by_origin.get(origin, [])
        while kept:
            connection = kept[-1]
            self._drop(connection)
            if connection.is_open:
                return connection
        return None

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Take a connection back after an exchange."""
        if not (connection.is_open and connection.is_reusable):
            connection.close()
            return
        self._idle[connection] = (origin, time.monotonic())
        self._by_origin.setdefault(origin, []).append(connection)
        if len(self._idle) > _MOST_KEPT:
            self._close(next(iter(self._idle)))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEPT_SECONDS / 2, self._close_old)

    def close(self) -> None:
        """Close all that are idle; closing twice is fine."""
        for connection in list(self._idle):
            self._close(connection)
        if self._sweep is not None:
            self._sweep.cancel()

    async def connect(self, origin: Origin) -> Connection:
        """Make a connection.

        Raises:
            NotConnectedError: that is not possible, within its time.

        """
        via = origin if self._proxy is None else Origin(self._proxy.scheme, self._proxy.host, self._proxy.port)
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await self._open(via)
                if self._proxy is not None and origin.scheme == "https":
                    await self._tunnel(connection, origin, self._proxy)
        except ssl.SSLCertVerificationError as error:
            raise NotConnectedError(f"the certificate of {via.host}:{via.port} is not trusted") from error
        except TimeoutError as error:
            waited = f"no answer within {self._connect_seconds:g} s"
            raise NotConnectedError(f"no connection to {via.host}:{via.port}: {waited}") from error
        except OSError as error:
            raise NotConnectedError(f"no connection to {via.host}:{via.port}: {reason_of(error)}") from error
        return connection

    async def _open(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        made = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_EYEBALLS_SECONDS, socket_factory=_make_socket
        )
        context = self._context if origin.scheme == "https" else None
        try:
            _, connection = await loop.create_connection(
                Connection, sock=made, ssl=context, server_hostname=origin.host if context else None
            )
        except BaseException:
            made.close()
            raise
        return connection

    async def _tunnel(self, connection: Connection, origin: Origin, proxy: Proxy) -> None:
        target = f"{origin.host}:{origin.port}"
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in proxy.authorization().items())
        try:
            answer = await connection.tunnel(f"{head}\r\n".encode())
            _check_tunnel(answer)
            within = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, self._context, server_hostname=origin.host
            )
        except ssl.SSLCertVerificationError as error:
            raise NotConnectedError(f"the certificate of {target} is not trusted") from error
        except BaseException:
            connection.close()
            raise
        assert within is not None
        connection.connection_made(within)

    def _drop(self, connection: Connection) -> None:
        origin, _ = self._idle.pop(connection)
        kept = self._by_origin[origin]
        kept.remove(connection)
        if not kept:
            del self._by_origin[origin]

    def _close(self, connection: Connection) -> None:
        self._drop(connection)
        connection.close()

    def _close_old(self) -> None:
        now = time.monotonic()
        for connection, (_, since) in list(self._idle.items()):
            if not connection.is_open or now - since >= KEPT_SECONDS:
                self._close(connection)
        again = bool(self._idle)
        self._sweep = asyncio.get_running_loop().call_later(KEPT_SECONDS / 2, self._close_old) if again else None


def _check_tunnel(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise NotConnectedError(f"the proxy answered {answer.status}")


def reason_of(error: OSError) -> str:
    """Return what the system, or TLS, says of an error, and nothing else of it."""
    if not isinstance(error, ssl.SSLError):
        return os_reason(error)
    return "it does not speak TLS" if error.reason == "WRONG_VERSION_NUMBER" else f"TLS: {error.reason}"


def _make_socket(address: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    # What the kernel holds back is not progress: on a slow line, megabytes of it would look like a standstill.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_BYTES)
    return made
