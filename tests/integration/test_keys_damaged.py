"""A damaged index of keys is set aside and replaced by whoever finds it; what the spools know is kept."""

import contextlib
import errno
import os
import sqlite3
import time

import pytest
import structlog

from apidanalytics import durable
from apidanalytics.idempotency.current import AGAIN_SECONDS
from apidanalytics.idempotency.lost import find_lost
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, Fate, Verdict
from apidanalytics.spool.segment import SegmentReader
from tests.integration.test_keys import (
    LIMITS,
    TENANT,
    LaterClock,
    ask,
    current_of,
    desk_of,
    die_with_claims,
    settler_of,
    stored_keys,
    verdict_of,
    wish,
    write_spool,
)

PAGE = 4096


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


def garbage(path):
    path.write_bytes(os.urandom(path.stat().st_size))


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    os.truncate(path, 0)


def torn(path):
    os.truncate(path, path.stat().st_size // 2 // PAGE * PAGE + 100)


def middle(path):
    """Destroy everything but the first page."""
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xa5" * (path.stat().st_size - PAGE))


def another(path):
    """Put a good database there that is no index."""
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (x)")
        database.execute("PRAGMA user_version = 1")
    database.close()


def other_rows(path):
    """Leave a good database whose rows are not what they should be."""
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM size")
    database.close()


DAMAGES = [garbage, zeros, empty, torn, middle, another, other_rows]


def fill(data, *keys, ticket=100):
    """Store keys, and leave the index with no log and nobody who has it open."""
    current = current_of(data)
    wishes, now = [wish(key, ticket=n) for n, key in enumerate(keys, ticket)], time.time()
    claims = [claim for _, claim in current.use(lambda index: index.claim(wishes, [], 5, now))]
    current.use(lambda index: index.claim([], [(claim, Fate.STORED) for claim in claims], 5, now))
    current.close()
    return claims


def index_of(data):
    (path,) = data.keys.glob("index*.db")
    return path


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_desk_that_finds_it_damaged_goes_on_with_a_new_one(data, damage):
    fill(data, *(f"old{n}" for n in range(60)))
    damage(index_of(data))
    length = index_of(data).stat().st_size
    desk = desk_of(data, 5)
    with structlog.testing.capture_logs() as logs:
        assert await verdict_of(desk, wish("new")) is Verdict.GRANTED
        await desk.stop()
    assert [entry["event"] for entry in logs] == ["keys.index_lost"]
    assert [path.name for path in data.keys.glob("index*")] == ["index.2.db"]
    (lost,) = find_lost(data.damaged)
    assert (lost.was, lost.bytes) == ("index.db", length)
    assert (data.damaged / lost.name).exists()
    assert lost.reason
    assert lost.reason in logs[0]["hint"]


@pytest.mark.parametrize("damage", [garbage, zeros, torn, middle])
def test_packing_finds_it_by_itself_counts_it_once_and_its_spools_go(data, damage):
    claims = fill(data, *(f"k{n}" for n in range(60)))
    damage(index_of(data))
    lost = []
    settler = settler_of(data, lost)
    settler.settle_the_dead()
    settler.spool_goes(1, claims[:1])
    settler.settle_the_dead()
    assert [one.was for one in lost] == ["index.db"]
    assert stored_keys(data, "k0", "k1") == {"k0": True}  # its claims were known after all
    settler.close()
    told_again = []
    settler_of(data, told_again).settle_the_dead()
    assert told_again == lost  # the ledger counts it once, and may not have heard of it


async def test_while_running_others_move_on_to_the_new_one_and_their_open_claims_with_them(data):
    one, two = desk_of(data, 1), desk_of(data, 2)
    (_, mine), (_, others) = await ask(one, wish("mine")), await ask(two, wish("others"))
    garbage(index_of(data))
    (data.keys / "index.db-wal").write_bytes(os.urandom(50_000))
    assert await verdict_of(one, wish("new")) is Verdict.GRANTED
    assert await verdict_of(one, wish("mine")) is Verdict.IN_USE
    two.settle(others, Fate.STORED)
    assert await verdict_of(two, wish("new")) is Verdict.IN_USE
    assert await verdict_of(one, wish("others")) is Verdict.REPLAYED
    assert await verdict_of(one, wish("others", body=b"c" * 16)) is Verdict.REUSED
    one.settle(mine, Fate.STORED)
    for desk in (one, two):
        await desk.stop()
    # The last one to close the damaged database has removed no log of the new one.
    assert stored_keys(data, "mine", "others", "new") == {"mine": True, "others": True, "new": False}


async def test_what_is_in_spools_is_known_again_whatever_the_body(data):
    claims = fill(data, "sealed", "recovered", "early", "late", "gone", ticket=1)
    write_spool(data.sealed, 1, 5, claims[0])
    write_spool(data.recovered, 2, 5, claims[1])
    write_spool(data.tmp, 3, 5, *claims[2:4], groups=2)
    garbage(index_of(data))
    desk = desk_of(data, 6)
    assert await verdict_of(desk, wish("sealed")) is Verdict.REPLAYED
    assert await verdict_of(desk, wish("recovered", body=b"c" * 16)) is Verdict.REPLAYED
    assert await verdict_of(desk, wish("early")) is Verdict.REPLAYED
    # The last group of an open spool may still be refused by the disk.
    assert await verdict_of(desk, wish("late")) is Verdict.IN_USE
    assert await verdict_of(desk, wish("gone")) is Verdict.GRANTED
    await desk.stop()
    settler = settler_of(data)
    settler.settle_the_dead()
    settler.spool_goes(3, claims[2:4])
    assert stored_keys(data, "late") == {"late": True}
    assert find_lost(data.damaged)[0].kept == 4


def test_a_claim_that_was_committed_while_the_index_was_replaced_is_known_once_its_spool_goes(data):
    current = current_of(data)
    current.use(lambda index: index.claim([wish("k", ticket=1)], [], 5, 0))
    current.close()
    garbage(index_of(data))
    settler = settler_of(data)
    settler.settle_the_dead()
    assert stored_keys(data, "k") == {}
    settler.spool_goes(1, [Claim(tenant=TENANT, key="k", ticket=1)])
    assert stored_keys(data, "k") == {"k": True}


def test_of_a_worker_that_died_with_the_index_what_is_in_its_spools_is_kept(data):
    claims = die_with_claims(data, 5, "in", "out")
    write_spool(data.recovered, 1, 5, claims[0])
    zeros(index_of(data))
    settler_of(data).settle_the_dead()
    assert stored_keys(data, "in", "out") == {"in": True}


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("removed", ["never", "before", "after"])
async def test_who_dies_while_replacing_it_leaves_it_to_the_next_and_it_is_said(data, monkeypatch, step, removed):
    """An index that is damaged, or that somebody removed, and one that is removed once the process has died."""
    claims = fill(data, "k")
    write_spool(data.sealed, 1, 5, claims[0])
    garbage(index_of(data))
    if removed == "before":
        index_of(data).unlink()
    steps = []

    def dying(real):
        def run(*args):
            if len(steps) == step:
                raise KeyboardInterrupt  # nothing catches it, as nothing catches a kill
            steps.append(real)
            real(*args)

        return run

    with monkeypatch.context() as killed, contextlib.suppress(KeyboardInterrupt):
        for name in ("write", "rename"):
            killed.setattr(durable, name, dying(getattr(durable, name)))
        current_of(data).use(lambda _: None)
    assert len(steps) == min(step, 3 if removed == "before" else 4)
    if removed == "after":
        for path in data.keys.glob("index*.db"):
            path.unlink()
    desk = desk_of(data, 6)
    assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
    await desk.stop()
    assert {lost.was for lost in find_lost(data.damaged)} == {"index.db"}
    assert not list(data.keys.glob("*.new"))


async def test_an_index_that_somebody_removed_is_made_anew_under_another_name(data):
    fill(data, "k")
    one, two = desk_of(data, 1), desk_of(data, 2)
    assert await verdict_of(one, wish("k")) is Verdict.REPLAYED
    assert await verdict_of(two, wish("k")) is Verdict.REPLAYED
    for path in data.keys.glob("index*"):
        path.unlink()
    with structlog.testing.capture_logs() as logs:
        assert await verdict_of(one, wish("k")) is Verdict.GRANTED
        assert await verdict_of(two, wish("k")) is Verdict.IN_USE
    assert "keys.index_gone" in [entry["event"] for entry in logs]
    for desk in (one, two):
        await desk.stop()
    assert index_of(data).name == "index.2.db"


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_BUSY])
def test_trouble_of_the_disk_is_no_damage(data, code):
    fill(data, "k")
    error = sqlite3.OperationalError("the disk")
    error.sqlite_errorcode = code

    def fails(_):
        raise error

    with pytest.raises(sqlite3.OperationalError):
        current_of(data).use(fails)
    assert index_of(data).name == "index.db"
    assert find_lost(data.damaged) == []


