"""The index of idempotency keys on real files: two desks, dead owners, spools that go, an index that fails."""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys

import pytest
import structlog

from apidanalytics.clock import SystemClock
from apidanalytics.idempotency.claimed import known_keys
from apidanalytics.idempotency.current import CurrentIndex
from apidanalytics.idempotency.desk import KeyDesk
from apidanalytics.idempotency.index import IndexLimits, KeyIndex, name_of
from apidanalytics.idempotency.owner import is_alive
from apidanalytics.idempotency.settler import Settler
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, Fate, SpoolHeader, Verdict, Wish
from apidanalytics.spool import frame
from apidanalytics.spool.frame import Share, format_group, format_header
from apidanalytics.spool.segment import SegmentReader
from tests.harness import ROOT

LIMITS = IndexLimits(window_seconds=3600, max_keys=100)
TENANT = "acme~prod"


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


def desk_of(data, owner, limits=LIMITS, open_spool=SegmentReader.open, clock=None):
    return KeyDesk(data, owner, current_of(data, limits, open_spool, clock), SystemClock())


def current_of(data, limits=LIMITS, open_spool=SegmentReader.open, clock=None):
    return CurrentIndex(data, limits, lambda: known_keys(data, open_spool), clock or SystemClock())


def settler_of(data, lost=None, open_spool=SegmentReader.open, clock=None):
    on_lost = [].append if lost is None else lost.append
    return Settler(data, current_of(data, open_spool=open_spool), open_spool, clock or SystemClock(), on_lost)


def wish(key="k", body=b"b" * 16, ticket=0):
    return Wish(tenant=TENANT, key=key, body=body, ticket=ticket or int.from_bytes(os.urandom(7)))


async def ask(desk, one):
    answer = asyncio.get_running_loop().create_future()
    desk.claim(one, lambda verdict, claim: answer.set_result((verdict, claim)))
    return await asyncio.wait_for(answer, 60)


async def verdict_of(desk, one):
    return (await ask(desk, one))[0]


async def eventually(condition):
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.005)


def write_spool(place, number, owner, *claims, groups=1):
    """Write a spool; with more groups than one, the last claims are one in each."""
    header = SpoolHeader(
        number=number, interval_seconds=1, max_file_bytes=1, instance_id="i", created_at=0.0, owner=owner
    )
    share = Share(tenant=TENANT, start_at=0, records=1, lines=b"{}\n")
    path = place / str(SpoolName(number=number))
    early, late = claims[: len(claims) - groups + 1], claims[len(claims) - groups + 1 :]
    parts = [early, *([claim] for claim in late)]
    frames = (format_group(n, [share], some) for n, some in enumerate(parts, start=1))
    path.write_bytes(format_header(header) + b"".join(frames))
    return path


