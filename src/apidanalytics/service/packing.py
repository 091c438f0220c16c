"""The agent's packing: takes over what dead workers left, then packs spool after spool, in one thread of its own.

A spool that cannot be packed now (a full disk, a failing ledger) stays where it is and is tried again, and the others
go on. While workers hold floods back for the sake of others, packing gives way as well: to whoever wants the core. What
has waited for a while gives way to nobody, so that packing keeps up.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from apidanalytics.backoff import growing
from apidanalytics.clock import Clock
from apidanalytics.service.stepping import step_aside

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """Why a spool is not packed yet."""

    since: float
    """Unix time of the first try."""
    error: str
    """Of the last one."""
    due_at: float
    """When it is tried again, by the monotonic clock."""
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why no spool is packed: a directory cannot be looked through."""

    since: float
    """Unix time of the first try."""
    error: str
    """Of the last one."""


LOOK_SECONDS: Final = 5.0
"""The longest time until a sealed spool is noticed without being told of it, as by a worker of a former agent."""
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
MAX_ASIDE_BYTES: Final = 64 << 20
"""A spool that is larger gives way to nobody: what waits for it, such as a hand-over, would wait for long."""
GIVES_WAY_SECONDS: Final = 10.0
"""A spool that was sealed, or seen, longer ago gives way to nobody."""


class Packing:
    """Runs sweeps and packing passes until it is stopped."""

    def __init__(
        self,
        *,
        sweep: Callable[[], Any],
        waiting: Callable[[], list[Path]],
        pack: Callable[[Path], Any],
        on_staged: Callable[[], None],
        clock: Clock,
        gives_way: Callable[[], bool] = bool,
    ) -> None:
        """Join the parts; the first three are called in the packing thread and may wait for the disk.

        ``gives_way``, called there too, tells whether somebody else needs the cores more.
        """
        self._sweep = sweep
        self._waiting = waiting
        self._pack = pack
        self._on_staged = on_staged
        self._clock = clock
        self._gives_way = gives_way
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="packing")
        # Who has stepped aside may not step back without rights, so that is another thread's part; it works for the
        # first one, which waits meanwhile.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="packing-aside", initializer=step_aside)
        self._seen_at: dict[str, float] = {}
        self._wanted = asyncio.Event()
        self._put_off: dict[str, PutOff] = {}
        self.packing: str | None = None
        """Name of the spool in hand."""
        self.blocked: Blocked | None = None
        """Why no spool is packed at all."""

    def __repr__(self) -> str:
        return f"<Packing {self.packing or 'idle'}, {len(self._put_off)} put off>"

    @property
    def put_off(self) -> Mapping[str, PutOff]:
        """The spools, by name, that could not be packed and are tried again."""
        return self._put_off

    def wake(self) -> None:
        """Look at once: a spool was sealed, or a worker died."""
        self._wanted.set()

    async def run(self) -> None:
        """Pack what comes, until cancelled."""
        while True:
            self._wanted.clear()
            await self.run_pass()
            try:
                async with asyncio.timeout(self._seconds_to_look()):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def run_pass(self) -> None:
        """Take over what dead workers left and pack every spool that waits, once."""
        try:
            await self.in_thread(self._sweep)
            waiting = await self.in_thread(self._waiting)
        except OSError as error:
            since = self._clock.now() if self.blocked is None else self.blocked.since
            self.blocked = Blocked(since=since, error=str(error))
            log.warning(
                "pack.sweep_failed",
                error=str(error),
                hint="what is sealed waits; tried again in a few seconds: look at the disk",
            )
            return
        self.blocked = None
        self._put_off = {path.name: self._put_off[path.name] for path in waiting if path.name in self._put_off}
        now = self._clock.monotonic()
        self._seen_at = {path.name: self._seen_at.get(path.name, now) for path in waiting}
        for path in waiting:
            if self._is_due(path.name):
                await self._pack_one(path)

    async def drain(self, seconds: float) -> None:
        """Run one last pass, in which no spool is begun once the time is over; the one in hand is finished."""
        try:
            async with asyncio.timeout(seconds):
                await self.run_pass()
        except TimeoutError:
            log.info("pack.unfinished", hint="what is sealed is packed after the next start")

    async def aclose(self) -> None:
        """Wait for the spool in hand, and end the threads."""
        for thread in (self._thread, self._aside):
            await asyncio.get_running_loop().run_in_executor(None, thread.shutdown)

    async def _pack_one(self, path: Path) -> None:
        self.packing = path.name
        try:
            await self.in_thread(lambda: self._pack_in_time(path))
        except Exception as error:  # noqa: BLE001 - one odd spool must not keep the others from being delivered
            self._put_it_off(path.name, error)
        else:
            self._put_off.pop(path.name, None)
            self._on_staged()
        finally:
            self.packing = None

    def _pack_in_time(self, path: Path) -> None:
        if self._may_wait(path) and self._gives_way():
            self._aside.submit(self._pack, path).result()
        else:
            self._pack(path)

    def _may_wait(self, path: Path) -> bool:
        """Tell whether a spool is short, and has not waited for long.

        How long, its file says, which the move to where it waits was the last to change: also after a restart. That is
        by the time of day, so it counts only where it is longer than what has passed since the spool was seen: a clock
        that is set back takes nothing from that, and one that is set ahead makes packing give way too seldom, once.
        """
        waited = self._clock.monotonic() - self._seen_at[path.name]
        try:
            status = path.stat()
        except OSError:  # packing says what is wrong with it
            return waited < GIVES_WAY_SECONDS
        waited = max(waited, self._clock.now() - status.st_ctime)
        return waited < GIVES_WAY_SECONDS and status.st_size <= MAX_ASIDE_BYTES

    def _seconds_to_look(self) -> float:
        """Return how long there is nothing to do, unless somebody calls ``wake``."""
        due_at = min((spool.due_at for spool in self._put_off.values()), default=float("inf"))
        return min(max(due_at - self._clock.monotonic(), 0.1), LOOK_SECONDS)

    def _is_due(self, name: str) -> bool:
        last = self._put_off.get(name)
        return last is None or self._clock.monotonic() >= last.due_at

    def _put_it_off(self, name: str, error: Exception) -> None:
        last = self._put_off.get(name)
        failures = 1 if last is None else last.failures + 1
        pause = growing(failures, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
        self._put_off[name] = PutOff(
            since=self._clock.now() if last is None else last.since,
            error=str(error),
            due_at=self._clock.monotonic() + pause,
            failures=failures,
        )
        # An error of the disk explains itself; anything else is a defect, and its place matters.
        trace = None if isinstance(error, OSError | sqlite3.OperationalError) else error
        hint = "the spool stays where it is and is tried again; nothing is lost"
        log.error("pack.failed", spool=name, error=str(error), retry_seconds=pause, hint=hint, exc_info=trace)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Call this in the packing thread, after what is under way there."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)