class Opener:
    """Opens spools but for some, until ``mend``."""

    def __init__(self, *refused, code=errno.EACCES):
        self.refused = refused
        self.code = code

    def __call__(self, path):
        if path in self.refused:
            raise OSError(self.code, os.strerror(self.code), str(path))
        return SegmentReader.open(path)

    def mend(self):
        self.refused = ()


async def test_beside_a_spool_that_cannot_be_read_it_is_replaced_says_so_and_knows_its_keys_once_it_is_packed(data):
    claims = fill(data, "sealed", "unread", "repeated", ticket=1)
    write_spool(data.sealed, 1, 5, claims[0])
    unread = write_spool(data.sealed, 2, 5, *claims[1:])
    opener = Opener(unread)
    garbage(index_of(data))
    desk = desk_of(data, 6, open_spool=opener)
    with structlog.testing.capture_logs() as logs:
        assert await verdict_of(desk, wish("new")) is Verdict.GRANTED
    assert [(entry["event"], entry["unread"]) for entry in logs] == [
        ("keys.index_lost", {unread.name: "Permission denied"})
    ]
    assert desk.trouble is None
    assert await verdict_of(desk, wish("sealed")) is Verdict.REPLAYED
    assert await verdict_of(desk, wish("repeated")) is Verdict.GRANTED  # nothing can tell that it is a repeat
    await desk.stop()
    (lost,) = find_lost(data.damaged)
    assert f"{unread.name} (Permission denied)" in lost.sentence

    settler = settler_of(data, open_spool=opener)
    settler.settle_the_dead()
    assert settler.lost == lost
    opener.mend()
    with structlog.testing.capture_logs() as logs:
        settler.spool_goes(2, claims[1:])
        settler.spool_goes(1, claims[:1])
    assert [(e["event"], e["spool"], e["tenants"]) for e in logs] == [
        ("keys.used_again", f"{2:012x}", {TENANT: 1}),
    ]
    assert stored_keys(data, "sealed", "unread") == {"sealed": True, "unread": True}


