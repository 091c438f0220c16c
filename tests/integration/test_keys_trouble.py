"""The index of keys where something stands in its way: odd files, a full disk, spools and threads that fail."""

import errno
import os
import sqlite3
import struct
import threading

import pytest
import structlog

from apidanalytics import durable
from apidanalytics.idempotency import desk as desk_module
from apidanalytics.idempotency.claimed import claims_of, known_keys
from apidanalytics.idempotency.current import AGAIN_SECONDS, LONGEST_SECONDS
from apidanalytics.idempotency.index import KeyIndex
from apidanalytics.idempotency.lost import find_lost
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Claim, Fate, Verdict
from apidanalytics.spool.segment import SegmentReader
from tests.integration.test_keys import (
    TENANT,
    LaterClock,
    ask,
    current_of,
    desk_of,
    die_with_claims,
    eventually,
    settler_of,
    stored_keys,
    verdict_of,
    wish,
    write_spool,
)
from tests.integration.test_keys_damaged import Opener, fill, garbage, index_of


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


def refuse(monkeypatch, owner, name, at, code=errno.EIO):
    """Let a function that takes a path first fail for one path."""
    real = getattr(owner, name)

    def refusing(path, *rest):
        if str(path) == str(at):
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *rest)

    monkeypatch.setattr(owner, name, refusing)


def refuse_listing(monkeypatch, directory):
    for name in ("listdir", "scandir"):  # whichever way pathlib takes
        refuse(monkeypatch, os, name, directory, errno.EACCES)


async def test_a_loss_that_could_not_be_written_down_is_not_forgotten(data, monkeypatch):
    claims = fill(data, "packed", "k", ticket=1)
    write_spool(data.sealed, 1, 5, claims[1])
    index_of(data).unlink()
    clock = LaterClock()
    desk = desk_of(data, 6, clock=clock)
    with monkeypatch.context() as full:
        full.setattr(durable, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        assert await verdict_of(desk, wish("packed")) is Verdict.FAILED
    clock.ahead = AGAIN_SECONDS
    assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
    await desk.stop()
    assert [lost.is_gone for lost in find_lost(data.damaged)] == [True]


@pytest.mark.parametrize("place", ["tmp", "sealed"])
async def test_a_spool_that_cannot_be_synced_is_read_and_its_keys_are_in_doubt(data, monkeypatch, place):
    claims = fill(data, "early", "late", ticket=1)
    path = write_spool(getattr(data, place), 1, 5, *claims, groups=2)
    garbage(index_of(data))
    refuse(monkeypatch, durable, "sync_file" if place == "tmp" else "sync_ended_file", path)
    desk = desk_of(data, 6)
    for key in ("early", "late"):
        assert await verdict_of(desk, wish(key)) is Verdict.IN_USE
    await desk.stop()
    (lost,) = find_lost(data.damaged)
    assert (lost.kept, lost.unread) == (2, {})
    settler_of(data).spool_goes(1, claims)
    assert stored_keys(data, "early", "late") == {"early": True, "late": True}


class FailsOnce:
    """A disk that refuses one sync of a file, and then says, as Linux does, that there is nothing left to do."""

    def __init__(self, monkeypatch, path):
        self.inode = path.stat().st_ino
        self.calls = []
        self._fsync, self._pwrite = os.fsync, os.pwrite
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "pwrite", self.pwrite)

    def fsync(self, descriptor):
        if os.fstat(descriptor).st_ino == self.inode:
            self.calls.append("sync")
            if self.calls == ["sync"]:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._fsync(descriptor)

    def pwrite(self, descriptor, content, at):
        if os.fstat(descriptor).st_ino == self.inode:
            self.calls.append((at, bytes(content)))
        return self._pwrite(descriptor, content, at)


def test_an_open_spool_that_once_could_not_be_synced_is_not_believed_the_next_time(data, monkeypatch):
    claims = [Claim(tenant=TENANT, key=key, ticket=n) for n, key in enumerate(("early", "late"), 1)]
    path = write_spool(data.tmp, 1, 5, *claims, groups=2)
    before_last = path.read_bytes().rindex(b"APSF")
    disk = FailsOnce(monkeypatch, path)
    assert known_keys(data, SegmentReader.open).keys == [(claims[0], -1), (claims[1], -1)]
    # The rest may still be changed by the worker that has it open.
    assert disk.calls == ["sync", (0, path.read_bytes()[:before_last])]
    assert known_keys(data, SegmentReader.open).keys == [(claims[0], None), (claims[1], -1)]
    assert disk.calls[2:] == ["sync"]


