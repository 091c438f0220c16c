"""What is told of spools whose directories cannot be listed."""

from types import SimpleNamespace

import pytest

from apidanalytics.layout import DataDirectory
from apidanalytics.service.census import FRESH_SECONDS, Census
from apidanalytics.service.commands import COMMANDS, Command, Commands
from apidanalytics.service.queries import Query


@pytest.fixture
def data(tmp_path):
    directory = DataDirectory(tmp_path / "ax")
    directory.create()
    (directory.tmp / "000000000001.spool").touch()
    return directory


def census_of(data, seconds):
    return Census(
        data,
        SimpleNamespace(is_accepted=lambda _: False),
        SimpleNamespace(sums=dict, oldest=lambda _: None, last_settled_at=lambda _: None),
        SimpleNamespace(monotonic=lambda: seconds[-1]),
    )


def unlist(directory):
    directory.rmdir()
    directory.touch()


def spooled(census):
    return census.totals().counts["spooled"]["files"]


def test_what_was_listed_last_counts_while_a_directory_cannot_be_listed(data):
    seconds = [0.0]
    census = census_of(data, seconds)
    assert spooled(census) == 1
    unlist(data.sealed)
    seconds.append(FRESH_SECONDS)
    assert spooled(census) == 1


def test_what_was_never_listed_is_an_error_and_not_nothing(data):
    unlist(data.sealed)
    with pytest.raises(NotADirectoryError):
        census_of(data, [0.0]).totals()


async def test_a_command_that_cannot_read_the_directory_says_so(monkeypatch):
    async def fail(_insight, _query):
        raise NotADirectoryError(20, "Not a directory", "/ax/sealed")

    monkeypatch.setitem(COMMANDS, "failing", Command(Query, fail))
    answer = await Commands(None).answer({"command": "failing"})
    assert answer["kind"] == "unavailable"
    assert answer["error"] == "the data directory cannot be read: [Errno 20] Not a directory: '/ax/sealed'"
