"""Packing with the real spool and the real ledger: live and dead workers, damage on disk, ten thousand tenants."""

import errno
import gzip
import itertools
import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory, FileName, SpoolName, format_tenant
from apidanalytics.model import SpoolHeader
from apidanalytics.pack.packer import Outcome, Packer
from apidanalytics.pack.recover import Recovery, waiting_spools
from apidanalytics.pack.strangers import Strangers
from apidanalytics.spool.file import OpenSpool
from apidanalytics.spool.frame import Share, format_group, format_header
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import State

ROOT = Path(__file__).parents[2]
START_AT = 1_700_000_040


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    return directory


@pytest.fixture
def ledger(data):
    with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
        yield ledger


@pytest.fixture
def packer(data, ledger):
    return packer_of(data, ledger, header)


def packer_of(data, ledger, fallback):
    return Packer(data, ledger, SegmentReader.open, clock=SystemClock(), fallback=fallback, spool_goes=lambda *_: None)


@pytest.fixture
def recovery(data):
    return Recovery(data, SystemClock(), Strangers())


def header(number):
    return SpoolHeader(
        number=number, interval_seconds=120, max_file_bytes=1 << 20, instance_id="collector-1", created_at=START_AT
    )


def share(tenant, *numbers, size=0):
    lines = b"".join(b'{"n":%d,"path":"%s"}\n' % (n, b"x" * size) for n in numbers)
    return Share(tenant=tenant, start_at=START_AT, records=len(numbers), lines=lines)


def create(data):
    return OpenSpool.create(data, header, os.fdatasync)


def delivered(data):
    """Return the record numbers of each tenant."""
    found = {}
    for path in sorted(data.staging.glob("*/*")):
        tenant = "~".join(path.parent.name.split("~")[:2])
        lines = gzip.decompress(path.read_bytes()).splitlines()
        found.setdefault(tenant, []).extend(json.loads(line)["n"] for line in lines)
    return found


def test_a_sealed_spool_is_packed_and_the_books_balance(data, ledger, packer):
    spool = create(data)
    spool.append([share("acme~prod", 1, 2, size=5000), share("globex~test", 3)])
    spool.append([share("acme~prod", 4)])
    assert packer.pack(spool.seal(data)).outcome is Outcome.PACKED
    assert delivered(data) == {"acme~prod": [1, 2, 4], "globex~test": [3]}
    totals = ledger.totals()
    for tenant, records in (("acme~prod", 3), ("globex~test", 1)):
        assert totals[tenant][State.ACCEPTED].records == totals[tenant][State.STAGED].records == records
    for path in data.staging.glob("*/*"):
        subprocess.run(["gzip", "-t", str(path)], check=True)


def test_one_that_is_packed_already_and_went_meanwhile_is_no_error(data, packer):
    spool = create(data)
    spool.append([share("acme~prod", 1)])
    path = spool.seal(data)
    assert [packer.pack(path).outcome for _ in range(2)] == [Outcome.PACKED, Outcome.REMOVED]


def test_the_sweep_leaves_a_living_workers_spool_and_takes_a_dead_ones(data, packer, recovery):
    living, dead = create(data), create(data)
    living.append([share("acme~prod", 1)])
    dead.append([share("globex~test", 2)])
    dead.close()
    (taken,) = recovery.sweep()
    assert SpoolName.parse(taken.name).number == dead.header.number
    packer.pack(taken)
    assert delivered(data) == {"globex~test": [2]}
    living.append([share("acme~prod", 3)])
    packer.pack(living.seal(data))
    assert delivered(data) == {"globex~test": [2], "acme~prod": [1, 3]}
    assert recovery.sweep() == []


def test_a_spool_that_holds_nothing_is_gone_after_recovery(data, packer, recovery):
    create(data).close()
    (taken,) = recovery.sweep()
    assert packer.pack(taken).outcome is Outcome.REMOVED
    assert list(data.recovered.iterdir()) == []


