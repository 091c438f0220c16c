"""Between collector and store everything goes wrong at once: nothing lost, nothing doubled, memory flat, soon over."""

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from apidanalytics.upload.states import State
from tests.integration.chaotic_proxy import ChaoticProxy, Weather
from tests.integration.upload_world import World, until

ROOT = Path(__file__).parents[2]
MOST_MEGABYTES = 80


async def weathered(tmp_path, seed, *, files, storm_seconds):
    """Upload through a storm, in a process of its own; return what that process said of itself."""
    world, dice = World(tmp_path), random.Random(seed)
    await world.open()
    proxy = ChaoticProxy(world.store.port, dice)
    await proxy.open()
    world.endpoint.store = SimpleNamespace(base=proxy.base)
    for _ in range(files):
        world.stage(f"t{dice.randrange(6)}~x", size=dice.choice([100, 20_000, 700_000, 3_000_000]))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.upload_child", str(world.data.root), f"{world.endpoint.base}/base"),
        "until-empty",
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = asyncio.create_task(child.communicate())
    try:
        proxy.stormy = True
        await until(lambda: world.endpoint.signed, "it has begun")
        await asyncio.sleep(storm_seconds)
        await until(lambda: set(Weather) - set(proxy.met) <= {Weather.FINE}, "every bad weather was met")
        proxy.stormy = False
        await proxy.break_all()
        out, errors = await asyncio.wait_for(said, 60 + files * 0.1)
        assert child.returncode == 0, errors.decode()
        assert world.store.objects == world.expected, "each is there, as it was"
        assert world.is_delivered()
        assert world.total(State.SET_ASIDE) == 0
        # The last line is the child's own; those before are its log.
        return json.loads(out.splitlines()[-1]), proxy.met
    finally:
        if child.returncode is None:
            child.kill()
            await said
        await proxy.aclose()
        await world.aclose()


async def test_a_storm_between_collector_and_store_loses_and_doubles_nothing(tmp_path):
    said, met = await weathered(tmp_path, 1, files=80, storm_seconds=4)
    assert set(met) == set(Weather), "every weather was met"
    assert said["peak_megabytes"] < MOST_MEGABYTES


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
async def test_long_storms_lose_and_double_nothing(tmp_path, seed):
    said, _ = await weathered(tmp_path, seed, files=400, storm_seconds=30)
    assert said["peak_megabytes"] < MOST_MEGABYTES
