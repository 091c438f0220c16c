"""What the tests of uploads share."""

import pytest

from tests.integration.upload_world import World


@pytest.fixture
async def world(tmp_path):
    """A data directory with staged files, an endpoint and a store."""
    world = World(tmp_path)
    await world.open()
    yield world
    await world.aclose()
