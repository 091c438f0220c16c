"""The list of tenants: searched, ordered and cut."""

from apidanalytics.service.census import Tenants
from apidanalytics.service.tenant_rows import ordered, rows, select
from apidanalytics.upload.attempts import Trouble
from apidanalytics.upload.view import Backlog


def counts(accepted, failed=0):
    empty = {"records": 0, "bytes": 0, "files": 0}
    states = {
        state: dict(empty) for state in ("accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "dropped")
    }
    states["accepted"]["records"] = accepted
    states["failed"]["files"] = failed
    return states


CENSUS = Tenants(
    counts={"acme~prod": counts(5), "Globex~prod": counts(9), "initech~test": counts(1, failed=2)},
    staged={
        "acme~prod": Backlog(files=2, records=3, size_bytes=1, oldest_start_at=200),
        "Globex~prod": Backlog(files=1, records=3, size_bytes=1, oldest_start_at=100),
    },
    failed={"acme~prod": Backlog(files=1, records=3, size_bytes=1, oldest_start_at=150)},
)
TROUBLES = {"acme~prod": Trouble(tenant="acme~prod", since=7.0, reason="403", failures=3)}


def names(found):
    return [row["tenant"] for row in found]


def all_rows():
    return rows(CENSUS, TROUBLES, {"": 1.0, "quiet~prod": 5.0})


def test_every_tenant_has_a_row_one_that_is_paused_and_sent_nothing_too():
    found = {row["tenant"]: row for row in all_rows()}
    assert set(found) == {"acme~prod", "Globex~prod", "initech~test", "quiet~prod"}
    assert found["acme~prod"]["oldest_at"] == 150
    assert (found["acme~prod"]["trouble"], found["acme~prod"]["failures"]) == ("403", 3)
    assert found["quiet~prod"]["paused_since"] == 5.0


def test_a_search_looks_for_a_part_of_the_name_in_any_case():
    assert names(select(all_rows(), "gLOB", "all")) == ["Globex~prod"]


def test_only_those_in_trouble_or_with_data_that_waits():
    assert set(names(select(all_rows(), "", "trouble"))) == {"acme~prod", "initech~test"}
    assert set(names(select(all_rows(), "", "waiting"))) == {"acme~prod", "Globex~prod"}


def test_rows_are_ordered_by_name_by_records_or_by_age():
    assert names(ordered(all_rows(), "accepted", descending=True))[:2] == ["Globex~prod", "acme~prod"]
    assert names(ordered(all_rows(), "oldest", descending=True))[:2] == ["Globex~prod", "acme~prod"]
    assert names(ordered(all_rows(), "oldest", descending=False))[:2] == ["acme~prod", "Globex~prod"]
    assert names(ordered(all_rows(), "name", descending=True))[0] == "quiet~prod"
