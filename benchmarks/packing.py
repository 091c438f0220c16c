"""How fast one core packs: the packer itself on a sealed spool, from its first byte to the synced, published files."""

import time
from dataclasses import dataclass
from pathlib import Path

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import SpoolHeader
from apidanalytics.pack.packer import Packer
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.ledger import Ledger
from benchmarks import spools
from benchmarks.service import directory


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What packing one spool took."""

    megabytes: float
    """Length of the lines."""
    cpu_seconds: float
    seconds: float

    @property
    def megabytes_per_core_second(self) -> float:
        """Lines packed per second of CPU."""
        return self.megabytes / self.cpu_seconds


def measure(below: Path, megabytes: int) -> Packing:
    """Pack a spool of three tenants' 100-record batches."""
    with directory(below) as folder:
        data = DataDirectory(folder / "ax")
        data.create()
        size = spools.write_sealed(data, megabytes)
        return _pack(data, size)


def _pack(data: DataDirectory, size: int) -> Packing:
    with Ledger.open(data.ledger, data.damaged, now=0.0) as ledger:
        return _pack_all(data, ledger, size)


def _pack_all(data: DataDirectory, ledger: Ledger, size: int) -> Packing:
    packer = Packer(
        data, ledger, SegmentReader.open, clock=SystemClock(), fallback=_no_fallback, spool_goes=lambda *_: None
    )
    cpu, began = time.process_time(), time.monotonic()
    for path in sorted(data.sealed.iterdir()):
        packer.pack(path)
    return Packing(megabytes=size / 1e6, cpu_seconds=time.process_time() - cpu, seconds=time.monotonic() - began)


def _no_fallback(number: int) -> SpoolHeader:
    raise AssertionError(f"the header of spool {number:012x} is damaged")
