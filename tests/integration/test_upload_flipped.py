"""A bit that flips on the disk between packing and sending."""

import pytest
from structlog.testing import capture_logs

from apidanalytics.upload.content import READ_BYTES
from apidanalytics.upload.states import State
from tests.integration.upload_world import until


@pytest.mark.parametrize("size", [2_000, 600_000, 2 * READ_BYTES], ids=["small", "held", "large"])
@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
async def test_a_file_whose_bit_flipped_on_the_disk_never_becomes_an_object_and_delays_nobody(world, size, place):
    world.stage("acme~prod", "globex~prod", size=size)
    _, whole = world.order
    (path,) = world.data.staging.glob("acme~prod~*/*")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with capture_logs() as logs:
        async with world.uploading():
            await until(lambda: world.total(State.UPLOADED) == world.total(State.SET_ASIDE) == 1, "one sent, one aside")
    assert world.store.objects == {whole: world.expected[whole]}
    assert (world.data.damaged / path.name).read_bytes() == content
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["upload.file_changed"]
    (known,) = world.ledger.files(State.SET_ASIDE)
    assert "XXH3" in known.reason