def test_a_corrupt_group_is_set_aside_and_the_others_are_delivered(data, ledger, packer):
    spool = create(data)
    ends = []
    for n in range(3):
        spool.append([share("acme~prod", n, size=100)])
        ends.append(spool.end)
    path = spool.seal(data)
    content = bytearray(path.read_bytes())
    content[ends[0] + 60] ^= 1
    path.write_bytes(content)
    packed = packer.pack(path)
    assert delivered(data) == {"acme~prod": [0, 2]}
    assert packed.damaged_bytes == ends[1] - ends[0]
    assert (data.damaged / path.name).read_bytes() == content
    reason = json.loads((data.damaged / f"{path.name}.reason.json").read_text())
    assert [(stretch["offset"], stretch["length"]) for stretch in reason["damage"]] == [(ends[0], ends[1] - ends[0])]
    assert ledger.totals()[""][State.SET_ASIDE].bytes == ends[1] - ends[0]


def test_a_spool_whose_header_is_damaged_is_delivered_all_the_same(data, packer):
    spool = create(data)
    spool.append([share("acme~prod", 1)])
    path = spool.seal(data)
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    packer.pack(path)
    assert delivered(data) == {"acme~prod": [1]}
    assert (data.damaged / path.name).exists()


def test_what_was_assumed_for_a_damaged_header_counts_however_settings_change_before_it_is_packed(
    data, ledger, monkeypatch
):
    monkeypatch.setattr("apidanalytics.pack.packer.GROUP_FILES", 1)
    spool = create(data)
    spool.append([share("acme~prod", 1, 2), share("globex~test", 3)])
    path = spool.seal(data)
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    groups = iter(range(9))

    def full_at_the_second(files, at, stage=ledger.stage):
        if next(groups) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        stage(files, at)

    monkeypatch.setattr(ledger, "stage", full_at_the_second)
    with pytest.raises(OSError, match="No space"):
        packer_of(data, ledger, header).pack(path)
    packer_of(data, ledger, lambda number: replace(header(number), interval_seconds=60, instance_id="other")).pack(path)
    assert delivered(data) == {"acme~prod": [1, 2], "globex~test": [3]}
    assert {FileName.parse(file.name).instance_id for file in data.staging.glob("*/*")} == {"collector-1"}


@pytest.mark.parametrize("is_staged", [True, False], ids=["staged", "published-only"])
def test_what_is_damaged_after_half_of_a_spool_was_staged_gives_the_rest_no_other_names(
    data, ledger, packer, monkeypatch, is_staged
):
    monkeypatch.setattr("apidanalytics.pack.packer.GROUP_FILES", 1)
    spool = create(data)
    frames = [spool.end]
    for number, tenant in enumerate(["acme~prod", "beta~prod", "globex~test", "zeta~test"]):
        spool.append([share(tenant, number)])
        frames.append(spool.end)
    path = spool.seal(data)
    groups = iter(range(9))

    def full_at_the_third(files, at, stage=ledger.stage):
        is_full = next(groups) == 2
        if is_staged or not is_full:
            stage(files, at)
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(ledger, "stage", full_at_the_third)
        with pytest.raises(OSError, match="No space"):
            packer.pack(path)
    before = {file.name for file in data.staging.glob("*/*")}
    content = bytearray(path.read_bytes())
    content[frames[1] - 3] ^= 1  # in the first tenant's group
    path.write_bytes(content)
    packer.pack(path)
    assert before < {file.name for file in data.staging.glob("*/*")}
    assert delivered(data) == {"acme~prod": [0], "beta~prod": [1], "globex~test": [2], "zeta~test": [3]}
    assert {file.name for file in data.staging.glob("*/*")} == {known.file.name for known in ledger.files(State.STAGED)}


