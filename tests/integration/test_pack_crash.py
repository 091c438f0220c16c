"""A process that packs, adopts and recovers is killed at every step; the next one ends with the same files, once."""

import gzip
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from apidanalytics import failpoints
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.pack import packer as packer_module
from apidanalytics.spool.frame import Share, format_group, format_header
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import State
from tests.integration.pack_child import header, work

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("pack_child.py")
NOW = 1_700_000_300.5
START_AT = 1_700_000_040
SEALED, DEAD = 0x0123456789AB, 0xBA9876543210
TENANTS = [f"org{n}~prod" for n in range(5)]
GO_DIRECTORY = "acme~test~20170120102400"
GO_FILES = [
    f"{digits}_20170120102400.20170120102600_218e3d99-efaf-4a7b-b3f2-5e4b00c023b7_writer_0.txt.gz"
    for digits in ("5be1", "0a0b")
]
POINTS = [point for point in failpoints.POINTS if point.startswith(("pack.", "recover."))]


def line(source, tenant, n):
    return b'{"source":"%s","tenant":"%s","n":%d}\n' % (source, tenant.encode(), n)


def spool(number, source):
    frames = [format_header(header(number, NOW))]
    for sequence in range(1, 9):
        shares = [
            Share(tenant=tenant, start_at=START_AT, records=1, lines=line(source, tenant, sequence))
            for tenant in TENANTS
        ]
        frames.append(format_group(sequence, shares))
    return b"".join(frames)


def fill(data):
    """Leave a sealed spool, one of a dead worker with a torn end, and two torn files of the Go original."""
    data.create()
    (data.sealed / str(SpoolName(number=SEALED))).write_bytes(spool(SEALED, b"sealed"))
    dead = spool(DEAD, b"dead")
    (data.tmp / str(SpoolName(number=DEAD))).write_bytes(dead + dead[-100:-10])
    (data.tmp / GO_DIRECTORY).mkdir()
    for name in GO_FILES:
        content = gzip.compress(b"".join(line(name[:4].encode(), "acme~test", n) for n in range(3)), mtime=0)
        (data.tmp / GO_DIRECTORY / name).write_bytes(content[:-6])
    (data.staging / GO_DIRECTORY).mkdir()
    whole = gzip.compress(line(b"whole", "acme~test", 1), mtime=0)
    (data.staging / GO_DIRECTORY / GO_FILES[0].replace("5be1", "ffff")).write_bytes(whole)


EXPECTED = Counter(
    [line(source, tenant, n) for source in (b"sealed", b"dead") for tenant in TENANTS for n in range(1, 9)]
    + [line(source, "acme~test", n) for source in (b"5be1", b"0a0b") for n in range(3)]
    + [line(b"whole", "acme~test", 1)]
)


def run(data, now=NOW, armed=""):
    environment = {**os.environ, failpoints.VARIABLE: armed, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, PROGRAM, str(data.root), str(now)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def run_to_the_end(data, now=NOW):
    """Do the same in this process: all that the one before has left it is on the disk."""
    work(data.root, now)


def staged(data):
    return {(path.parent.name, path.name): path.read_bytes() for path in data.staging.glob("*/*")}


def upload_what_is_known(data):
    """Take away what the ledger has staged, as the uploader would, and return it."""
    with Ledger.open(data.ledger, data.damaged, NOW) as ledger:
        uploaded = {}
        for known in ledger.files(State.STAGED):
            path = data.staging / known.file.directory / known.file.name
            uploaded[known.file.directory, known.file.name] = path.read_bytes()
            ledger.uploaded({known.id: None}, NOW)
            path.unlink()
        return uploaded


def lines_of(files):
    return Counter(line for content in files.values() for line in gzip.decompress(content).splitlines(keepends=True))


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(packer_module, "GROUP_FILES", 4)
    directory = DataDirectory(tmp_path / "ax")
    fill(directory)
    return directory


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the files of a run that nothing interrupts."""
    directory = DataDirectory(tmp_path_factory.mktemp("undisturbed") / "ax")
    fill(directory)
    done = run(directory)
    assert done.returncode == 0, done.stderr
    files = staged(directory)
    assert lines_of(files) == EXPECTED
    return files


def check_nothing_is_left(data):
    for place in (data.tmp, data.sealed, data.recovered, data.damaged):
        assert list(place.iterdir()) == []


def check_the_books(data):
    """Accepted is staged and uploaded, for each tenant, and every record is counted once."""
    with Ledger.open(data.ledger, data.damaged, NOW) as ledger:
        totals = ledger.totals()
    for states in totals.values():
        found = sum(count.records for state, count in states.items() if state is not State.ACCEPTED)
        assert states[State.ACCEPTED].records == found
    assert sum(states[State.ACCEPTED].records for states in totals.values()) == EXPECTED.total()


@pytest.mark.parametrize("hit", [1, 3])
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_run_ends_with_the_same_files_once(data, undisturbed, point, hit):
    killed = run(data, armed=f"{point}=kill@{hit}")
    if hit == 1:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    uploaded = upload_what_is_known(data) if data.ledger.exists() else {}
    run_to_the_end(data)
    rest = staged(data)
    assert uploaded.keys().isdisjoint(rest)
    assert uploaded | rest == undisturbed
    check_nothing_is_left(data)
    check_the_books(data)


@pytest.mark.parametrize("point", POINTS)
def test_refused_by_the_disk_anywhere_the_next_run_ends_with_the_same_files_once(data, undisturbed, point):
    run(data, armed=f"{point}=full@2")
    run_to_the_end(data)
    assert staged(data) == undisturbed
    check_nothing_is_left(data)
    check_the_books(data)


def test_killed_twice_at_different_steps_nothing_is_lost_or_doubled(data, undisturbed):
    for point in POINTS:
        run(data, armed=f"{point}=kill@1")
    run_to_the_end(data)
    assert staged(data) == undisturbed


@pytest.mark.parametrize("point", ["recover.after_rename", "pack.before_read", "pack.after_publish"])
def test_the_recovery_time_is_that_of_the_first_rename_however_late_packing_is(data, undisturbed, point):
    run(data, armed=f"{point}=kill@1")
    run(data, armed="pack.before_remove_spool=kill@1", now=NOW + 50)
    run_to_the_end(data, now=NOW + 100)
    files = staged(data)
    assert lines_of(files) == EXPECTED
    go_names = {name for name in files if name[0].startswith("acme~test~") and "recovered" in name[0]}
    assert go_names == {name for name in undisturbed if name[0].startswith("acme~test~") and "recovered" in name[0]}


def test_a_lost_ledger_after_everything_changes_no_file_and_counts_them_anew(data, undisturbed):
    run_to_the_end(data)
    for path in data.root.glob("ledger.db*"):
        path.unlink()
    run_to_the_end(data)
    assert staged(data) == undisturbed
    check_the_books(data)


def test_a_lost_ledger_in_the_middle_counts_nothing_twice(data, undisturbed):
    run(data, armed="pack.before_ledger=kill@4")
    for path in data.root.glob("ledger.db*"):
        path.unlink()
    run_to_the_end(data)
    assert staged(data) == undisturbed
    check_the_books(data)
