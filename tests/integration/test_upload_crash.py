"""A process that dies at any point of an upload: the next one finishes, and every object is there once, as it was."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import web

from apidanalytics import failpoints
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.shelves import Shelves
from apidanalytics.upload.states import State

ROOT = Path(__file__).parents[2]
POINTS = [point for point in failpoints.POINTS if point.startswith("upload.")]


async def finish(world):
    """Do the rest in this process: all that the one before has left it is on the disk."""
    async with world.uploading():
        await world.delivered()


async def run_child(world, armed=""):
    """Run an uploader until it is through or dead; return its exit code."""
    environment = {**os.environ, failpoints.VARIABLE: armed, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.upload_child",
        str(world.data.root),
        f"{world.endpoint.base}/base",
        env=environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(child.wait(), 100)


@pytest.mark.parametrize("hit", [1, 7])
@pytest.mark.parametrize("point", POINTS)
async def test_a_process_killed_at_any_point_leaves_what_the_next_one_finishes(world, point, hit):
    world.stage(*["acme~prod", "zeta~test"] * 6, starts=4)
    code = await run_child(world, f"{point}=kill@{hit}")
    # Results are settled in groups, so that the points after the ledger's may be hit less often than there are files.
    assert code == -signal.SIGKILL or (code == 0 and point == "upload.after_ledger" and hit > 1)
    await finish(world)
    assert {state.value: total.files for state, total in world.ledger.totals()["acme~prod"].items() if total.files} == {
        "uploaded": 6
    }


async def test_what_was_uploaded_and_not_yet_deleted_is_not_sent_again(world):
    world.stage("acme~prod")
    await run_child(world, "upload.after_ledger=kill@1")
    assert len(world.left()) == 1
    await finish(world)
    assert len(world.store.puts) == 1


@pytest.mark.parametrize("moved", ["before", "after"])
async def test_a_move_to_failed_that_was_cut_off_is_found_by_the_next_process(world, moved):
    """The rename comes first, the ledger second: both halves of a crash in between."""
    world.stage("acme~prod", "zeta~test")

    async def refuse(_request):
        return web.Response(status=404)

    world.endpoint.behave = refuse
    known = world.ledger.files(State.STAGED)[0]
    key = (known.file.directory, known.file.name)
    shelves = Shelves(DataDirectory(world.data.root))
    if moved == "before":
        shelves.fail([key])
    else:
        world.ledger.failed(known.id, 3, "404", 1.0)
    assert await run_child(world) == 0
    now = world.ledger.file(known.id)
    assert now.state is shelves.where(key)
    world.endpoint.behave = lambda _request: asyncio.sleep(0)
    async with world.uploading() as uploader:
        await uploader.retry_failed()
        await world.delivered()


async def test_a_ledger_that_was_lost_costs_nothing_but_history(world):
    """Packing adopts what stands in the directories; here by hand, as if it had."""
    world.stage(*["acme~prod", "zeta~test"] * 4)
    await run_child(world, "upload.after_ledger=kill@1")
    files = [known.file for known in world.ledger.files(State.STAGED) + world.ledger.files(State.UPLOADED)]
    world.ledger.close()
    for path in world.data.root.glob("ledger.db*"):
        path.unlink()
    world.ledger = Ledger.open(world.data.ledger, world.data.damaged, 0.0)
    assert world.ledger.is_new
    for file in files:
        if Shelves(world.data).where((file.directory, file.name)) is State.STAGED:
            world.ledger.adopted(file, State.STAGED, 1.0)
    assert await run_child(world) == 0
    assert not world.left()
    assert world.store.objects == world.expected
