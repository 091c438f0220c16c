"""How each fault is brought about. One that lasts returns what ends it."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.load import children, first_true
from tests.crash.syscalls import Strace
from tests.faults.schedule import Fault, Kind
from tests.faults.world import World

End = Callable[[], None]
STOP_SECONDS = 120.0

DISK_CALLS = (
    ("pwrite64:error=ENOSPC:when=1+3",),
    ("pwrite64:error=EIO:when=2+5",),
    ("fdatasync:error=EIO:when=1+2",),
    ("fsync:error=EIO:when=1+3", "fdatasync:error=EIO:when=2+4"),
    ("fdatasync:error=EIO:when=2+5", "ftruncate:error=EIO:when=1+2"),
    ("rename,renameat,renameat2:error=EIO:when=1+3",),
    ("link,linkat:error=EIO:when=1+2",),
    ("unlink,unlinkat:error=EIO:when=1+3",),
    ("openat:error=ENFILE:when=5+7",),
)
"""What strace makes the kernel answer."""
SLOW_CALLS = ("fdatasync,fsync:delay_enter=150000",)
HOURS = 3600.0


class NotNowError(Exception):
    """There is nothing that this fault could happen to."""


class Injectors:
    def __init__(self, world: World, strace: str | None) -> None:
        self._world = world
        self._service = world.service
        self._strace = strace
        self.ended: list[int] = []
        """Exit codes of agents that were told to end."""

    def __call__(self, fault: Fault) -> End | None:
        """Bring a fault about; return what ends it.

        Raises:
            NotNowError: nothing was done.

        """
        draw = random.Random(fault.choice)
        by_kind: dict[Kind, Callable[[random.Random], End | None]] = {
            Kind.KILL_WORKER: self._kill_worker,
            Kind.KILL_AGENT: self._kill_agent,
            Kind.KILL_ALL: self._kill_all,
            Kind.FREEZE_WORKER: self._freeze,
            Kind.RESTART: self._restart,
            Kind.RELOAD: self._reload,
            Kind.BAD_RELOAD: self._bad_reload,
            Kind.UPGRADE: lambda _: self._signal(signal.SIGUSR2),
            Kind.CLOCK: self._jump,
            Kind.STORE: self._break_store,
            Kind.COLLECTION: self._break_collection,
            Kind.SCOPES: lambda _: self._world.scopes.change(),
            Kind.SYNC_FAILS: lambda draw: self._trace(draw, draw.choice(DISK_CALLS)),
            Kind.SYNC_SLOW: lambda draw: self._trace(draw, SLOW_CALLS),
            Kind.DISK_FULL: self._fill,
        }
        return by_kind[fault.kind](draw)

    # -- processes

    def _kill_worker(self, draw: random.Random) -> None:
        workers = children(self._service.pid)
        if not workers:
            raise NotNowError
        _signal(draw.choice(workers), signal.SIGKILL)

    def _kill_agent(self, draw: random.Random) -> None:
        self._service.kill_agent()
        # At once, while its workers still finish, or a little later.
        time.sleep(draw.choice((0, 0, 0.3)))
        self._service.start(ready=False)

    def _kill_all(self, draw: random.Random) -> None:
        for pid in self._service.pids():
            _signal(pid, signal.SIGKILL)
        self._service.process.wait()
        self._service.start(ready=False)

    def _freeze(self, draw: random.Random) -> End:
        workers = children(self._service.pid)
        if not workers:
            raise NotNowError
        frozen = draw.choice(workers)
        _signal(frozen, signal.SIGSTOP)
        return lambda: _signal(frozen, signal.SIGCONT)

    def _restart(self, draw: random.Random) -> None:
        self._signal(signal.SIGTERM)
        if not first_true(lambda: self._service.process.poll() is not None, STOP_SECONDS):
            raise TimeoutError(f"the service was told to stop {STOP_SECONDS:g} s ago")
        self.ended.append(self._service.process.returncode)
        self._service.start(ready=False)

    def _signal(self, number: int) -> None:
        if not _minds(self._service.pid, number):
            raise NotNowError  # it has only just been started, and a signal would end it as it would any program
        _signal(self._service.pid, number)

    # -- settings

    def _reload(self, draw: random.Random) -> None:
        self._world.settings.change(draw)
        self._signal(signal.SIGHUP)

    def _bad_reload(self, draw: random.Random) -> None:
        good = self._world.settings.spoil()
        try:
            before = self._service.log().count("agent.change_refused")
            self._signal(signal.SIGHUP)
            # One that starts or stops just now does not answer.
            first_true(lambda: self._service.log().count("agent.change_refused") > before, 2)
        finally:
            self._world.settings.path.write_text(good)

    # -- around it

    def _jump(self, draw: random.Random) -> None:
        now = time.time()
        # From the earliest time of day to the latest it must be less than the window of keys, a day.
        to_midnight = min(86400 - now % 86400, 22 * HOURS)
        self._world.clock.jump(
            draw.choice((0.0, HOURS, -HOURS, to_midnight - 0.7, 1.0, -1.0, self._world.clock.offset - 0.3))
        )

    def _break_store(self, draw: random.Random) -> End:
        store = self._world.objects
        how = draw.choice(("gone", "500", "503", "403", "one tenant", "takes, then breaks", "takes, then 500", "slow"))
        if how == "gone":
            store.stop()
            return store.start
        if how == "one tenant":
            store.put_status = {"acme~prod": draw.choice((403, 500))}
        elif how.startswith("takes"):
            store.takes_then = how.rpartition(" ")[2].removesuffix("s")
        elif how == "slow":
            store.delay_seconds = 1.0
        else:
            store.put_status = {"": int(how)}
        return store.heal

    def _break_collection(self, draw: random.Random) -> End:
        collection = self._world.collection
        how = draw.choice(("gone", "500", "503", "401", "404", "one tenant", "slow"))
        if how == "gone":
            collection.stop()
            return collection.start
        if how == "one tenant":
            collection.sign_status = {"acme~test": draw.choice((403, 404))}
        elif how == "slow":
            collection.delay_seconds = 1.0
        else:
            collection.sign_status = {"": int(how)}
        return collection.heal

    # -- the disk

    def _fill(self, draw: random.Random) -> End:
        if not self._world.disk.is_small:
            raise NotNowError
        self._world.disk.fill()
        return self._world.disk.free

    def _trace(self, draw: random.Random, faults: tuple[str, ...]) -> End:
        if self._strace is None:
            raise NotNowError
        calls = ",".join(fault.partition(":")[0] for fault in faults)
        pid = draw.choice([self._service.pid, *children(self._service.pid)])
        strace = Strace(self._strace, pid, f"--trace={calls}", *(f"--inject={fault}" for fault in faults))
        try:
            strace.__enter__()
        except (pytest.skip.Exception, pytest.fail.Exception) as error:
            # It has just died, or the other fault of this kind has it.
            raise NotNowError from error
        return strace.__exit__


def _minds(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal, or holds it back until it has one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return any(int(fields[name], 16) >> (number - 1) & 1 for name in ("SigCgt", "SigBlk"))


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
