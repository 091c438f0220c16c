"""The steps of the agent that have to hold when a part of them fails."""

from types import SimpleNamespace

import pytest

from apidanalytics.service.build_agent import AgentParts


async def test_what_runs_for_the_workers_ends_also_when_they_cannot_be_stopped():
    ended = []

    async def fail(_seconds):
        raise OSError("cannot stop them")

    async def cancel(name):
        ended.append(name)

    parts = object.__new__(AgentParts)
    parts._crew = SimpleNamespace(stop=fail)
    parts.agent = SimpleNamespace(cancel=cancel)
    with pytest.raises(OSError, match="cannot stop them"):
        await parts._stop_workers(1.0)
    assert sorted(ended) == ["access", "disk"]
