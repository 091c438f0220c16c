"""The listening sockets of the data API. The agent owns them, so that they outlive any worker."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final

from apidanalytics.config import parse_listen

BACKLOG: Final = 4096
"""Connections that may wait in a socket's queue; the kernel caps it at net.core.somaxconn."""


class Listeners:
    """One socket per worker on the same TCP address, or one unix socket that all share.

    With SO_REUSEPORT the kernel spreads new connections over the sockets, and those that wait in the queue of a
    worker that died are served by its successor, which inherits the socket.
    """

    def __init__(self, address: str, count: int) -> None:
        self._address = parse_listen(address)
        self._sockets: list[socket.socket | None] = [None] * count
        self._unix: socket.socket | None = None

    @property
    def is_shared(self) -> bool:
        """Whether all workers accept from one socket."""
        return isinstance(self._address, Path)

    @property
    def url(self) -> str:
        """The address as clients write it (without the scheme's s)."""
        if isinstance(self._address, Path):
            return f"unix:{self._address}"
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host or '0.0.0.0'}:{port}"  # noqa: S104 - a name to show

    def open_all(self) -> None:
        """Open every socket.

        Raises:
            OSError: the address is taken or not ours.

        """
        for index in range(len(self._sockets)):
            self.get(index)

    def is_shared_with_others(self) -> bool:
        """Tell, before ``open_all``, whether another process listens on the TCP address, and would get a share."""
        if isinstance(self._address, Path) or not self._address[1]:
            return False
        family, kind, protocol, _, address = _resolve(*self._address)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def get(self, index: int) -> socket.socket:
        """Return the socket of this worker, opened again if it was closed."""
        if isinstance(self._address, Path):
            if self._unix is None:
                self._unix = _open_unix(self._address)
            return self._unix
        opened = self._sockets[index]
        if opened is None:
            opened = _open_tcp(*self._address)
            # Port 0 means any free one: the first socket chooses for all.
            self._address = (self._address[0], opened.getsockname()[1])
            self._sockets[index] = opened
        return opened

    def close(self, index: int) -> None:
        """Close the socket of a worker that stays down, so that no connection waits for it; not a shared one."""
        opened, self._sockets[index] = self._sockets[index], None
        if opened is not None:
            opened.close()

    def close_all(self) -> None:
        """Close every socket and remove the name of a unix one."""
        for index in range(len(self._sockets)):
            self.close(index)
        if self._unix is not None and isinstance(self._address, Path):
            self._unix.close()
            self._unix = None
            self._address.unlink(missing_ok=True)


def _open_tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = _resolve(host, port)
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from error
    opened.setblocking(False)
    return opened


def _resolve(host: str, port: int) -> tuple[int, int, int, str, Any]:
    return socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]


def _open_unix(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # left by a process that died; the data directory's lock says that none lives
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(path))
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise OSError(error.errno, f"cannot listen on unix:{path}: {error.strerror or error}") from error
    opened.setblocking(False)
    return opened
