"""A large backlog costs a file no more than a small one: no directory is listed again, and no row is read twice."""

import asyncio
import os
import random
import sys

import pytest

from apidanalytics.upload.outcome import Delivered
from apidanalytics.upload.states import State
from apidanalytics.upload.uploader import Uploader
from tests.integration.upload_world import World, until


class Anywhere:
    """Takes everything, and counts."""

    def __init__(self):
        self.delivered = 0

    async def deliver(self, delivery):
        self.delivered += 1
        return Delivered(etag=delivery.md5)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.ledger.close()


def uploader_of(world, **changed):
    return Uploader(
        data=world.data,
        ledger=world.ledger,
        collection=Anywhere(),
        settings=world.settings(**changed),
        clock=world.clock,
        random=random.random,
    )


class Counted:
    """Directories that are listed, rows that are asked for in the ledger."""

    def __init__(self, monkeypatch, world):
        self.listings = self.rows = 0
        scandir, waiting = os.scandir, world.ledger.waiting

        def counted_scandir(*arguments):
            # shutil, pytest and pathlib may list what they like.
            self.listings += "apidanalytics" in sys._getframe(1).f_code.co_filename
            return scandir(*arguments)

        def counted_waiting(after=0):
            found = waiting(after)
            self.rows += len(found)
            return found

        monkeypatch.setattr(os, "scandir", counted_scandir)
        monkeypatch.setattr(world.ledger, "waiting", counted_waiting)


@pytest.mark.parametrize(("tenants", "files"), [(1, 10), (100, 1500)])
async def test_each_directory_is_listed_once_and_each_row_read_once(world, monkeypatch, tenants, files):
    world.stage(*[f"t{n % tenants}~x" for n in range(files)], starts=5)
    directories = len(list(world.data.staging.iterdir()))
    counted = Counted(monkeypatch, world)
    uploader = uploader_of(world, interval_seconds=0.01)
    task = asyncio.create_task(uploader.run())
    await until(lambda: world.total(State.UPLOADED) == files, "the backlog")
    at_start = counted.listings
    assert at_start <= 2 + 2 * directories, "both places, once"
    looks = uploader._looks
    await until(lambda: uploader._looks > looks + 5, "some looks")
    world.stage("t0~x")
    await until(lambda: world.total(State.UPLOADED) == files + 1, "one more")
    assert counted.listings == at_start, "looking lists nothing"
    assert counted.rows == files + 1, "and reads only what is new"
    await uploader.stop(1.0)
    await task
    assert world.left() == []
