"""Everything that can go wrong, at once, for a while; then every record is accounted for.

``make soak ARGS="-k faults --minutes 30 --seed 7"`` plays for long; what is played follows from the seed.
"""

import pytest

from tests.faults.play import run
from tests.faults.world import World

SHORT_SECONDS = 14.0
SHORT_SEED = 1


@pytest.fixture
def play(data_directory, free_port, require_tool, capsys):
    """Return a function that plays a seed for so many seconds and asserts that the promise held."""
    strace = require_tool("strace")

    def say(text):
        with capsys.disabled():
            print(text, flush=True)

    def play_and_judge(seed, seconds, say=say):
        with World(data_directory, free_port) as world:
            summary = run(world, seed=seed, seconds=seconds, strace=strace, say=say)
        say(f"\n{summary}\n")
        replay = f'make soak ARGS="-k faults --minutes {seconds / 60:g} --seed {seed}"'
        assert summary.holds, f"{summary}\nReplay it: {replay}"
        assert summary.judgement.records["acknowledged"]

    return play_and_judge


@pytest.mark.timeout(500)
def test_a_quarter_of_a_minute_of_every_kind_of_fault_loses_nothing_and_doubles_nothing(play):
    play(SHORT_SEED, SHORT_SECONDS, say=print)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_minutes_of_every_kind_of_fault_lose_nothing_and_double_nothing(play, pytestconfig):
    seed = pytestconfig.getoption("seed")
    print(f"seed {seed}")
    play(seed, pytestconfig.getoption("minutes") * 60)
