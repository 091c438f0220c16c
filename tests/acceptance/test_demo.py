"""``apidanalytics demo`` as a user runs it, against the real service."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness import session_members

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def start(data_directory):
    """Start the demonstration in a session of its own, in an empty directory."""
    started = []

    def start(*options: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "apidanalytics", "demo", *options],
            cwd=data_directory,
            env={**os.environ, "PYTHONPATH": str(SRC)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def services_below(directory: Path) -> list[int]:
    """Return the pids of living processes whose data lies below a directory."""
    sessions = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"APID_LOCAL_STORAGE_PATH={directory}".encode() in path.read_bytes():
                sessions.append(int(path.parent.name))
        except OSError:
            continue  # it ended, or is not ours to look at
    return sessions


def test_the_promise_is_kept_over_a_real_s3_server_too(start, data_directory):
    process = start("--s3", "--seconds", "2", "--rate", "1500")
    page, _ = process.communicate(timeout=110)
    assert process.returncode == 0, page
    objects = re.search(r"all (\d+) objects of the bucket are read back", page)
    (played,) = data_directory.glob("data/demo-*")
    entries = (played / "collection-audit.log").read_text().splitlines()
    assert 0 < int(objects[1]) <= len(entries)
    assert all('"encrypt":true' in entry for entry in entries)
    assert "Every one of" in page


def test_the_promise_is_kept_and_shown(start, data_directory):
    process = start("--seconds", "5")
    page, _ = process.communicate(timeout=100)
    assert process.returncode == 0, page
    assert "SIGKILL to ingest worker" in page
    assert "another worker runs in its place" in page
    accepted, delivered, lost, doubled, others = re.search(
        r"\n all +([\d,]+) +([\d,]+) +(\d+) +(\d+) +(\d+)", page
    ).groups()
    assert accepted == delivered != "0"
    assert (lost, doubled, others) == ("0", "0", "0")
    for tenant in ("acme~prod", "globex~prod", "initech~test"):
        assert re.search(rf"\n {tenant} +[1-9]", page), page
    (lake,) = data_directory.glob("data/demo-*/lake")
    assert str(lake.resolve()) in page
    assert services_below(data_directory.resolve()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_process_behind(start, data_directory, number):
    process = start("--seconds", "60")
    lines = iter(process.stdout.readline, "")
    assert any("the service is ready" in line for line in lines)
    assert services_below(data_directory.resolve())
    time.sleep(0.3)
    process.send_signal(number)
    page, _ = process.communicate(timeout=60)
    assert process.returncode == 130, page
    assert "interrupted; the service is stopped" in page
    assert services_below(data_directory.resolve()) == []
    assert session_members(process.pid) == []
