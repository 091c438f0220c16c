"""The audit log: every entry whole and in order, rotated by size and age, and what cannot be written is said."""

import asyncio
import json
import os

import pytest

from apidanalytics.collection.audit import AuditLog, Rotation
from apidanalytics.collection.rate import RateLimit


class Clock:
    at = 1_800_000_000.0

    def now(self):
        return self.at

    monotonic = now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.log"


def log(path, clock, **rotation):
    limits = {"max_bytes": 1 << 20, "max_age_seconds": 3600.0, "keep": 10} | rotation
    return AuditLog(path, Rotation(**limits), clock)


def entries(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def ended(path):
    return sorted(path.parent.glob("audit.log.*"))


async def test_entries_have_a_time_and_many_at_once_stay_whole_and_in_order(path, clock):
    audit = log(path, clock)
    await asyncio.gather(*(audit.write({"n": n, "tenant": "größe~ä"}) for n in range(500)))
    assert entries(path) == [{"at": "2027-01-15T08:00:00.000Z", "n": n, "tenant": "größe~ä"} for n in range(500)]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_ends_before_it_is_too_large_and_only_so_many_are_kept(path, clock):
    audit = log(path, clock, max_bytes=200, keep=2)
    for n in range(20):
        clock.at += 1
        await audit.write({"n": n, "fill": "x" * 40})
    files = [*ended(path), path]
    assert len(files) == 3
    assert all(file.stat().st_size <= 200 for file in files)
    kept = [entry["n"] for file in files for entry in entries(file)]
    assert kept == list(range(20 - len(kept), 20))


async def test_two_that_end_in_one_second_are_both_kept(path, clock):
    audit = log(path, clock, max_bytes=50)
    for n in range(4):
        await audit.write({"n": n})
    assert len(ended(path)) == 3


async def test_a_file_ends_when_it_is_too_old_also_after_a_restart(path, clock):
    await log(path, clock).write({"n": 1})
    clock.at += 3599
    await log(path, clock).write({"n": 2})
    clock.at += 1
    await log(path, clock).write({"n": 3})
    (old,) = ended(path)
    assert [entry["n"] for entry in entries(old)] == [1, 2]
    assert [entry["n"] for entry in entries(path)] == [3]
    assert old.name == "audit.log.20270115T090000Z"


async def test_a_file_begun_by_a_clock_that_was_a_day_ahead_ends_once_the_clock_is_back(path, clock):
    clock.at += 86400
    await log(path, clock).write({"n": 1})
    clock.at -= 86400
    await log(path, clock).write({"n": 2})
    assert [entry["n"] for entry in entries(path)] == [2]


async def test_who_moves_the_file_away_gets_no_more_lines_into_it(path, clock):
    audit = log(path, clock)
    await audit.write({"n": 1})
    path.rename(path.with_name("moved"))
    await audit.write({"n": 2})
    assert [entry["n"] for entry in entries(path)] == [2]


async def test_what_cannot_be_written_is_an_error_and_later_ones_may_pass(path, clock):
    audit = log(path / "audit.log", clock)
    for n in range(2):
        with pytest.raises(OSError, match="No such file"):
            await audit.write({"n": n})
    path.mkdir()
    await audit.write({"n": 3})
    assert [entry["n"] for entry in entries(path / "audit.log")] == [3]


async def test_a_full_disk_leaves_no_half_line(path, clock, monkeypatch):
    audit = log(path, clock)
    await audit.write({"n": 1})
    real = os.write

    def write(descriptor, content):
        if len(content) > 10:
            return real(descriptor, bytes(content[:10]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        await audit.write({"n": 2})
    monkeypatch.undo()
    await audit.write({"n": 3})
    assert [entry["n"] for entry in entries(path)] == [1, 3]


async def test_a_rotation_that_fails_half_way_closes_no_file_of_somebody_else(path, clock, monkeypatch):
    audit = log(path, clock, max_bytes=50)
    await audit.write({"n": 1})
    closed = []
    close = os.close
    monkeypatch.setattr(os, "close", lambda descriptor: (closed.append(descriptor), close(descriptor)))
    monkeypatch.setattr(audit, "_remove_oldest", path.mkdir)  # the next file cannot be opened
    with pytest.raises(IsADirectoryError):
        await audit.write({"n": 2})
    assert len(closed) == 1


def test_a_token_has_its_rate_and_twice_as_much_at_once(clock):
    limit = RateLimit(10, clock)
    assert [limit.take("a") for _ in range(20)] == [0.0] * 20
    assert limit.take("a") == pytest.approx(0.1)
    assert limit.take("b") == 0
    clock.at += 0.5
    assert [limit.take("a") for _ in range(6)] == [0.0] * 5 + [pytest.approx(0.1)]
    clock.at += 1000
    assert [limit.take("a") for _ in range(21)][-1] > 0
