"""The listening sockets of the data API. The agent owns them, so that they outlive any worker."""

import errno
import os
import socket
import stat
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

from apidanalytics.config import parse_listen

BACKLOG: Final = 4096
"""Connections that may wait in a socket's queue; the kernel caps it at net.core.somaxconn."""


class Listeners:
    """One socket per worker on the same TCP address, or one or more sockets that all workers share.

    With SO_REUSEPORT the kernel spreads new connections over the sockets, and those that wait in the queue of a
    worker that died are served by its successor, which inherits the socket; unless that worker keeps dying, for then
    the supervisor closes its socket, and what waits there is reset. Shared are a unix socket and those that
    systemd opened. Sockets of an agent before this one are taken over, never closed: connections may wait in them.
    """

    def __init__(
        self, address: str, count: int, inherited: Sequence[socket.socket] = (), *, is_activated: bool = False
    ) -> None:
        """Take over ``inherited``: they listen on this address, or, ``is_activated``, wherever systemd opened them."""
        self._address = parse_listen(address)
        self.is_shared = is_activated or isinstance(self._address, Path)
        """Whether all workers accept from the same sockets."""
        self._is_activated = is_activated
        self._shared: list[socket.socket] = list(inherited) if self.is_shared else []
        self._of: list[list[socket.socket]] = [[] for _ in range(count)]
        if not self.is_shared:
            for index, opened in enumerate(inherited):
                self._of[index % count].append(opened)
                self._address = opened.getsockname()[:2]

    @property
    def url(self) -> str:
        """The address as clients write it (without the scheme's s)."""
        if self._is_activated:
            return _url_of(self._shared[0])
        if isinstance(self._address, Path):
            return f"unix:{self._address}"
        return _url(*self._address)

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach a socket that is open."""
        opened = self._shared + [one for group in self._of for one in group]
        return any(one.family != socket.AF_UNIX and not _is_loopback(one.getsockname()[0]) for one in opened)

    def open_all(self) -> None:
        """Open every socket.

        Raises:
            OSError: the address is taken or not ours.

        """
        for index in range(len(self._of)):
            self.get(index)

    def is_shared_with_others(self) -> bool:
        """Tell, before ``open_all``, whether another process listens on the TCP address, and would get a share."""
        if self.is_shared or isinstance(self._address, Path) or not self._address[1] or any(self._of):
            return False
        family, kind, protocol, _, address = _resolve(*self._address)
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def get(self, index: int) -> Sequence[socket.socket]:
        """Return the sockets of this worker, opened again if they were closed."""
        if self.is_shared:
            if not self._shared and isinstance(self._address, Path):
                self._shared = [_open_unix(self._address)]
            return self._shared
        assert isinstance(self._address, tuple)
        opened = self._of[index]
        if not opened:
            opened.append(_open_tcp(*self._address))
            # Port 0 means any free one: the first socket chooses for all.
            self._address = (self._address[0], opened[0].getsockname()[1])
        return opened

    def close(self, index: int) -> None:
        """Close the sockets of a worker that stays down, so that no connection waits for it; not shared ones."""
        for opened in self._of[index]:
            opened.close()
        self._of[index] = []

    def close_all(self) -> None:
        """Close every socket and remove the name of a unix one of ours."""
        for opened in self.detach():
            opened.close()
        if isinstance(self._address, Path) and not self._is_activated:
            self._address.unlink(missing_ok=True)

    def detach(self) -> list[socket.socket]:
        """Let go of every socket, and return them: they listen on."""
        sockets = self._shared + [opened for group in self._of for opened in group]
        self._shared, self._of = [], [[] for _ in self._of]
        return sockets


def _is_loopback(host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host or '0.0.0.0'}:{port}"  # noqa: S104 - a name to show # nosec B104


def _url_of(opened: socket.socket) -> str:
    name = opened.getsockname()
    return f"unix:{name}" if opened.family == socket.AF_UNIX else _url(*name[:2])


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
