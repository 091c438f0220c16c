"""The oracle can fail: each kind of harm that is done to a right lake is found, and nothing else is."""

import gzip
import itertools
import time

import pytest

from tests.faults.batches import GOOD, batch_of
from tests.faults.floods import FIRST_NUMBER, What, flood_of
from tests.faults.oracle import Finding, Oracle
from tests.faults.schedule import WEIGHTS, Kind, plan
from tests.faults.tenants import STEADY_KEY, TENANTS, WANDERER, developer_of
from tests.faults.watching import EXPRESS, HELD, REFUSED, STORED, Watcher

SEED = 5
NOW = 1_795_310_045.0
START_AT = int(NOW)


def of(condition):
    """Return the first batch of the seed for which this is so."""
    return next(batch for n in itertools.count() if condition(batch := batch_of(SEED, n)))


def is_plain(batch):
    return batch.answers == {GOOD} and batch.tenant is not None and len(batch.records) > 2


@pytest.fixture
def batch():
    return of(is_plain)


@pytest.fixture
def oracle():
    return Oracle(SEED, lambda first, last: [(first, last)])


@pytest.fixture
def put(tmp_path):
    def put_object(tenant, lines, start_at=START_AT, cut=0):
        day, minute = (time.strftime(form, time.gmtime(start_at)) for form in ("date=%Y-%m-%d", "time=%H-%M"))
        start, end = (time.strftime("%Y%m%d%H%M%S", time.gmtime(at)) for at in (start_at, start_at + 1))
        directory = tmp_path / tenant.name / day / minute
        directory.mkdir(parents=True, exist_ok=True)
        number = len(list(directory.iterdir()))
        content = gzip.compress(b"".join(line + b"\n" for line in lines))
        (directory / f"0a1b_{start}.{end}_i-1_writer_{number}.txt.gz").write_bytes(content[: len(content) - cut])

    return put_object


@pytest.fixture
def tell(oracle):
    def told(batch, fate="acknowledged", generation=0):
        oracle.sent(batch.number, NOW)
        oracle.answered(batch.number, fate, NOW + 0.1, generation)

    return told


@pytest.fixture
def found(oracle, tmp_path):
    return lambda: dict(oracle.judge(tmp_path).found)


def test_what_was_acknowledged_and_is_there_once_is_right(batch, tell, put, found):
    tell(batch)
    put(batch.tenant, batch.lines(batch.tenant, 0))
    assert found() == {}


@pytest.mark.parametrize("fate", ["acknowledged", "refused", "open"])
def test_what_is_not_there_is_lost_only_if_it_was_acknowledged(batch, tell, found, fate):
    tell(batch, fate)
    assert found() == ({Finding.LOST: len(batch.records)} if fate == "acknowledged" else {})


@pytest.mark.parametrize("fate", ["acknowledged", "refused", "open"])
def test_what_is_there_twice_is_doubled_and_what_was_refused_must_not_be_there(batch, tell, put, found, fate):
    tell(batch, fate)
    for _ in range(2):
        put(batch.tenant, batch.lines(batch.tenant, 0))
    refused = {Finding.REFUSED: len(batch.records)} if fate == "refused" else {}
    assert found() == {Finding.DOUBLED: len(batch.records)} | refused


@pytest.mark.parametrize("fate", ["acknowledged", "open"])
def test_a_batch_is_there_whole_or_not_at_all(batch, tell, put, found, fate):
    tell(batch, fate)
    put(batch.tenant, batch.lines(batch.tenant, 0)[1:])
    assert found() == {Finding.LOST if fate == "acknowledged" else Finding.HALF: 1}


def test_one_other_byte_is_found(batch, tell, put, found):
    tell(batch)
    first, *others = batch.lines(batch.tenant, 0)
    put(batch.tenant, [first[:-3] + b"x" + first[-2:], *others])
    assert found() == {Finding.ALTERED: 1}


def test_another_tenants_place_is_found(batch, tell, put, found):
    tell(batch)
    put(next(tenant for tenant in TENANTS if tenant != batch.tenant), batch.lines(batch.tenant, 0))
    assert found() == {Finding.MISPLACED: len(batch.records)}


