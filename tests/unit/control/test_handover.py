"""What one program leaves to the next one of the same process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from apidanalytics.control.handover import VARIABLE, Handover

SETTINGS = b'{"a secret": 1}'
READ = (
    "import os; from apidanalytics.control.handover import Handover as H; print(H.of_this_process(os.environ).settings)"
)


def open_files():
    """Count those in memory only: other tests' files may be closed meanwhile."""
    return sum("memfd:" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


def test_settings_are_left_in_memory_and_not_in_the_environment():
    environment: dict[str, str] = {}
    handover = Handover(settings=SETTINGS)
    handover.leave(environment)
    assert "secret" not in environment[VARIABLE]
    passed = json.loads(environment[VARIABLE])["settings"]
    found = subprocess.run(
        [sys.executable, "-c", READ], env=os.environ | environment, pass_fds=[passed], check=True, capture_output=True
    )
    handover.abandon()
    assert found.stdout.strip() == repr(SETTINGS).encode()


def test_a_program_that_left_none_leaves_none():
    environment: dict[str, str] = {}
    Handover().leave(environment)
    assert Handover.of_this_process(environment).settings is None
    assert environment == {}


def test_trying_again_and_again_keeps_one_file_open():
    handover = Handover(settings=SETTINGS)
    handover.leave({})
    before = open_files()
    for _ in range(9):
        handover.leave({})
    assert open_files() == before
    handover.abandon()
    assert open_files() == before - 1
