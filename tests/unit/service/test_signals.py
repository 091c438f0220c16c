"""Signals of a process that is several agents, and several programs, one after the other."""

import asyncio
import os
import signal

import pytest
import uvloop

from apidanalytics.service.signals import CHANGING, ENDING, Signals


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


def test_what_comes_while_they_are_held_waits_in_the_kernel(run):
    async def play():
        signals = Signals()
        signals.install()
        assert await signals.hold()
        os.kill(os.getpid(), signal.SIGUSR2)
        await asyncio.sleep(0.01)
        assert signals.waiting == []
        signals.install()
        await asyncio.sleep(0.05)
        return signals.waiting

    assert run(play()) == [signal.SIGUSR2]
