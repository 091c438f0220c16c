"""An S3 server that ends by itself, because another program has one of its ports, is started with others."""

from types import SimpleNamespace

import pytest

from apidanalytics.demo import seaweed
from apidanalytics.demo.child import ServiceError
from apidanalytics.demo.seaweed import STARTS, Seaweed

PROGRAM = """#!/bin/sh
echo "$@" >>starts
test "$(wc -l <starts)" -lt {good} || exec sleep 60
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return a function that makes a server whose start succeeds at this time, and not before."""

    def make(good):
        (tmp_path / "weed").write_text(PROGRAM.format(good=good))
        (tmp_path / "weed").chmod(0o700)
        done = SimpleNamespace(create_bucket=dict, put_object=dict, delete_object=dict)
        monkeypatch.setattr(seaweed, "_program", lambda: str(tmp_path / "weed"))
        monkeypatch.setattr(Seaweed, "client", lambda _: done)
        monkeypatch.setattr(Seaweed, "_answers", lambda _: len(starts(tmp_path)) == good)
        return Seaweed(tmp_path)

    return make


def starts(directory):
    file = directory / "starts"
    return file.read_text().splitlines() if file.exists() else []


def test_it_is_started_again_with_other_ports(server, tmp_path):
    with server(STARTS) as started:
        port = started.endpoint.rpartition(":")[2]
        assert f"-s3.port={port} " in starts(tmp_path)[-1]
    assert len(set(starts(tmp_path))) == STARTS


def test_one_that_ends_again_and_again_is_given_up(server, tmp_path):
    with pytest.raises(ServiceError, match="ended before it was ready"), server(STARTS + 1):
        pass
    assert len(starts(tmp_path)) == STARTS
