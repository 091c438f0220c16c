"""The disk's side of the writer: which spool is open, what a refused write means, and when to seal.

::

    writable --write or create refused--> refused by the disk --probe or commit goes well--> writable

A refused write is undone (``OpenSpool.cut_back``) before anybody is told ``UNAVAILABLE``; if even that fails, the
answer is ``UNKNOWN``. Nothing is ever appended to a spool again after a write to it was refused.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Claim, Outcome, SpoolHeader
from apidanalytics.spool.file import OpenSpool
from apidanalytics.spool.frame import Share
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.sealer import Sealer
from apidanalytics.telemetry.histogram import SIZES, Histogram

log = structlog.get_logger()

PROBE_SECONDS: Final = 1.0
"""How often a disk that refused is tried again, and the longest time between two looks at the clock."""


def _no_sync(_descriptor: int) -> None:
    """Leave it to the kernel when the bytes reach the disk."""


SYNC: Final[dict[str, Callable[[int], None]]] = {"disk": os.fdatasync, "os": _no_sync, "memory": _no_sync}
"""What a commit does after the write, by ``apidanalytics_durability``."""


class Committer:
    """Commits groups of batches. One thread uses it; the counters and ``is_writable`` may be read by any."""

    def __init__(self, data: DataDirectory, limits: SpoolLimits, clock: Clock, on_sealed: Callable[[], None]) -> None:
        """``on_sealed`` is called in a thread of its own."""
        self._data = data
        self._limits = limits
        self._clock = clock
        self._sync = SYNC[limits.durability]
        self._sealer = Sealer(data, clock, on_sealed)
        self._spool: OpenSpool | None = None
        self._opened_at = 0.0
        self._failed_at = 0.0
        self.seal_wanted = False
        """Set by any thread: seal what is open, soon, so that it can be packed and go."""
        self.is_writable = True
        """False from a refused write until the disk takes one again."""
        self.groups = 0
        """Groups committed so far."""
        self.records = 0
        """Records committed so far."""
        self.seconds = Histogram()
        """What a commit took: write and sync."""
        self.group_batches = Histogram(SIZES)

    def __repr__(self) -> str:
        state = "writable" if self.is_writable else "refused by the disk"
        return f"<Committer {state}: {self.groups} groups, {self._spool}>"

    def commit(self, batches: Sequence[Batch]) -> Outcome:
        """Make these batches durable, all of them or none."""
        if not self.is_writable and self._clock.monotonic() - self._failed_at < PROBE_SECONDS / 4:
            return self._report_refusal(batches)
        try:
            spool = self._open()
        except OSError as error:
            self._refused(error, "create")
            return self._report_refusal(batches)
        began = self._clock.monotonic()
        try:
            shares = _join(batches)
            spool.append(shares, _claims(batches, spool.header.number))
        except OSError as error:
            self._refused(error, "write")
            return self._undo(spool, batches)
        self.seconds.observe(self._clock.monotonic() - began)
        self.group_batches.observe(len(batches))
        self.groups += 1
        self.records += sum(share.records for share in shares)
        self._accepting()
        return Outcome.COMMITTED

    def _undo(self, spool: OpenSpool, batches: Sequence[Batch]) -> Outcome:
        """Cut the failed group off, and never append to this spool again."""
        self._spool = None
        try:
            spool.cut_back()
        except OSError as error:
            log.warning(
                "spool.cut_failed",
                spool=repr(spool),
                error=str(error),
                hint="the disk failed: clients get no answer; nothing acknowledged is lost",
            )
            return Outcome.UNKNOWN
        finally:
            self._sealer.seal(spool)
        return self._report_refusal(batches)

    def _report_refusal(self, batches: Sequence[Batch]) -> Outcome:
        if self._limits.durability == "memory":
            lost = sum(batch.records for batch in batches)
            log.error(
                "spool.lost",
                records=lost,
                hint="acknowledged before the write (apidanalytics_durability: memory), and gone",
            )
        return Outcome.UNAVAILABLE

    def _open(self) -> OpenSpool:
        if self._spool is None:
            self._spool = OpenSpool.create(
                self._data, self._header, self._sync, has_room=self._limits.durability == "disk"
            )
            self._opened_at = self._clock.monotonic()
        return self._spool

    def _header(self, number: int) -> SpoolHeader:
        limits = self._limits
        return SpoolHeader(
            number=number,
            interval_seconds=limits.interval_seconds,
            max_file_bytes=limits.max_file_bytes,
            instance_id=limits.instance_id,
            created_at=self._clock.now(),
            owner=limits.owner,
            marks_end=True,
        )

    def _refused(self, error: OSError, step: str) -> None:
        self._failed_at = self._clock.monotonic()
        if self.is_writable:
            self.is_writable = False
            hint = "new batches get 503 until the disk takes writes again; nothing acknowledged is lost"
            log.error("spool.refused", step=step, error=str(error), directory=str(self._data.tmp), hint=hint)

    def _accepting(self) -> None:
        if not self.is_writable:
            self.is_writable = True
            log.info("spool.accepting", hint="the disk takes writes again")

    def probe(self) -> None:
        """Find out, without a client's batch, whether the disk takes writes again."""
        try:
            self._open()
        except OSError:
            return
        self._accepting()

    def seconds_to_look(self) -> float:
        """Return how long one may wait before ``seal_if_due`` should be asked again."""
        if self._spool is None or not self.is_writable:
            return PROBE_SECONDS
        # The clock may be set meanwhile, so never sleep past the next look at it.
        return min(max(self._interval_ends_at() - self._clock.now(), 0.001), PROBE_SECONDS)

    def _interval_ends_at(self) -> float:
        assert self._spool is not None
        interval = self._limits.interval_seconds
        return (self._spool.header.created_at // interval + 1) * interval

    def seal_if_due(self) -> None:
        """Seal the open spool at its end of time or size; try again what could not be sealed before."""
        if self._is_due():
            self.seal()
            return
        if self._spool is None:
            self.seal_wanted = False  # what was open then is sealed: the next spool has its own time
        self._sealer.retry()

    def seal(self) -> None:
        """Hand the open spool to the sealing thread; the next group opens a new one."""
        self.seal_wanted = False
        if self._spool is not None:
            self._sealer.seal(self._spool)
            self._spool = None

    def close(self) -> None:
        """Seal what is open, and wait for it."""
        self.seal()
        self._sealer.close()

    def _is_due(self) -> bool:
        if self._spool is None:
            return False
        return (
            self.seal_wanted
            or self._clock.now() >= self._interval_ends_at()
            or self._clock.monotonic() - self._opened_at >= self._limits.interval_seconds
            or self._spool.end >= self._limits.max_bytes
        )


def _join(batches: Sequence[Batch]) -> list[Share]:
    """Return one share per tenant and start, its lines in the order of arrival."""
    joined: dict[tuple[str, int], list[Batch]] = {}
    for batch in batches:
        key = batch.tenant, batch.start_at
        if (same := joined.get(key)) is None:
            joined[key] = [batch]
        else:
            same.append(batch)
    return [
        Share(
            tenant=tenant,
            start_at=start_at,
            records=sum([batch.records for batch in same]),
            lines=same[0].lines if len(same) == 1 else b"".join([batch.lines for batch in same]),
        )
        for (tenant, start_at), same in joined.items()
    ]


def _claims(batches: Sequence[Batch], spool_number: int) -> list[Claim]:
    """Return the claims of these batches, each marked with the spool it goes to before a byte of it is there."""
    claims = [batch.claim for batch in batches if batch.claim is not None]
    for claim in claims:
        claim.spool = spool_number
    return claims
