"""A data directory, a ledger in memory, and a packer that reads spools from memory."""

import gzip

import pytest

from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.pack.aside import Aside
from apidanalytics.pack.packer import Packer
from apidanalytics.pack.strangers import Strangers
from tests.unit.pack.fakes import NUMBER, MemoryLedger, StillClock, header


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


@pytest.fixture
def ledger():
    return MemoryLedger()


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def strangers():
    return Strangers()


@pytest.fixture
def aside(data, ledger, clock):
    return Aside(data, ledger, clock)


class Bench:
    """Packs spools that are held in memory; the file on disk only stands for them."""

    def __init__(self, data, ledger, clock):
        self.data = data
        self.opened = []
        self.spools = {}
        self.ledger = ledger
        self.packer = Packer(data, ledger, self.open, clock=clock, fallback=self.fallback, spool_goes=self.spool_goes)

    def open(self, path):
        self.opened.append(path.name)
        spool = self.spools[path.name]
        if isinstance(spool, Exception):
            raise spool
        return spool

    def spool_goes(self, number, claims):
        if keys := [claim.key for claim in claims]:
            self.ledger.events.append(("spool goes", number, keys))

    def fallback(self, number):
        return header(number, instance_id="fallback", interval_seconds=60)

    def seal(self, spool, number=NUMBER, recovered=None):
        name = str(SpoolName(number=number, recovered=recovered))
        path = (self.data.recovered if recovered else self.data.sealed) / name
        path.write_bytes(b"the content is in memory")
        self.spools[name] = spool
        return path

    def pack(self, spool, **name):
        return self.packer.pack(self.seal(spool, **name))

    def staged(self):
        """Return the unzipped content of every staged file by '<directory>/<name>'."""
        return {
            f"{path.parent.name}/{path.name}": gzip.decompress(path.read_bytes())
            for path in sorted(self.data.staging.glob("*/*"))
        }


@pytest.fixture
def bench(data, ledger, clock):
    return Bench(data, ledger, clock)
