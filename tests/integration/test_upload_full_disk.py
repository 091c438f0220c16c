"""A full disk empties itself: the ledger keeps room for its commits, so what was delivered can be deleted."""

import os
import subprocess

import pytest
from structlog.testing import capture_logs

from apidanalytics.upload.ledger import Ledger
from tests.integration.upload_world import World


@pytest.fixture
def small_disk(tmp_path, require_tool):
    """Return a file system of 24 MB of its own."""
    if os.geteuid():
        pytest.skip("needs root, to mount a small file system")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run([require_tool("mount"), "-t", "tmpfs", "-o", "size=24m", "tmpfs", path], check=True)
    yield path
    subprocess.run([require_tool("umount"), "--lazy", path], check=True)


def fill(path):
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            pass  # as it should
    assert os.statvfs(path).f_bavail == 0


@pytest.mark.parametrize("restarted", [False, True])
async def test_files_are_delivered_from_a_disk_without_any_room(small_disk, restarted):
    world = World(small_disk)
    await world.open()
    world.stage(*["acme~prod", "zeta~test"] * 100, size=20_000)
    fill(small_disk / "filler")
    if restarted:
        world.ledger.close()
        world.ledger = Ledger.open(world.data.ledger, world.data.damaged, 0.0)
    with capture_logs() as logs:
        async with world.uploading():
            await world.delivered()
    assert logs == []
    await world.aclose()
