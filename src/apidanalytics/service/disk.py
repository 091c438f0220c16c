"""Keeps the data directory within its limits: measures, decides, tells the workers, and drops where that is the policy.

A worker's lease is a count: how many bytes it may have taken since its start. It is made from what the worker had
taken *before* the measurement, so that whatever it took meanwhile is counted twice, and never not at all. All leases
together are no more than there is room.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from apidanalytics.control.channel import Message
from apidanalytics.quota.decide import OPEN, Decision, Limits, Usage, decide
from apidanalytics.upload.dropping import Dropped

log = structlog.get_logger()

_REFUSES: Final = "new batches wait, then get 503, until uploads or you make room; nothing acknowledged is lost"
_DROPS: Final = (
    "the oldest files are dropped to make room, as apidanalytics_full_policy says; new batches wait meanwhile"
)

TICK_SECONDS: Final = 1.0
LEAST_PAUSE_SECONDS: Final = 0.05
"""Between two measurements, however often workers ask."""
MIB: Final = 1 << 20

Drop = Callable[[int, str | None], Awaitable[Dropped]]
"""Drops the oldest files of all, or of one tenant, until so many bytes are free."""


class DiskKeeper:
    """Runs as a task of the agent."""

    def __init__(
        self,
        *,
        limits: Limits,
        measure: Callable[[], Usage],
        workers: Callable[[], Sequence[Mapping[str, Any]]],
        send: Callable[[int, Message], None],
        drop: Drop,
    ) -> None:
        """``measure`` may wait for the disk; ``workers`` are the reports of all that write; ``send`` goes by pid."""
        self._limits = limits
        self._measure = measure
        self._workers = workers
        self._send = send
        self._drop = drop
        self._wanted = asyncio.Event()
        self._taken: dict[int, int] = {}
        self._needed = 0
        self._decision = OPEN
        self._usage: Usage | None = None

    def __repr__(self) -> str:
        return (
            f"<DiskKeeper {self._decision.full or 'open'}, {len(self._decision.full_tenants)} tenants over their share>"
        )

    async def run(self) -> None:
        """Look every second, and when a worker asks, until cancelled; where nothing is limited, rest."""
        if not self._limits.are_any:
            await asyncio.Event().wait()
        while True:
            self._wanted.clear()
            await self.look()
            await asyncio.sleep(LEAST_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(TICK_SECONDS - LEAST_PAUSE_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def hear(self, message: Message) -> bool:
        """Take a worker's word for how much it has taken, and look at once; tell whether the message was for us."""
        if message["type"] != "room":
            return False
        self._taken[message["pid"]] = message["taken"]
        self._needed = max(self._needed, message["needed"])
        self._wanted.set()
        return True

    async def look(self) -> None:
        """Measure, decide, and act on it."""
        taken = self._taken_by_worker()  # before measuring, not after
        try:
            usage = await asyncio.to_thread(self._measure)
        except (OSError, sqlite3.Error) as error:
            # Nothing new is told, so the leases that are out end where they end.
            log.warning(
                "disk.not_measured",
                error=str(error),
                hint="no new room is given meanwhile; tried again in a second: look at the disk",
            )
            return
        workers, needed, self._needed = len(self._workers()), self._needed, 0
        decision = decide(self._limits, usage, self._decision, needed * workers)
        self._report(decision, usage)
        self._decision, self._usage = decision, usage
        for pid, count in taken.items():
            self._send(pid, _lease(decision, count, workers))
        await self._make_room(decision)

    def status(self) -> dict[str, Any]:
        """Return what `apidanalytics status` shows of it."""
        usage, limits = self._usage, self._limits
        return {
            "used_bytes": usage and usage.used_bytes,
            "free_bytes": usage and usage.free_bytes,
            "max_bytes": limits.max_bytes,
            "min_free_bytes": limits.min_free_bytes,
            "full": self._decision.full,
            "full_tenants": sorted(self._decision.full_tenants),
            "problems": self._problems(),
        }

    def _problems(self) -> list[str]:
        found: list[str] = []
        if self._decision.full:
            found.append(
                f"The disk is over {self._decision.full}: new batches wait, then get 503, until there is room."
            )
        if self._decision.full_tenants:
            names = ", ".join(sorted(self._decision.full_tenants)[:10])
            found.append(f"Over apidanalytics_tenant_max_disk_bytes, their batches get 503: {names}.")
        return found

    def _taken_by_worker(self) -> dict[int, int]:
        """Return how much each living worker has taken, as it said last."""
        living = {worker["pid"]: worker for worker in self._workers() if worker["state"] != "down"}
        said = {pid: worker["taken"] for pid, worker in living.items() if "taken" in worker}
        known = {pid: taken for pid, taken in self._taken.items() if pid in living}
        # Who has said nothing yet gets no lease: it would be too small for what it has taken.
        self._taken = {pid: max(known.get(pid, 0), said.get(pid, 0)) for pid in known | said}
        return dict(self._taken)

    async def _make_room(self, decision: Decision) -> None:
        wanted: list[tuple[int, str | None]] = [(size, tenant) for tenant, size in decision.drop_of_tenants.items()]
        if decision.drop_bytes:
            wanted.append((decision.drop_bytes, None))
        for size, tenant in wanted:
            try:
                dropped = await self._drop(size, tenant)
            except (OSError, sqlite3.Error) as error:
                log.warning("disk.not_dropped", error=str(error), hint="tried again in a second: look at the disk")
                return
            if dropped.files:
                _report_dropped(dropped, tenant)
                self._wanted.set()  # look at once: somebody waits for that room

    def _report(self, decision: Decision, usage: Usage) -> None:
        """Log what changed."""
        if decision.full and not self._decision.full:
            log.error(
                "disk.full",
                limit=decision.full,
                used_mib=usage.used_bytes // MIB,
                free_mib=usage.free_bytes // MIB,
                hint=_DROPS if self._limits.drops_oldest else _REFUSES,
            )
        elif self._decision.full and not decision.full:
            log.info("disk.room_again", used_mib=usage.used_bytes // MIB, free_mib=usage.free_bytes // MIB)
        for tenant in sorted(decision.full_tenants - self._decision.full_tenants):
            then = "its oldest files are dropped" if self._limits.drops_oldest else "until its files are delivered"
            hint = f"its batches wait, then get 503; {then}; other tenants are not affected"
            log.warning("disk.tenant_full", tenant=tenant, used_mib=usage.of(tenant) // MIB, hint=hint)
        for tenant in sorted(self._decision.full_tenants - decision.full_tenants):
            log.info("disk.tenant_room_again", tenant=tenant, used_mib=usage.of(tenant) // MIB)


def _lease(decision: Decision, taken: int, workers: int) -> Message:
    share = decision.share_bytes
    return {
        "type": "room",
        "allowed": taken + decision.room_bytes // workers,
        "is_full": decision.full is not None,
        "share": None if share is None else share // workers,
        "shares": {tenant: room // workers for tenant, room in decision.shares.items()},
    }


def _report_dropped(dropped: Dropped, tenant: str | None) -> None:
    log.error(
        "disk.dropped",
        tenant=tenant,
        files=dropped.files,
        records=dropped.records,
        bytes=dropped.bytes,
        freed_bytes=dropped.freed_bytes,
        hint="apidanalytics_full_policy: drop_oldest; counted in status and audit as dropped",
    )
