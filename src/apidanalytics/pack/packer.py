"""One sealed spool becomes one gzip file per tenant and start.

::

    read all entries --> plan --> groups of files: write, sync, link, sync, ledger --> keys, packed --> remove

Everything follows from the spool's content and name, so packing it again, after a crash anywhere, ends in the same
names and bytes; what the ledger knows is not made again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import structlog

from apidanalytics import durable, failpoints
from apidanalytics.clock import Clock
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import SpoolHeader
from apidanalytics.pack.aside import Aside, Why
from apidanalytics.pack.contents import Contents
from apidanalytics.pack.index import Index
from apidanalytics.pack.patch import Patcher
from apidanalytics.pack.plan import grouped, plan
from apidanalytics.pack.ports import OpenSpool, PackLedger, SpoolGoes, SpoolReader
from apidanalytics.pack.publish import Publisher
from apidanalytics.pack.resume import Resumption
from apidanalytics.pack.stager import NOTHING, Staged, Stager

log = structlog.get_logger()

GROUP_FILES: Final = 500
GROUP_BYTES: Final = 256 << 20
"""Files that are synced together hold about this many bytes of lines at most."""

_TORN: Final = "sealed, and yet its end is torn; what is good was delivered"
_CUT_OFF: Final = (
    "sealed, and yet the mark of its end is missing: whole groups were cut off; what is there was delivered"
)
_HOLDS_MORE: Final = "a copy of it as it was earlier is packed already: what follows upon that is not delivered"


class Outcome(Enum):
    """What became of a spool."""

    PACKED = "packed"
    """Everything that can be read of it is staged, and it is gone."""
    REMOVED = "removed"
    """It was empty, or had been packed before; it is gone."""
    SET_ASIDE = "set aside"
    """It cannot be read at all; it is in ``damaged/``."""
    LEFT_ALONE = "left alone"
    """A newer version wrote it; it stays where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What packing did."""

    outcome: Outcome
    staged: Staged = NOTHING
    """What this run staged; not what an earlier one did before a crash."""
    torn_bytes: int = 0
    """Length of the unfinished write at the spool's end, of which nobody was told that it is safe."""
    damaged_bytes: int = 0
    """Length of what was committed and cannot be read any more."""