@pytest.mark.parametrize(
    ("cut_bytes", "marks_end"),
    [(0, True), (3, True), (0, False)],
    ids=["between two groups", "within one", "where nothing shows it"],
)
def test_what_is_cut_off_after_half_of_a_spool_was_staged_gives_the_rest_no_other_names(
    data, ledger, packer, monkeypatch, cut_bytes, marks_end
):
    monkeypatch.setattr("apidanalytics.pack.packer.GROUP_FILES", 1)
    spool = OpenSpool.create(data, lambda number: replace(header(number), marks_end=marks_end), os.fdatasync)
    for number, tenant in enumerate(["beta~prod", "globex~test", "acme~prod"]):
        last = spool.end
        spool.append([share(tenant, number)])
    path = spool.seal(data)
    groups = iter(range(9))

    def full_behind_the_second(files, at, stage=ledger.stage):
        stage(files, at)
        if next(groups) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(ledger, "stage", full_behind_the_second)
        with pytest.raises(OSError, match="No space"):
            packer.pack(path)
    os.truncate(path, last + cut_bytes)
    assert packer.pack(path).outcome is Outcome.PACKED
    assert delivered(data) == {"acme~prod": [2], "beta~prod": [0], "globex~test": [1]}
    assert len(list(data.damaged.glob("*.spool"))) == marks_end


def half_staged(data, ledger, packer, tenants, monkeypatch, groups=1):
    """Pack a spool, of one entry in each group and two in a file, until so many files are staged; return its frames."""
    monkeypatch.setattr("apidanalytics.pack.packer.GROUP_FILES", 1)
    small = OpenSpool.create(data, lambda number: replace(header(number), max_file_bytes=40), os.fdatasync)
    frames = [small.end]
    for number, tenant in enumerate(tenants):
        small.append([share(tenant, number)])
        frames.append(small.end)
    path = small.seal(data)
    left = iter([ledger.stage] * groups)

    def full(files, at):
        next(left, refuse)(files, at)

    with monkeypatch.context() as failing:
        failing.setattr(ledger, "stage", full)
        with pytest.raises(OSError, match="No space"):
            packer.pack(path)
    for file in data.staging.glob("*/*"):
        if not ledger.known(file.parent.name, [file.name]):
            file.unlink()
    return path, frames


def damage(path, end):
    content = bytearray(path.read_bytes())
    content[end - 3] ^= 1
    path.write_bytes(content)


def staged_twice(data):
    return [n for numbers in delivered(data).values() for n, times in Counter(numbers).items() if times > 1]


@pytest.mark.parametrize(
    ("damaged", "lost", "in_doubt"),
    [(0, {2}, 2), (1, {2}, 1), (2, {2}, 0), (4, {4}, 0)],
    ids=["in-the-staged-part", "at-its-end", "right-behind-it", "far-behind-it"],
)
def test_what_is_damaged_in_a_tenant_of_many_parts_doubles_nothing_and_what_may_be_lost_is_said(
    data, ledger, packer, monkeypatch, damaged, lost, in_doubt
):
    path, frames = half_staged(data, ledger, packer, ["acme~prod"] * 7, monkeypatch)
    assert delivered(data) == {"acme~prod": [0, 1]}
    damage(path, frames[damaged + 1])
    packer.pack(path)
    assert staged_twice(data) == []
    assert set(delivered(data)["acme~prod"]) == set(range(7)) - lost
    said = ledger.totals()["acme~prod"].get(State.SET_ASIDE)
    assert (said.bytes if said else 0) == in_doubt * 18


@pytest.mark.parametrize("are_alike", [True, False], ids=["hashes-collide", "hashes-differ"])
def test_what_is_damaged_in_front_of_a_tenant_of_many_parts_takes_none_of_it(
    data, ledger, packer, monkeypatch, are_alike
):
    if are_alike:
        monkeypatch.setattr("apidanalytics.layout.name_hash", lambda *_: "00ff")
    path, frames = half_staged(data, ledger, packer, ["zeta~test"] + ["acme~prod"] * 5, monkeypatch, groups=2)
    damage(path, frames[1])
    packer.pack(path)
    assert {tenant: sorted(numbers) for tenant, numbers in delivered(data).items()} == {"acme~prod": [1, 2, 3, 4, 5]}


