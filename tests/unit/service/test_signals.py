"""Signals of a process that is several agents, and several programs, one after the other."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
import uvloop

from apidanalytics.service.signals import CHANGING, ENDING, Signals
from tests.harness import ROOT


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    yield request.param
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, *CHANGING))


def test_a_signal_that_was_caught_just_before_the_program_is_replaced_is_not_lost(run):
    async def play():
        signals = Signals()
        signals.install()
        os.kill(os.getpid(), signal.SIGTERM)  # caught by now; the loop was not told of it
        assert not await signals.hold()
        return signals.waiting

    assert run(play()) == [signal.SIGTERM]


HELD = """
import asyncio, os, signal
from apidanalytics.service.signals import Signals

async def play():
    signals = Signals()
    signals.install()
    assert await signals.hold()
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.sleep(0.01)
    assert signals.waiting == []
    signals.install()
    while not signals.waiting:
        await asyncio.sleep(0.01)
    print(*signals.waiting)

asyncio.run(play())
"""


def test_what_comes_while_they_are_held_waits_in_the_kernel():
    """In a process without other threads, which would catch it at once, and tell the loop."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", HELD], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(signal.SIGUSR2)