def test_what_was_never_sent_and_what_is_not_whole_is_found(batch, tell, put, found):
    tell(batch, "open")
    put(batch.tenant, [b'{"id":"999999.0"}', b"{}"])
    put(batch.tenant, batch.lines(batch.tenant, 0), cut=5)
    assert found() == {Finding.INVENTED: 2, Finding.TORN: 1}


@pytest.mark.parametrize(("late", "is_wrong"), [(0, False), (1, True), (-1, True), (3600, True)])
def test_a_bucket_in_which_a_batch_cannot_have_arrived_is_found(batch, tell, put, found, late, is_wrong):
    tell(batch)
    put(batch.tenant, batch.lines(batch.tenant, 0), START_AT + late)
    assert found() == ({Finding.MISDATED: 1} if is_wrong else {})


def test_a_scope_that_wanders_is_one_of_its_tenants_and_no_others(tell, put, found):
    batch = of(lambda batch: batch.path.endswith(WANDERER) and batch.answers == {GOOD} and len(batch.records) > 2)
    tell(batch, generation=1)
    put(TENANTS[1], batch.lines(TENANTS[1], 1))
    assert found() == {}
    put(TENANTS[2], batch.lines(TENANTS[2], 1))
    assert found()[Finding.MISPLACED] == len(batch.records)


def test_the_developer_of_a_generation_that_was_not_yet_there_is_found(tell, put, found):
    batch = of(lambda batch: is_plain(batch) and batch.depends_on_generation)
    tell(batch, generation=1)
    put(batch.tenant, batch.lines(batch.tenant, 2))
    assert set(found()) == {Finding.ALTERED}
    assert developer_of(TENANTS[0], STEADY_KEY, 0) == developer_of(TENANTS[0], STEADY_KEY, 7)


@pytest.mark.parametrize("what", What)
def test_a_batch_of_a_flood_is_judged_like_any_other(tell, put, found, what):
    flood = next(flood for n in itertools.count() if (flood := flood_of(SEED, n)).what is what)
    batch = batch_of(SEED, flood.first_number + 3)
    is_stored = batch.answers == {GOOD}
    assert len(batch.records) == flood.records
    assert is_stored == (what is What.STORED)
    tell(batch, "acknowledged" if is_stored else "refused")
    assert found() == ({Finding.LOST: flood.records} if is_stored else {})
    put(flood.tenant, batch.lines(flood.tenant, 0))
    assert found() == ({} if is_stored else {Finding.REFUSED: flood.records})


def test_floods_follow_from_the_seed_and_are_of_every_kind_and_tenant():
    floods = [flood_of(3, n) for n in range(40)]
    assert floods == [flood_of(3, n) for n in range(40)] != [flood_of(4, n) for n in range(40)]
    assert {flood.what for flood in floods} == set(What)
    assert {flood.tenant for flood in floods} == set(TENANTS)
    assert batch_of(3, FIRST_NUMBER) == batch_of(3, FIRST_NUMBER) != batch_of(3, FIRST_NUMBER + 1)


def test_what_an_agent_counted_stays_counted_when_the_next_one_begins_at_nothing(tmp_path):
    watcher = Watcher(tmp_path / "control.sock")
    assert watcher.missing == [EXPRESS, HELD, STORED, REFUSED]
    for express, held in ((0, 0), (3, 5), (4, 5), (1, 0), (2, 0)):
        watcher.take({"express_groups": express, "held_back_so_far": held, "floods": {"stored": 0, "refused": 0}})
    assert watcher.seen == {EXPRESS: 6, HELD: 5, STORED: 0, REFUSED: 0}
    assert watcher.missing == [STORED, REFUSED]


def test_a_schedule_follows_from_its_seed_and_has_every_kind():
    assert plan(3, 60) == plan(3, 60) != plan(4, 60)
    assert batch_of(3, 9) == batch_of(3, 9) != batch_of(4, 9)
    deck = sum(WEIGHTS.get(kind, 1) for kind in Kind)
    assert {fault.kind for fault in plan(3, 600)[:deck]} == set(Kind)
