"""An order to seal early is for the spool that is open, and for no later one."""

import pytest

from apidanalytics.layout import DataDirectory
from apidanalytics.model import Batch
from apidanalytics.spool.committer import Committer
from apidanalytics.spool.limits import SpoolLimits


class FakeClock:
    def now(self) -> float:
        return 1_700_000_000.0

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def data(tmp_path) -> DataDirectory:
    data = DataDirectory(tmp_path / "ax")
    data.create()
    return data


@pytest.fixture
def committer(data):
    limits = SpoolLimits(
        durability="os",
        capacity=100,
        linger_seconds=0.001,
        interval_seconds=3600,
        max_bytes=1 << 30,
        max_file_bytes=1 << 30,
        instance_id="i",
    )
    made = Committer(data, limits, FakeClock(), lambda: None)
    yield made
    made.close()


def commit(committer):
    committer.commit([Batch(tenant="a~b", start_at=1_700_000_000, records=1, lines=b"{}\n")])


def is_open(data) -> bool:
    return any(data.tmp.glob("*.spool"))


def test_what_is_open_is_sealed_when_that_is_wanted(committer, data):
    commit(committer)
    committer.seal_if_due()
    assert is_open(data)
    committer.seal_wanted = True
    committer.seal_if_due()
    committer.close()
    assert not is_open(data)
    assert len(list(data.sealed.glob("*.spool"))) == 1


def test_an_order_that_finds_nothing_open_is_over(committer, data):
    committer.seal_wanted = True
    committer.seal_if_due()
    for _ in range(2):
        commit(committer)
        committer.seal_if_due()
    committer.close()
    assert len(list(data.sealed.glob("*.spool"))) == 1, "both went to one spool"
