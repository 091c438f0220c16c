"""The collection service follows its file, also when that changes at an awkward moment."""

import asyncio
import json
import signal

import pytest
from structlog.testing import capture_logs

from apidanalytics.collection.audit import AuditLog
from apidanalytics.collection.settings import load
from apidanalytics.service import collection
from apidanalytics.service.agent import AgentState, wait_until
from apidanalytics.service.collection import CollectionService
from tests.integration.http_server import make_certificate


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the file with this rate limit, and returns its path."""

    def write(rate_limit, **more):
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
                | more
            )
        )
        part.rename(path)
        return path

    return write


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    monkeypatch.setattr(collection, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(collection.gc, "freeze", lambda: None)  # the tests go on after it


async def run_until_rate_limit_is(wanted, service, *, meanwhile=None):
    def is_so():
        return service.agent.state is AgentState.RUNNING and service._built.settings.service["rate_limit"] == wanted

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(service.agent.run())
        if meanwhile is not None:
            await meanwhile()
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


@pytest.fixture
def refused():
    """Return a function that waits until a reload was refused, and returns how often."""
    with capture_logs() as logs:

        async def refused():
            def number():
                return sum(entry["event"] == "collection.reload_refused" for entry in logs)

            await wait_until(number)
            return number()

        yield refused


BUCKET = {
    "type": "s3",
    "bucket": "analytics",
    "region": "eu-west-1",
    "access_key_id": "us",
    "secret_access_key_file": "secret",
}


async def test_a_file_that_a_refused_one_names_is_waited_for(write, tmp_path, refused):
    path = write(10)
    service = CollectionService(path, load(path), lambda _: write(20, stores={"one": BUCKET}))

    async def meanwhile():
        assert await refused() == 1
        (tmp_path / "secret").write_text("s3cr3t")

    await run_until_rate_limit_is(20, service, meanwhile=meanwhile)


async def test_so_is_a_certificate_and_what_was_made_meanwhile_is_closed(
    write, tmp_path, refused, monkeypatch, require_tool
):
    openssl = require_tool("openssl")
    closed = []
    monkeypatch.setattr(AuditLog, "close", lambda log: closed.append(log._path.name))
    path = write(10)
    change = {"audit_log": "other.log", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    service = CollectionService(path, load(path), lambda _: write(20, **change))

    async def meanwhile():
        assert await refused() == 1
        assert closed == ["other.log"]
        make_certificate(openssl, tmp_path)

    await run_until_rate_limit_is(20, service, meanwhile=meanwhile)
