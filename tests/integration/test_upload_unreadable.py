"""A staged file with a bad sector: an attempt each time it cannot be read, then failed/ with the reason."""

import errno
import os

import pytest

from apidanalytics.upload.content import READ_BYTES
from apidanalytics.upload.states import State
from tests.integration.upload_world import until


@pytest.fixture
def give_nothing_back(monkeypatch):
    """Let the second half of a file be unreadable; what stands before it is given, as Linux does."""
    bad = {}
    real = os.pread

    def pread(descriptor, length, offset):
        first = bad.get(os.fstat(descriptor).st_ino)
        if first is not None and offset >= first:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, length if first is None else min(length, first - offset), offset)

    monkeypatch.setattr(os, "pread", pread)

    def refuse(path):
        status = path.stat()
        bad[status.st_ino] = status.st_size // 2

    refuse.bad = bad
    return refuse


@pytest.mark.parametrize("size", [2_000, 600_000, 2 * READ_BYTES], ids=["small", "held", "large"])
async def test_a_file_that_cannot_be_read_ends_in_failed_with_the_reason_and_delays_nobody(
    world, size, give_nothing_back
):
    world.stage("acme~prod", "globex~prod", size=size)
    bad, whole = world.order
    (path,) = world.data.staging.glob("acme~prod~*/*")
    content = path.read_bytes()
    give_nothing_back(path)
    expected = [(3, "the file cannot be read: Input/output error")]

    def failed():
        return [(known.attempts, known.reason) for known in world.ledger.files(State.FAILED)]

    async with world.uploading():
        await until(lambda: world.total(State.UPLOADED) == 1, "the other one")
        await until(lambda: failed() == expected, "failed")
    assert world.store.objects == {whole: world.expected[whole]}
    give_nothing_back.bad.clear()
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.05)):
        await world.delivered()
    assert world.store.objects[bad] == content