def test_nor_is_one_of_which_nobody_knows_whether_its_worker_is_dead(data, monkeypatch):
    claim = Claim(tenant=TENANT, key="k", ticket=1)
    path = write_spool(data.tmp, 1, 5, claim, claim, groups=2)
    content = bytearray(path.read_bytes())
    content[40] ^= 1  # in the header, which says whose it is
    path.write_bytes(content)
    disk = FailsOnce(monkeypatch, path)
    found, unreadable = claims_of(data, SegmentReader.open, 5)
    assert (found, list(unreadable)) == ([], [path])
    assert disk.calls == ["sync", (0, bytes(content[: content.rindex(b"APSF")]))]


def test_a_name_that_cannot_be_looked_at_is_one_spool_unread(data, monkeypatch):
    claims = fill(data, "k", ticket=1)
    write_spool(data.sealed, 1, 5, *claims)
    path = write_spool(data.sealed, 2, 5)
    garbage(index_of(data))
    refuse(monkeypatch, durable, "is_plain_file", path)
    current_of(data).use(lambda _: None)
    (lost,) = find_lost(data.damaged)
    assert (lost.kept, lost.unread) == (1, {path.name: "Input/output error"})


def test_a_directory_that_cannot_be_listed_is_named(data, monkeypatch):
    claims = fill(data, "k", ticket=1)
    write_spool(data.recovered, 1, 5, *claims)
    garbage(index_of(data))
    refuse_listing(monkeypatch, data.recovered)
    current_of(data).use(lambda _: None)
    (lost,) = find_lost(data.damaged)
    assert (lost.kept, lost.unread) == (0, {"recovered": "Permission denied"})
    assert "recovered (Permission denied)" in lost.sentence


async def test_while_a_directory_cannot_be_listed_no_claim_is_released(data, monkeypatch):
    claims = die_with_claims(data, 5, "of the dead")
    desk = desk_of(data, 6)
    _, claim = await ask(desk, wish("in doubt"))
    claim.spool = 9
    desk.settle(claim, Fate.IN_DOUBT)
    await desk.stop()
    write_spool(data.sealed, 8, 5, *claims)
    write_spool(data.sealed, 9, 6, claim)
    with monkeypatch.context() as refused:
        refuse_listing(refused, data.sealed)
        settler_of(data).settle_the_dead()
    assert stored_keys(data, "of the dead", "in doubt") == {"of the dead": False, "in doubt": False}
    settler = settler_of(data)
    settler.settle_the_dead()
    settler.spool_goes(9, [claim])
    assert stored_keys(data, "of the dead", "in doubt") == {"of the dead": True, "in doubt": True}


async def test_a_spool_that_is_cut_back_while_it_is_read_is_known_up_to_there(data, monkeypatch):
    claims = fill(data, "first", "second", ticket=1)
    path = write_spool(data.sealed, 1, 5, *claims, groups=2)
    garbage(index_of(data))
    read = SegmentReader.entries

    def entries(spool):
        yield next(read(spool))
        raise struct.error("unpack requires a buffer of 8 bytes")

    monkeypatch.setattr(SegmentReader, "entries", entries)
    desk = desk_of(data, 6)
    assert await verdict_of(desk, wish("first")) is Verdict.REPLAYED
    await desk.stop()
    assert list(find_lost(data.damaged)[0].unread) == [path.name]


def test_a_spool_of_the_dead_that_is_cut_back_while_it_is_read_keeps_its_claims_open(data, monkeypatch):
    claims = die_with_claims(data, 5, "k")
    write_spool(data.sealed, 1, 5, *claims)

    def entries(_):
        raise struct.error("unpack requires a buffer of 8 bytes")

    monkeypatch.setattr(SegmentReader, "entries", entries)
    settler_of(data).settle_the_dead()
    assert stored_keys(data, "k") == {"k": False}


def fifo(path):
    os.mkfifo(path)


def directory(path):
    path.mkdir()
    (path / "of somebody").write_text("kept")


