"""What the tests of uploads share, and those of Apigee Sync."""

import pytest

from tests.integration.synced import Following
from tests.integration.upload_world import World


@pytest.fixture
async def world(tmp_path):
    """A data directory with staged files, an endpoint and a store."""
    world = World(tmp_path)
    await world.open()
    yield world
    await world.aclose()


@pytest.fixture
def following(collector):
    """What follows the module's collector; it is left settled."""
    following = Following(collector)
    yield following
    following.settle()
