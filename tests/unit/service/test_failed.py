"""Questions about failed files while the service starts."""

import pytest

from apidanalytics.service import failed


@pytest.mark.parametrize("command", ["failed.list", "failed.count", "failed.find", "failed.retry"])
async def test_a_service_that_starts_says_so(command):
    answer = await failed.answer({"command": command}, None, None)
    assert answer == {"error": "the service is starting; try again in a moment", "kind": "unavailable"}