def dangling(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


def device(path):
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("odd", [fifo, directory, dangling, loop, device])
@pytest.mark.parametrize("is_open", [False, True], ids=["at first", "under way"])
async def test_what_is_no_plain_file_in_its_place_is_set_aside(data, odd, is_open):
    claims = fill(data, "k", ticket=1)
    write_spool(data.sealed, 1, 5, *claims)
    desk = desk_of(data, 6)
    if is_open:
        assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
    index_of(data).unlink()
    odd(data.keys / "index.db")
    assert await verdict_of(desk, wish("k")) is Verdict.REPLAYED
    await desk.stop()
    (lost,) = find_lost(data.damaged)
    assert (lost.was, lost.reason, lost.kept) == ("index.db", "it is no plain file", 1)
    assert os.path.lexists(data.damaged / lost.name)


@pytest.mark.parametrize("odd", [fifo, directory, dangling])
@pytest.mark.parametrize("name", ["index.2.db.part", "index.2.db.part-wal", "index.2.db.new"])
async def test_what_lies_where_a_new_one_is_made_is_in_nobodys_way(data, odd, name):
    fill(data, "k")
    garbage(index_of(data))
    odd(data.keys / name)
    desk = desk_of(data, 6)
    assert await verdict_of(desk, wish("new")) is Verdict.GRANTED
    await desk.stop()
    assert not os.path.lexists(data.keys / name)
    assert [path.read_text() for path in data.damaged.glob(f"{name}.*/of somebody")] == ["kept"] * (odd is directory)


class CountingOpener(Opener):
    opened = 0

    def __call__(self, path):
        self.opened += 1
        return super().__call__(path)


@pytest.mark.parametrize(("method", "readings"), [("create", 0), ("know", 1)])
async def test_while_no_new_one_can_be_written_the_spools_are_not_read_again_and_again(
    data, monkeypatch, method, readings
):
    claims = fill(data, "k", ticket=1)
    write_spool(data.sealed, 1, 5, *claims)
    garbage(index_of(data))
    opener, clock = CountingOpener(), LaterClock()
    monkeypatch.setattr(clock, "monotonic", lambda: clock.ahead, raising=False)
    current = current_of(data, open_spool=opener, clock=clock)
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    attempts = []

    def refuse_all(*_):
        attempts.append(clock.ahead)
        raise full

    with monkeypatch.context() as disk:
        disk.setattr(KeyIndex, method, refuse_all)
        for clock.ahead in (0, 0.9 * AGAIN_SECONDS, AGAIN_SECONDS, 2.9 * AGAIN_SECONDS, 3 * AGAIN_SECONDS):
            with pytest.raises(sqlite3.OperationalError, match="disk is full"):
                current.use(lambda _: None)
    assert attempts == [0, AGAIN_SECONDS, 3 * AGAIN_SECONDS]
    assert opener.opened == readings * len(attempts)
    clock.ahead += LONGEST_SECONDS
    assert current.use(lambda _: "works") == "works"
    current.close()
    assert stored_keys(data, "k") == {"k": True}


async def test_trouble_that_is_over_is_not_reported_until_somebody_has_a_wish(data, monkeypatch):
    monkeypatch.setattr(desk_module, "RETRY_SECONDS", 0.01)
    desk = desk_of(data, 6)
    attempts = []

    def full(*asked):
        attempts.append(asked)
        raise sqlite3.OperationalError("database or disk is full")

    async def tried_some_times():
        assert desk.trouble is not None
        return len(attempts) > 3

    async def is_over():
        return desk.trouble is None

    with structlog.testing.capture_logs() as logs:
        with monkeypatch.context() as disk:
            disk.setattr(KeyIndex, "claim", full)
            assert await verdict_of(desk, wish("k")) is Verdict.FAILED
            await eventually(tried_some_times)
        await eventually(is_over)
        await desk.stop()
    assert [entry["event"] for entry in logs] == ["keys.failed", "keys.works_again"]


def test_an_attempt_with_nothing_to_do_writes(data):
    current = current_of(data)
    before = current.use(lambda index: index._database.total_changes)
    current.use(lambda index: index.claim([], [], 5, 0.0))
    assert current.use(lambda index: index._database.total_changes) > before
    current.close()


@pytest.mark.parametrize("has_wish", [True, False])
async def test_where_no_thread_can_be_started_each_wish_is_answered_and_it_is_tried_again(data, monkeypatch, has_wish):
    monkeypatch.setattr(desk_module, "RETRY_SECONDS", 3600 if has_wish else 0.01)
    desk = desk_of(data, 6)

    def refused(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refused)
        assert [await verdict_of(desk, wish(key)) for key in "ab"] == [Verdict.FAILED] * 2
        assert desk.trouble == "can't start new thread"
    if has_wish:
        assert await verdict_of(desk, wish("a")) is Verdict.GRANTED

    async def is_over():
        return desk.trouble is None

    await eventually(is_over)
    await desk.stop()


async def test_a_desk_whose_thread_never_started_can_stop(data, monkeypatch):
    desk = desk_of(data, 6)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
        assert await verdict_of(desk, wish("a")) is Verdict.FAILED
        await desk.stop()
    assert desk._thread is None


async def test_beside_a_spool_that_cannot_be_read_a_first_key_says_only_that_an_index_may_be_gone(data):
    unread = write_spool(data.sealed, 2, 5)
    desk = desk_of(data, 6, open_spool=Opener(unread))
    with structlog.testing.capture_logs() as logs:
        assert await verdict_of(desk, wish("the first ever")) is Verdict.GRANTED
        await desk.stop()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("keys.index_may_be_gone", "warning")]
    (lost,) = find_lost(data.damaged)
    assert lost.is_suspected
    assert "The index of keys may be gone" in lost.sentence