class Packer:
    """Packs spools, one at a time, in a thread that may wait for the disk."""

    def __init__(
        self,
        data: DataDirectory,
        ledger: PackLedger,
        open_spool: OpenSpool,
        *,
        clock: Clock,
        fallback: Callable[[int], SpoolHeader],
        spool_goes: SpoolGoes,
    ) -> None:
        """Join the parts; ``fallback`` makes the header, by number, of a spool whose own header is damaged."""
        self._data = data
        self._ledger = ledger
        self._open_spool = open_spool
        self._fallback = fallback
        self._spool_goes = spool_goes
        self._clock = clock
        self._aside = Aside(data, ledger, clock)
        self._stager = Stager(ledger, Publisher(data, self._aside, lambda files: ledger.stage(files, clock.now())))
        self._patcher = Patcher(data, self._aside, clock)
        self._newer: set[str] = set()

    def __repr__(self) -> str:
        return f"<Packer: {len(self._newer)} spools of a newer format left alone>"

    def pack(self, path: Path) -> Packed:
        """Stage everything a spool in ``sealed/`` or ``recovered/`` holds, then remove it.

        One that the disk does not give back is patched after some tries (``patch``), so that its rest is staged.

        Raises:
            OSError: the disk refuses; the spool is still there, to be packed again later. So it is after whatever
                the ledger raises.
            ValueError: this is not a spool's name.

        """
        name = SpoolName.parse(path.name)
        if path.name in self._newer:
            return Packed(outcome=Outcome.LEFT_ALONE)
        go_through = self._remove_again if self._ledger.is_packed(name.number) else self._read_and_pack
        try:
            packed = go_through(path, name)
        except OSError as error:
            if not self._patcher.mends(path, error):
                raise
            packed = go_through(path, name)
        self._patcher.forget(path)
        return packed

    def _remove_again(self, path: Path, name: SpoolName) -> Packed:
        """Remove a spool that is packed already; one that holds more than was packed is kept."""
        more = self._bytes_not_packed(path, name)
        if not more:
            return _remove(path, Packed(outcome=Outcome.REMOVED))
        self._aside.move(path, Why(reason=_HOLDS_MORE, amounts={"": (0, more)}))
        return Packed(outcome=Outcome.SET_ASIDE)

    def _bytes_not_packed(self, path: Path, name: SpoolName) -> int:
        """Return how many bytes of lines it holds beyond those that a spool of its number became."""
        try:
            with self._open(path, name) as reader:
                index = Index()
                index.add_all(reader.entries())
        except (DamagedError, NewerFormatError, FileNotFoundError):
            return 0
        made = self._ledger.made_of(name.number)
        return sum(max(size - made.get(tenant, (0, 0))[1], 0) for tenant, (_, size) in index.counts().items())

    def _read_and_pack(self, path: Path, name: SpoolName) -> Packed:
        failpoints.hit("pack.before_read")
        # The tail of a dead process's spool may be in the page cache only, and so may its move to this place: after a
        # power cut it were another spool, or one of another name.
        durable.sync_ended_file(path)
        durable.sync_directories((path.parent, self._data.tmp))
        try:
            reader = self._open(path, name)
        except NewerFormatError as error:
            return self._leave_alone(path, error)
        except DamagedError as error:
            self._ledger.given_up(name.number, self._clock.now())
            self._aside.move(path, Why(reason=str(error), amounts={"": (0, path.stat().st_size)}))
            return Packed(outcome=Outcome.SET_ASIDE)
        with reader:
            return self._pack(path, name, reader)

    def _open(self, path: Path, name: SpoolName) -> SpoolReader:
        reader = self._open_spool(path)
        if reader.header is not None and reader.header.number != name.number:
            with reader:
                raise DamagedError(f"the header is that of spool {reader.header.number:012x}")
        return reader

    def _pack(self, path: Path, name: SpoolName, reader: SpoolReader) -> Packed:
        index = Index()
        index.add_all(reader.entries())
        _report_torn(path, reader.torn_bytes)
        self._keep_sealed(path, name, reader)
        is_resumed = self._ledger.is_accepted(name.number)
        if not index and not reader.damage:
            if is_resumed:  # all of it was cut off since
                self._ledger.given_up(name.number, self._clock.now())
            return _remove(path, Packed(outcome=Outcome.REMOVED, torn_bytes=reader.torn_bytes))
        self._ledger.accepted(name.number, index.counts())
        contents = Contents(reader, index)
        # What is assumed is assumed for good, or a second run, with other settings, would give the files other names.
        header = reader.header or self._ledger.assumed(self._fallback(name.number))
        files = plan(index, header, name.recovered)
        if is_resumed or reader.damage or reader.torn_bytes or _is_cut_off(name, reader):
            resumption = Resumption(self._data, self._ledger, self._aside, path, reader, index)
            files = resumption.files(files, header)
        staged = NOTHING
        for group in grouped(files, GROUP_FILES, GROUP_BYTES):
            staged += self._stager.stage(group, contents)
        damaged_bytes = self._keep_damaged(path, reader, contents)
        self._spool_goes(name.number, reader.claims())
        self._ledger.packed(name.number, self._clock.now())
        log.info("pack.packed", spool=path.name, files=staged.files, records=staged.records, bytes=staged.bytes)
        packed = Packed(
            outcome=Outcome.PACKED, staged=staged, torn_bytes=reader.torn_bytes, damaged_bytes=damaged_bytes
        )
        return _remove(path, packed)

    def _keep_sealed(self, path: Path, name: SpoolName, reader: SpoolReader) -> None:
        """Keep a copy of a sealed spool that does not end as it did when it was sealed: then it was whole."""
        if name.recovered is None and reader.torn_bytes:
            self._aside.copy(path, Why(reason=_TORN, amounts={"": (0, reader.torn_bytes)}))
        elif _is_cut_off(name, reader) and not reader.damage:
            self._aside.copy(path, Why(reason=_CUT_OFF, amounts={"": (0, 0)}))

    def _keep_damaged(self, path: Path, reader: SpoolReader, contents: Contents) -> int:
        """Keep a copy of a spool not all of which could be delivered; return how many bytes could not."""
        damage = (*reader.damage, *contents.lost)
        if not damage:
            return 0
        unknown = sum(stretch.length for stretch in reader.damage)
        amounts = {"": (0, unknown)} if reader.damage else {}
        reason = f"{len(damage)} corrupt stretches; what is good was delivered"
        self._aside.copy(path, Why(reason=reason, amounts=amounts | contents.lost_by_tenant, damage=damage))
        return sum(stretch.length for stretch in damage)

    def _leave_alone(self, path: Path, error: NewerFormatError) -> Packed:
        self._newer.add(path.name)
        hint = "it stays where it is until a version that can read it is started"
        log.error("pack.newer_format", spool=path.name, error=str(error), hint=hint)
        return Packed(outcome=Outcome.LEFT_ALONE)


def _is_cut_off(name: SpoolName, reader: SpoolReader) -> bool:
    """Tell whether whole groups are missing at the end; that of a process that died need have no mark there."""
    return name.recovered is None and reader.lacks_end


def _report_torn(path: Path, torn_bytes: int) -> None:
    if torn_bytes:
        log.info("pack.torn", spool=path.name, bytes=torn_bytes, hint="an unfinished write, expected after a crash")


def _remove(path: Path, packed: Packed) -> Packed:
    failpoints.hit("pack.before_remove_spool")
    durable.remove(path)
    failpoints.hit("pack.after_remove_spool")
    return packed