def test_a_run_that_was_cut_off_again_after_the_damage_doubles_nothing(data, ledger, packer, monkeypatch):
    path, frames = half_staged(data, ledger, packer, ["acme~prod"] * 9, monkeypatch)
    damage(path, frames[1])
    left = iter([ledger.stage])

    def full_at_the_second(files, at):
        next(left, refuse)(files, at)

    with monkeypatch.context() as failing:
        failing.setattr(ledger, "stage", full_at_the_second)
        with pytest.raises(OSError, match="No space"):
            packer.pack(path)
    packer.pack(path)
    assert staged_twice(data) == []
    assert set(range(9)) - set(delivered(data)["acme~prod"]) == {2}


def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_no_spool_is_set_aside_and_does_not_stop_the_next_one(data, packer):
    (data.sealed / str(SpoolName(number=1))).write_bytes(b"this was never a spool")
    spool = create(data)
    spool.append([share("acme~prod", 1)])
    spool.seal(data)
    outcomes = Counter(packer.pack(path).outcome for path in waiting_spools(data, Strangers()))
    assert outcomes == {Outcome.SET_ASIDE: 1, Outcome.PACKED: 1}
    assert delivered(data) == {"acme~prod": [1]}
    assert (data.damaged / str(SpoolName(number=1))).read_bytes() == b"this was never a spool"


def test_a_spool_of_a_newer_format_stays_where_it_is(data, packer):
    spool = create(data)
    spool.append([share("acme~prod", 1)])
    path = spool.seal(data)
    frame = format_header(header(spool.header.number))
    newer = path.read_bytes().replace(frame, newer_header(frame), 1)
    path.write_bytes(newer)
    assert packer.pack(path).outcome is Outcome.LEFT_ALONE
    assert path.read_bytes() == newer
    assert delivered(data) == {}


def newer_header(frame):
    """Return the header frame with format_version 3 and the checksum that belongs to it."""
    content = bytearray(frame.replace(b'"format_version":2', b'"format_version":3'))
    content[20:24] = bytes(4)
    content[20:24] = zlib.crc32(bytes(content[24:]), zlib.crc32(bytes(content[:20]))).to_bytes(4, "little")
    return bytes(content)


MEASURE = """
import sys
from pathlib import Path
from apidanalytics.clock import SystemClock
from apidanalytics.layout import DataDirectory
from apidanalytics.pack.packer import Packer
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.ledger import Ledger

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

data = DataDirectory(Path(sys.argv[1]))
with Ledger.open(data.ledger, data.damaged, 0.0) as ledger:
    packer = Packer(data, ledger, SegmentReader.open, clock=SystemClock(), fallback=None, spool_goes=lambda *_: None)
    before = peak()
    packed = packer.pack(next(data.sealed.iterdir()))
    print(packed.staged.files, packed.staged.records, peak() - before)
"""


def test_ten_thousand_tenants_in_a_spool_of_many_small_groups_add_less_than_50_megabytes(data):
    tenants = itertools.cycle(format_tenant(f"org{n}", "prod") for n in range(10_000))
    with (data.sealed / str(SpoolName(number=7))).open("wb") as file:
        file.write(format_header(header(7)))
        for sequence in range(1, 2001):
            file.write(format_group(sequence, [share(next(tenants), sequence, size=800) for _ in range(30)]))
    command = [sys.executable, "-c", MEASURE, str(data.root)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
    files, records, added = map(int, done.stdout.splitlines()[-1].split())
    assert (files, records) == (10_000, 60_000)
    assert added < 50_000_000
