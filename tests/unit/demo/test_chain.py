"""What ``demo --s3`` starts ends with it, also when something on the way there fails."""

import pytest

from apidanalytics.demo.chain import S3Chain


class Store:
    runs = False

    def start(self):
        self.runs = True

    def stop(self):
        self.runs = False

    def client(self):
        assert self.runs
        raise ValueError("no such endpoint")


def test_the_store_is_ended_when_no_client_can_be_made(tmp_path, monkeypatch):
    store = Store()
    monkeypatch.setattr("apidanalytics.demo.chain.Seaweed", lambda _directory: store)
    with pytest.raises(ValueError, match="endpoint"), S3Chain(tmp_path, ["acme~prod"]):
        pass
    assert not store.runs