def die_with_claims(data, owner, *keys):
    """Claim keys in another process that is then killed."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.integration.test_keys import *\n"
        "data = DataDirectory(Path(sys.argv[1])); owner = int(sys.argv[2])\n"
        "from apidanalytics.idempotency.owner import Owner\n"
        "held = Owner.enter(data.keys, owner); now = SystemClock().now()\n"
        "wishes = [wish(key, ticket=n) for n, key in enumerate(sys.argv[3:], 1)]\n"
        "current_of(data).use(lambda index: index.claim(wishes, [], owner, now))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(data.root), str(owner), *keys],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == -9, result.stderr.decode()
    return [Claim(tenant=TENANT, key=key, ticket=n) for n, key in enumerate(keys, 1)]


def stored_keys(data, *keys):
    (path,) = data.keys.glob("index*.db")
    with sqlite3.connect(path) as database:
        rows = dict(database.execute("SELECT id, owner FROM keys"))
    database.close()
    return {key: rows[name_of(TENANT, key)] is None for key in keys if name_of(TENANT, key) in rows}


async def test_of_many_who_want_a_key_at_once_on_two_workers_one_gets_it(data):
    desks = [desk_of(data, 1), desk_of(data, 2)]
    for n in range(20):
        answers = await asyncio.gather(*(ask(desks[m % 2], wish(f"k{n}")) for m in range(8)))
        assert sorted(verdict.value for verdict, _ in answers) == ["granted"] + ["in use"] * 7
        assert sum(claim is not None for _, claim in answers) == 1
    for desk in desks:
        await desk.stop()


async def test_what_one_worker_stored_is_a_repeat_to_another_soon_after(data):
    one, two = desk_of(data, 1), desk_of(data, 2)
    _, claim = await ask(one, wish())
    assert await verdict_of(two, wish()) is Verdict.IN_USE
    one.settle(claim, Fate.STORED)

    async def is_replayed():
        return await verdict_of(two, wish()) is Verdict.REPLAYED

    await eventually(is_replayed)
    assert await verdict_of(two, wish(body=b"c" * 16)) is Verdict.REUSED
    for desk in (one, two):
        await desk.stop()


async def test_a_desk_settles_all_before_it_ends_and_leaves_nothing_open(data):
    desk = desk_of(data, 7)
    claims = [(await ask(desk, wish(key)))[1] for key in "ab"]
    assert is_alive(data.keys, 7)
    for claim in claims:
        desk.settle(claim, Fate.STORED)
    await desk.stop()
    assert stored_keys(data, "a", "b") == {"a": True, "b": True}
    assert not is_alive(data.keys, 7)
    assert sorted(path.name for path in data.keys.iterdir()) == ["index.db", "turn.lock"]


async def test_a_desk_that_was_never_asked_touches_nothing(data):
    desk = desk_of(data, 1)
    await desk.stop()
    assert list(data.keys.iterdir()) == []
    assert desk._thread is None


def test_of_a_dead_worker_what_is_in_its_spools_is_stored_and_the_rest_is_free(data):
    claims = die_with_claims(data, 5, "open", "sealed", "recovered", "nowhere", "elsewhere")
    write_spool(data.tmp, 1, 5, claims[0])
    write_spool(data.sealed, 2, 5, claims[1])
    write_spool(data.recovered, 3, 5, claims[2])
    write_spool(data.sealed, 4, 6, claims[4])  # another worker's
    settler_of(data).settle_the_dead()
    assert stored_keys(data, "open", "sealed", "recovered", "nowhere", "elsewhere") == {
        "open": True,
        "sealed": True,
        "recovered": True,
    }
    assert not list(data.keys.glob("*.worker"))


class LaterClock(SystemClock):
    ahead = 0.0

    def now(self):
        return super().now() + self.ahead

    def monotonic(self):
        return super().monotonic() + self.ahead


@pytest.fixture(params=["newer", "refused"])
def unreadable(request, data, monkeypatch):
    """A spool of worker 5 with the third of its claims, a way to open spools that fails for it, and how to mend it."""
    claim, refused = Claim(tenant=TENANT, key="unread", ticket=3), set()
    with monkeypatch.context() as newer:
        if request.param == "newer":
            newer.setattr(frame, "FORMAT_VERSION", frame.FORMAT_VERSION + 1)
        path = write_spool(data.tmp, 1, 5, claim)
    if request.param == "refused":
        refused.add(path)

    def open_spool(path):
        if path in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return SegmentReader.open(path)

    def mend():
        refused.clear()
        write_spool(data.tmp, 1, 5, claim)

    return path, open_spool, mend


def test_past_an_unreadable_spool_what_the_others_hold_is_stored_and_the_rest_waits(data, unreadable):
    path, open_spool, mend = unreadable
    claims = die_with_claims(data, 5, "sealed", "nowhere", "unread")
    die_with_claims(data, 6, "of another")
    write_spool(data.sealed, 2, 5, claims[0])
    settler = settler_of(data, open_spool=open_spool)
    with structlog.testing.capture_logs() as logs:
        settler.settle_the_dead()
        settler.settle_the_dead()
    assert stored_keys(data, "sealed", "nowhere", "unread", "of another") == {
        "sealed": True,
        "nowhere": False,
        "unread": False,
        "of another": False,
    }
    assert [entry["path"] for entry in logs if entry["event"] == "keys.spool_unreadable"] == [str(path)]
    assert [entry["stored"] for entry in logs if entry["event"] == "keys.settled"] == [1]
    mend()
    settler.settle_the_dead()
    assert stored_keys(data, "sealed", "nowhere", "unread", "of another") == {"sealed": True, "unread": True}


def test_an_unreadable_spool_keeps_a_claim_for_its_window_only(data, unreadable):
    die_with_claims(data, 5, "nowhere")
    clock = LaterClock()
    settler = settler_of(data, open_spool=unreadable[1], clock=clock)
    clock.ahead = LIMITS.window_seconds - 60
    settler.settle_the_dead()
    assert stored_keys(data, "nowhere") == {"nowhere": False}
    clock.ahead = LIMITS.window_seconds
    settler.settle_the_dead()
    assert stored_keys(data, "nowhere") == {}


def test_what_is_no_plain_file_is_no_spool_to_settle_by(data):
    die_with_claims(data, 5, "nowhere")
    (data.sealed / str(SpoolName(number=1))).symlink_to("elsewhere")
    (data.sealed / str(SpoolName(number=2))).mkdir()
    os.mkfifo(data.sealed / str(SpoolName(number=3)))
    settler_of(data).settle_the_dead()
    assert stored_keys(data, "nowhere") == {}


async def test_a_living_worker_is_left_alone(data):
    desk = desk_of(data, 5)
    await ask(desk, wish())
    settler_of(data).settle_the_dead()
    assert stored_keys(data, "k") == {"k": False}
    await desk.stop()


def test_before_a_spool_goes_its_claims_are_stored_also_those_of_the_living_or_the_dead(data):
    claims = die_with_claims(data, 5, "a", "b")
    settler = settler_of(data)
    settler.spool_goes(1, claims[:1])
    assert stored_keys(data, "a", "b") == {"a": True, "b": False}
    settler.settle_the_dead()
    assert stored_keys(data, "a", "b") == {"a": True}


async def test_a_claim_in_doubt_waits_for_its_spool(data):
    desk = desk_of(data, 5)
    claims = [(await ask(desk, wish(key)))[1] for key in ("there", "not there", "gone")]
    for claim, spool in zip(claims, (8, 8, 9), strict=True):
        claim.spool = spool
        desk.settle(claim, Fate.IN_DOUBT)
    await desk.stop()
    path = write_spool(data.sealed, 8, 5, claims[0])
    settler = settler_of(data)
    settler.settle_the_dead()
    assert stored_keys(data, "there", "not there", "gone") == {"there": False, "not there": False}
    settler.spool_goes(8, claims[:1])
    path.unlink()
    assert stored_keys(data, "there", "not there") == {"there": True}


async def test_a_doubt_that_comes_after_its_spool_was_packed_takes_nothing_back(data):
    """The disk that fails under the spool may refuse the settlement, too, for a while; packing is quick."""
    desk = desk_of(data, 5)
    _, claim = await ask(desk, wish())
    claim.spool = 9
    settler = settler_of(data)
    settler.spool_goes(9, [claim])
    desk.settle(claim, Fate.IN_DOUBT)
    await desk.stop()
    settler.settle_the_dead()
    assert stored_keys(data, "k") == {"k": True}


def test_an_old_spool_says_nothing_about_a_new_claim_to_the_same_key(data):
    current, old = current_of(data), Claim(tenant=TENANT, key="k", ticket=1)
    current.use(lambda index: index.claim([wish(ticket=1)], [], 5, 0.0))
    current.use(lambda index: index.claim([wish(ticket=2)], [(old, Fate.STORED)], 5, LIMITS.window_seconds))
    settler_of(data).spool_goes(1, [old])
    assert stored_keys(data, "k") == {"k": False}
    current.close()


async def test_over_the_limit_a_new_key_is_refused_and_a_known_one_is_not(data):
    desk = desk_of(data, 5, IndexLimits(window_seconds=3600, max_keys=2))
    _, claim = await ask(desk, wish("a"))
    desk.settle(claim, Fate.STORED)
    await ask(desk, wish("b"))
    assert await verdict_of(desk, wish("c")) is Verdict.FULL
    assert await verdict_of(desk, wish("a")) is Verdict.REPLAYED
    await desk.stop()


async def test_an_index_that_fails_is_said_once_and_works_again_by_itself(data, monkeypatch):
    desk = desk_of(data, 5)
    _, claim = await ask(desk, wish("a"))
    real = KeyIndex.claim

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(KeyIndex, "claim", full)
        desk.settle(claim, Fate.STORED)
        assert await verdict_of(desk, wish("b")) is Verdict.FAILED
        assert await verdict_of(desk, wish("b")) is Verdict.FAILED
        monkeypatch.setattr(KeyIndex, "claim", real)
        assert await verdict_of(desk, wish("b")) is Verdict.GRANTED
        await desk.stop()
    assert [entry["event"] for entry in logs] == ["keys.failed", "keys.works_again"]
    assert stored_keys(data, "a") == {"a": True}


class KeysByTheClock:
    """An index, with a window of 100 s and room for 20 keys, in which each key is stored at once."""

    def __init__(self, data):
        limits = IndexLimits(window_seconds=100, max_keys=20, is_synced=False)
        KeyIndex.create(data.keys / "index.db", limits)
        self.index = KeyIndex.open(data.keys / "index.db", limits)

    def store(self, at, key=None):
        ((verdict, claim),) = self.index.claim([wish(key or f"of {at}")], [], 1, at)
        self.index.claim([], [(claim, Fate.STORED)] if claim else [], 1, at)
        return verdict


@pytest.fixture
def keys(data):
    keys = KeysByTheClock(data)
    yield keys
    keys.index.close()


def test_keys_claimed_by_a_clock_that_was_ahead_do_not_keep_others_from_going(keys):
    times = [*range(1000, 1400, 10), *range(1490, 1495), *range(1405, 1700, 10)]
    assert {keys.store(at) for at in times} == {Verdict.GRANTED}


def test_keys_are_known_after_the_clock_was_set_back_by_a_window(keys):
    keys.store(1000, "k")
    keys.store(900)
    assert (keys.store(999, "k"), keys.store(1000, "k")) == (Verdict.REPLAYED, Verdict.GRANTED)


def test_a_claim_under_way_is_in_use_though_the_clock_jumps_ahead(keys):
    ((_, claim),) = keys.index.claim([wish("k")], [], 1, 1000)
    assert keys.store(9000, "k") is Verdict.IN_USE
    keys.index.claim([], [(claim, Fate.STORED)], 1, 9000)
    assert keys.store(9000, "k") is Verdict.GRANTED  # now its time is over


async def test_a_newer_index_is_left_alone(data):
    KeyIndex.create(data.keys / "index.db", LIMITS)
    with sqlite3.connect(data.keys / "index.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    desk = desk_of(data, 5)
    assert await verdict_of(desk, wish()) is Verdict.FAILED
    await desk.stop()
    with structlog.testing.capture_logs() as logs:
        settler_of(data).settle_the_dead()
    assert [entry["event"] for entry in logs] == ["keys.settle_failed"]


def test_a_claim_is_synced_before_it_is_granted(data, require_tool):
    """Counts the syncs of another process: with SIGKILL alone a missing one would never show."""
    strace = require_tool("strace")
    trace = data.root / "trace"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from tests.integration.test_keys import KeyIndex, LIMITS, wish\n"
        "KeyIndex.create(Path(sys.argv[1]), LIMITS); index = KeyIndex.open(Path(sys.argv[1]), LIMITS)\n"
        "index.claim([wish('warm')], [], 5, 1.0)\n"
        "for n in range(5):\n"
        "    index.claim([wish(f'k{n}')], [], 5, 1.0)\n"
        "    os.write(1, b'granted')\n"
    )
    index = str(data.keys / "index.db")
    subprocess.run(
        [strace, "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write", sys.executable, "-c", code, index],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    before_each = trace.read_text().split('"granted"')[:-1]
    assert ["sync(" in calls for calls in before_each] == [True] * 5


def test_the_keys_of_a_spool_that_goes_are_synced_though_acks_are_not(data, require_tool):
    """The agent removes a spool for good whatever the durability, so its keys must be known as surely."""
    trace = data.root / "trace"
    current_of(data).use(lambda index: index.claim([wish(ticket=1)], [], 5, 1.0))
    code = (
        "import os, sys; from pathlib import Path\n"
        "from tests.integration.test_keys import *\n"
        "from apidanalytics.config.loading import load; from apidanalytics.service.keys import settler\n"
        "given = {'local_storage_path': sys.argv[1], 'apidanalytics_durability': 'os'}\n"
        "settings = load(config_file=None, environ={}, overrides=given, embedded=True)\n"
        "found = settler(settings, None, SystemClock())\n"
        "assert settings.durability == 'os'; found.spool_goes(9, [Claim(tenant=TENANT, key='warm', ticket=1)])\n"
        "os.write(1, b'begin'); found.spool_goes(1, [Claim(tenant=TENANT, key='k', ticket=1)]); os.write(1, b'goes')\n"
    )
    command = [require_tool("strace"), "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write"]
    subprocess.run(
        [*command, sys.executable, "-c", code, str(data.root.parent)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    assert "sync(" in trace.read_text().split('"begin"')[1].split('"goes"')[0]
