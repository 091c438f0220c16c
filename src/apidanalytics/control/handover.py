"""What outlives an agent's program: the lock, the listening sockets, and workers that serve on.

A reload ends the parts of the agent and makes them anew, with other settings; an upgrade replaces its whole program,
in the same process. Either way nothing of this is ever closed in between: connections wait in the sockets' queues,
nobody else can take the data directory, and the workers of before answer until the new ones do. They are drained then.
"""

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec

from apidanalytics.control.child import Child
from apidanalytics.control.lock import DataDirectoryLock

VARIABLE: Final = "APIDANALYTICS_HANDOVER"
"""Carries a hand-over from one program to the next one of the same process."""
FIRST_ACTIVATED: Final = 3
"""Descriptor of the first socket that systemd passes (sd_listen_fds(3))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerWorker:
    """A worker that an agent before this one started, and that serves on."""

    child: Child
    pipe: socket.socket
    """The agent's end: while it is open the worker has an agent."""


@dataclass(slots=True, kw_only=True)
class Handover:
    """Handed from agent to agent. Who takes a part out of it owns it."""

    lock: DataDirectoryLock | None = None
    address: str = ""
    """What the sockets were opened for: the value of ``api_listen``."""
    sockets: list[socket.socket] = field(default_factory=list)
    is_activated: bool = False
    """Whether systemd opened the sockets."""
    workers: list[FormerWorker] = field(default_factory=list)
    generation: int = 0
    """How many agents this process has been before."""
    last_change: dict[str, Any] | None = None
    """What the last reload or upgrade was, and how it went; for the status."""
    counters: dict[str, Any] = field(default_factory=dict)
    """What all workers counted so far; the metrics go on from there."""
    settings: bytes | None = None
    """Those in effect, as ``Settings.to_json`` gives them, for a program that finds others that cannot be used."""
    _settings_file: BinaryIO | None = None

    @classmethod
    def of_this_process(cls, environment: MutableMapping[str, str]) -> Self:
        """Return what the program before this one left, or what systemd passes; usually nothing.

        The variables that say so are removed: they are about this process, not about its children.
        """
        text = environment.pop(VARIABLE, None)
        passed = {name: environment.pop(name, "") for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")}
        if text is not None:
            return cls._from_text(text)
        if passed["LISTEN_PID"] != str(os.getpid()) or not passed["LISTEN_FDS"].isdigit():
            return cls()
        numbers = range(FIRST_ACTIVATED, FIRST_ACTIVATED + int(passed["LISTEN_FDS"]))
        return cls(sockets=[_adopt(number) for number in numbers], is_activated=bool(numbers))

    def leave(self, environment: MutableMapping[str, str]) -> None:
        """Write it down for the next program, and let its descriptors pass.

        Raises:
            OSError: there is no descriptor left.

        """
        written = _Written(
            lock=self.lock.fileno() if self.lock is not None else -1,
            address=self.address,
            sockets=[opened.fileno() for opened in self.sockets],
            is_activated=self.is_activated,
            workers=[(worker.child.pid, worker.pipe.fileno()) for worker in self.workers],
            generation=self.generation,
            last_change=self.last_change,
            counters=self.counters,
            settings=self._remember_settings(),
        )
        for number in (written.lock, written.settings, *written.sockets, *(pipe for _, pipe in written.workers)):
            if number >= 0:
                os.set_inheritable(number, True)
        environment[VARIABLE] = msgspec.json.encode(written).decode()

    def _remember_settings(self) -> int:
        """Return the descriptor of a file in memory that holds them; that of an earlier try is closed."""
        if self._settings_file is not None:
            self._settings_file.close()
        if self.settings is None:
            return -1
        self._settings_file = os.fdopen(os.memfd_create("apidanalytics-settings"), "wb")
        self._settings_file.write(self.settings)
        self._settings_file.flush()
        return self._settings_file.fileno()

    def sockets_for(self, address: str) -> list[socket.socket]:
        """Take out the sockets if they are those of this address, or systemd's; close them otherwise."""
        sockets, self.sockets = self.sockets, []
        if self.is_activated or address == self.address:
            return sockets
        for opened in sockets:
            if opened.family == socket.AF_UNIX:
                Path(opened.getsockname()).unlink(missing_ok=True)
            opened.close()
        return []

    def abandon(self) -> None:
        """Let go of everything: the workers notice, finish what is in flight, and end."""
        for worker in self.workers:
            worker.pipe.close()
        for opened in self.sockets:
            opened.close()
        if self.lock is not None:
            self.lock.release()
        if self._settings_file is not None:
            self._settings_file.close()
        self.workers, self.sockets, self.lock = [], [], None

    @classmethod
    def _from_text(cls, text: str) -> Self:
        written = msgspec.json.decode(text, type=_Written)
        return cls(
            lock=DataDirectoryLock.adopt(written.lock) if written.lock >= 0 else None,
            address=written.address,
            sockets=[_adopt(number) for number in written.sockets],
            is_activated=written.is_activated,
            workers=[FormerWorker(child=Child(pid), pipe=_adopt(pipe)) for pid, pipe in written.workers],
            generation=written.generation,
            last_change=written.last_change,
            counters=written.counters,
            settings=_recall(written.settings) if written.settings >= 0 else None,
        )


class _Written(msgspec.Struct):
    """A hand-over in the environment. Members may be added, with a default, and never go: an older program reads it."""

    lock: int = -1
    address: str = ""
    sockets: list[int] = []
    is_activated: bool = False
    workers: list[tuple[int, int]] = []
    generation: int = 0
    last_change: dict[str, Any] | None = None
    counters: dict[str, Any] = {}
    settings: int = -1
    """The descriptor of a file: there may be secrets in them, and a process shows its environment while it lives."""


def _recall(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        return file.read()


def _adopt(number: int) -> socket.socket:
    os.set_inheritable(number, False)
    opened = socket.socket(fileno=number)
    opened.setblocking(False)
    return opened
