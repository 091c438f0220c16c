"""Disk usage is counted as rows change, and dropping gives up the oldest files first, counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.layout import DataDirectory
from apidanalytics.model import StagedFile
from apidanalytics.upload.dropping import drop_oldest
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.reconcile import reconcile
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import State

BLOCK = 4096


def staged(n, *, tenant="acme~prod", start=0, size=5000):
    return StagedFile(
        directory=f"{tenant}~2026010100{start:02d}00",
        name=f"f{n}",
        tenant=tenant,
        start_at=start,
        records=n,
        bytes=n * 10,
        size_bytes=size,
        sha256=f"{n:02x}",
    )


class World:
    def __init__(self, root):
        self.data = DataDirectory(root / "ax")
        self.data.create()
        self.ledger = Ledger.open(self.data.ledger, self.data.damaged, 0.0)
        self.shelves = Shelves(self.data)

    def stage(self, *files):
        for file in files:
            path = self.shelves.path((file.directory, file.name))
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(file.size_bytes))
        self.ledger.stage(files, 0.0)

    def id_of(self, n):
        return next(f.id for state in State for f in self.ledger.files(state) if f.file.name == f"f{n}")

    def fail(self, n):
        known = self.ledger.file(self.id_of(n))
        self.shelves.fail([(known.file.directory, known.file.name)])
        self.ledger.failed(known.id, 3, "refused", 0.0)

    def names(self):
        places = (*self.data.staging.glob("*/*"), *self.data.failed.glob("*/*"))
        return sorted(path.name for path in places)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.ledger.close()


def recount(ledger):
    usage = {}
    for state in (State.STAGED, State.FAILED):
        for known in ledger.files(state):
            blocks = -(-known.file.size_bytes // BLOCK) * BLOCK
            usage[known.file.tenant] = usage.get(known.file.tenant, 0) + blocks
    return usage


@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(["stage", "upload", "fail", "revive", "lose", "drop", "reopen"])),
        max_size=25,
    )
)
def test_usage_is_what_a_recount_gives_whatever_happens(tmp_path_factory, steps):
    world = World(tmp_path_factory.mktemp("ledger"))
    ids = dict.fromkeys(range(1, 7), 0)
    for n, what in steps:
        if what == "stage":
            world.ledger.stage([staged(n, tenant=f"t{n % 2}~e", size=n * 3000)], 0.0)
            ids[n] = world.id_of(n)
        elif what == "upload":
            world.ledger.uploaded({ids[n]: None}, 0.0)
        elif what == "fail":
            world.ledger.failed(ids[n], 3, "refused", 0.0)
        elif what == "revive":
            world.ledger.revived([ids[n]], 0, 0.0)
        elif what == "lose":
            world.ledger.lost(ids[n], "gone", 0.0)
        elif what == "drop":
            world.ledger.dropped([ids[n]], "full", 0.0)
        else:
            world.ledger.close()
            world.ledger = Ledger.open(world.data.ledger, world.data.damaged, 0.0)
        assert world.ledger.disk_usage() == recount(world.ledger)
    world.ledger.close()


def test_what_cannot_be_removed_is_not_given_up(world):
    world.stage(*(staged(n, start=n) for n in range(1, 4)))
    in_the_way = world.data.staging / staged(1, start=1).directory
    in_the_way.rename(world.data.root / "elsewhere")
    in_the_way.write_bytes(b"no directory")
    dropped = drop_oldest(world.ledger, world.shelves, 5_000, 0.0)
    assert (dropped.files, dropped.records) == (1, 2)
    assert world.names() == ["f3"]
    assert {known.file.name for known in world.ledger.files(State.STAGED)} == {"f1", "f3"}


@pytest.mark.parametrize("place", [State.STAGED, State.FAILED])
def test_more_than_a_page_that_cannot_be_removed_keeps_none_behind_it_from_making_room(world, monkeypatch, place):
    monkeypatch.setattr("apidanalytics.upload.dropping._AT_ONCE", 3)
    world.stage(*(staged(n, start=n // 2) for n in range(2, 15)))
    if place is State.FAILED:
        for n in range(2, 10):
            world.fail(n)
    root = world.data.staging if place is State.STAGED else world.data.failed
    for n in range(2, 10, 2):
        in_the_way = root / staged(n, start=n // 2).directory
        in_the_way.rename(world.data.root / in_the_way.name)
        in_the_way.write_bytes(b"no directory")
    assert drop_oldest(world.ledger, world.shelves, 20_000, 0.0).files == 4
    assert world.names() == ["f14"]


def test_the_oldest_go_first_whether_staged_or_failed_until_there_is_room(world):
    world.stage(*(staged(n, start=n) for n in range(1, 6)))
    world.fail(2)
    dropped = drop_oldest(world.ledger, world.shelves, 11_000, 0.0)
    assert (dropped.files, dropped.records, dropped.bytes) == (3, 6, 60)
    assert world.names() == ["f4", "f5"]
    totals = world.ledger.totals()["acme~prod"]
    assert (totals[State.DROPPED].records, totals[State.STAGED].records) == (6, 9)
    assert not list(world.data.failed.iterdir())


def test_of_one_tenant_only_its_own_files_go(world):
    world.stage(staged(1), staged(2, tenant="zeta~test", start=1), staged(3, tenant="zeta~test", start=2))
    drop_oldest(world.ledger, world.shelves, 1, 0.0, "zeta~test")
    assert world.names() == ["f1", "f3"]


def test_when_there_is_nothing_left_to_drop_it_ends(world):
    world.stage(staged(1))
    assert drop_oldest(world.ledger, world.shelves, 1 << 40, 0.0).files == 1
    assert drop_oldest(world.ledger, world.shelves, 1 << 40, 0.0).files == 0


def test_what_was_on_its_way_and_arrived_is_uploaded_after_all(world):
    world.stage(staged(1))
    number = world.id_of(1)
    drop_oldest(world.ledger, world.shelves, 1, 0.0)
    world.ledger.uploaded({number: "etag"}, 1.0)
    totals = world.ledger.totals()["acme~prod"]
    assert (totals[State.DROPPED].records, totals[State.UPLOADED].records) == (0, 1)


def test_a_file_that_a_crash_left_after_it_was_dropped_goes_at_the_next_start(world):
    world.stage(staged(1), staged(2))
    world.ledger.dropped([world.id_of(1)], "full", 0.0)
    reconcile(world.ledger, world.shelves, 1.0)
    assert world.names() == ["f2"]


def test_what_was_dropped_is_forgotten_after_its_time_and_its_totals_stay(world):
    world.stage(staged(1))
    world.ledger.dropped([world.id_of(1)], "full", 10.0)
    assert world.ledger.forget(5.0) == 0
    assert world.ledger.forget(20.0) == 1
    assert world.ledger.totals()["acme~prod"][State.DROPPED].records == 1
