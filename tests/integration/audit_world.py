"""A data directory as a stopped service leaves it: spooled, staged, failed and uploaded records of two tenants."""

import gzip
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from apidanalytics.audit.lake import object_path
from apidanalytics.audit.run import Extent, audit
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch, Outcome, SpoolHeader
from apidanalytics.pack.packer import Packer
from apidanalytics.spool.committer import Committer
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.snapshot import LedgerSnapshot
from apidanalytics.upload.states import State

START_AT = 1_700_000_040
TENANTS = ("acme~prod", "zeta~test")
LIMITS = SpoolLimits(
    durability="os",
    capacity=100,
    linger_seconds=0,
    interval_seconds=120,
    max_bytes=1 << 30,
    max_file_bytes=1 << 20,
    instance_id="collector-1",
)


class FixedClock:
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def header(number):
    return SpoolHeader(
        number=number, interval_seconds=120, max_file_bytes=1 << 20, instance_id="collector-1", created_at=START_AT
    )


@dataclass
class World:
    """The files, and the parts that make them."""

    root: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(START_AT))

    def __post_init__(self) -> None:
        self.data = DataDirectory(self.root / "ax")
        self.data.create()
        self.lake = self.root / "lake"
        self.lake.mkdir()
        self.ledger = Ledger.open(self.data.ledger, self.data.damaged, 0.0)

    def close(self) -> None:
        self.ledger.close()

    def spool(self, *, records: int = 3, is_open: bool = False) -> Path:
        """Commit a group of both tenants, and seal it unless it should stay open."""
        committer = Committer(self.data, LIMITS, self.clock, lambda: None)
        batches = [
            Batch(tenant=tenant, start_at=START_AT, records=records, lines=lines(tenant, records)) for tenant in TENANTS
        ]
        assert committer.commit(batches) is Outcome.COMMITTED
        if not is_open:
            committer.close()
        return newest(self.data.tmp if is_open else self.data.sealed)

    def pack(self, path: Path) -> None:
        Packer(
            self.data, self.ledger, SegmentReader.open, clock=self.clock, fallback=header, spool_goes=lambda *_: None
        ).pack(path)

    def upload(self) -> None:
        """Deliver everything that is staged."""
        shelves = Shelves(self.data)
        with LedgerSnapshot.open(self.data.ledger) as snapshot:
            known = {(file.directory, file.name): object_path(self.lake, file) for file in snapshot.files(State.STAGED)}
        for file in self.ledger.files(State.STAGED):
            key = (file.file.directory, file.file.name)
            known[key].parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shelves.path(key), known[key])
            self.ledger.uploaded({file.id: None}, self.clock.now())
            shelves.discard(key)

    def fail(self) -> None:
        """Give up, for now, what is staged."""
        shelves = Shelves(self.data)
        for file in self.ledger.files(State.STAGED):
            shelves.fail([(file.file.directory, file.file.name)])
            self.ledger.failed(file.id, 3, "refused", self.clock.now())

    def fill(self) -> None:
        """Bring records into every state."""
        self.pack(self.spool(records=2))
        self.upload()
        self.pack(self.spool(records=3))
        self.fail()
        self.pack(self.spool(records=4))
        self.spool(records=5)
        self.spool(records=6, is_open=True)

    def audit(self, *, deep: bool = False, is_running: bool = False, sleep=lambda _: None):
        extent = Extent(data=self.data, lake=self.lake, instance_id="collector-1", deep=deep)
        return audit(extent, is_running=is_running, sleep=sleep)

    def staged(self) -> list[Path]:
        return sorted(self.data.staging.glob("*/*.txt.gz"))

    def objects(self) -> list[Path]:
        return sorted(self.lake.glob("*/*/*/*.txt.gz"))


def lines(tenant: str, records: int) -> bytes:
    return b"".join(b'{"tenant":"%s","n":%d}\n' % (tenant.encode(), n) for n in range(records))


def newest(directory: Path) -> Path:
    return max(directory.glob("*.spool"), key=lambda path: path.stat().st_mtime_ns)


def flip(path: Path, at: int) -> None:
    """Flip a bit of a byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def rewrite(path: Path, change) -> None:
    """Zip a file's lines anew, changed."""
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes())), mtime=0))