def test_packing_goes_on_beside_a_spool_that_cannot_be_read(data):
    claims = fill(data, "k", ticket=1)
    opener = Opener(write_spool(data.sealed, 2, 5))
    garbage(index_of(data))
    settler = settler_of(data, open_spool=opener)
    settler.spool_goes(1, claims)
    settler.spool_goes(3, [])
    assert stored_keys(data, "k") == {"k": True}


async def test_of_a_spool_that_can_be_read_in_part_that_part_is_known(data, monkeypatch):
    claims = fill(data, "first", "second", ticket=1)
    path = write_spool(data.sealed, 1, 5, *claims, groups=2)
    garbage(index_of(data))
    read = SegmentReader.entries

    def entries(spool):
        groups = read(spool)
        yield next(groups)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(SegmentReader, "entries", entries)
    desk = desk_of(data, 6)
    assert await verdict_of(desk, wish("first")) is Verdict.REPLAYED
    assert await verdict_of(desk, wish("second")) is Verdict.GRANTED
    await desk.stop()
    assert find_lost(data.damaged)[0].unread == {path.name: "Input/output error"}


async def test_what_is_the_trouble_of_this_process_waits_until_it_is_over(data):
    (claim,) = fill(data, "k", ticket=1)
    opener = Opener(write_spool(data.sealed, 1, 5, claim), code=errno.EMFILE)
    garbage(index_of(data))
    clock = LaterClock()
    desk = desk_of(data, 6, open_spool=opener, clock=clock)
    assert await verdict_of(desk, wish("k")) is Verdict.FAILED
    assert "Too many open files" in desk.trouble
    assert find_lost(data.damaged) == []
    opener.mend()
    clock.ahead = AGAIN_SECONDS
    assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
    assert desk.trouble is None
    await desk.stop()


def test_what_is_no_plain_file_keeps_nobody_waiting(data):
    fill(data, "k")
    os.mkfifo(data.sealed / str(SpoolName(number=1)))
    (data.sealed / str(SpoolName(number=2))).symlink_to("elsewhere")
    garbage(index_of(data))
    current_of(data).use(lambda _: None)
    assert find_lost(data.damaged)[0].unread == {}


@pytest.mark.parametrize("finder", ["a worker", "packing"])
async def test_an_index_that_was_removed_while_nothing_ran_is_missed_where_spools_know_keys(data, finder):
    claims = fill(data, "k", ticket=1)
    index_of(data).unlink()
    path = write_spool(data.sealed, 1, 5, *claims)
    told = []
    settler = settler_of(data, told)
    with structlog.testing.capture_logs() as logs:
        if finder == "a worker":
            desk = desk_of(data, 6)
            assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
            await desk.stop()
        settler.spool_goes(1, claims)
    path.unlink()
    assert [(entry["event"], entry["kept"]) for entry in logs] == [("keys.index_gone", 1)]
    assert stored_keys(data, "k") == {"k": True}
    assert [lost.is_gone for lost in told] == [True]
    assert "The index of keys is gone" in settler.lost.sentence


def test_where_no_key_was_ever_used_no_index_is_missed(data):
    write_spool(data.sealed, 1, 5)
    settler_of(data).spool_goes(1, [])
    assert not list(data.keys.glob("index*"))
    with structlog.testing.capture_logs() as logs:
        current_of(data).use(lambda _: None)
    assert logs == []
    assert find_lost(data.damaged) == []


def test_a_lost_index_matters_for_its_window(data):
    fill(data, "k")
    garbage(index_of(data))
    clock = LaterClock()
    settler = settler_of(data, clock=clock)
    settler.settle_the_dead()
    assert settler.lost is not None
    clock.ahead = LIMITS.window_seconds + 1
    assert settler.lost is None
