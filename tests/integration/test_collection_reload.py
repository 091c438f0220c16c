"""The collection service follows its file, also when that changes at an awkward moment."""

import asyncio
import json
import signal

import pytest

from apidanalytics.collection.settings import load
from apidanalytics.service import collection
from apidanalytics.service.agent import AgentState, wait_until
from apidanalytics.service.collection import CollectionService


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the file with this rate limit, and returns its path."""

    def write(rate_limit):
        path, part = tmp_path / "collection.yaml", tmp_path / "part"
        part.write_text(
            json.dumps(
                {
                    "listen": "127.0.0.1:0",
                    "rate_limit": rate_limit,
                    "stores": {"one": {"type": "local", "path": "one"}},
                    "tenants": [{"tenant": "acme~*", "store": "one"}],
                    "tokens": [{"name": "acme", "hash": "sha256:" + "0" * 64, "tenants": ["acme~*"]}],
                }
            )
        )
        part.rename(path)
        return path

    return write


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(collection, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(collection.gc, "freeze", lambda: None)  # the tests go on after it


async def run_until_rate_limit_is(wanted, service):
    def is_so():
        return service.agent.state is AgentState.RUNNING and service._built.settings.service["rate_limit"] == wanted

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(service.agent.run())
        await wait_until(lambda: running.done() or is_so())
        service.agent.signalled(signal.SIGTERM)
        assert await running == 0


@pytest.mark.parametrize("first", [20, -1], ids=["taken up", "refused"])
async def test_a_change_while_another_one_is_being_read_is_not_missed(write, monkeypatch, first):
    path = write(10)
    service = CollectionService(path, load(path), lambda _: write(first))

    def load_and_change(path):
        try:
            return load(path)
        finally:
            monkeypatch.setattr(collection, "load", load)
            write(30)

    monkeypatch.setattr(collection, "load", load_and_change)
    await run_until_rate_limit_is(30, service)


async def test_a_change_between_the_first_reading_and_the_start_is_not_missed(write):
    path = write(10)
    service = CollectionService(path, load(path), lambda _: None)
    write(30)
    await run_until_rate_limit_is(30, service)
