"""Rows of ``data_scope`` become tenants, or are counted."""

import itertools

import pytest
from structlog.testing import capture_logs

from apidanalytics.model import Tenant
from apidanalytics.scopes.flaws import FlawsLog
from apidanalytics.scopes.tenants import Flaw, Flaws, name_some, read_row, tabulate


def row(*texts: str | None) -> tuple[bytes | None, ...]:
    return tuple(None if text is None else text.encode() for text in texts)


def test_a_whole_row_is_a_scope_and_its_tenant() -> None:
    assert read_row(row("uuid", "id", "acme", "prod")) == ("uuid", Tenant(org="acme", env="prod", tenant_id="id"))


def test_a_null_tenant_id_is_an_empty_one() -> None:
    assert read_row(row("uuid", None, "acme", "prod")) == ("uuid", Tenant(org="acme", env="prod", tenant_id=""))


@pytest.mark.parametrize("hole", [0, 2, 3])
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_row_without_id_org_or_env_is_incomplete(hole: int, nothing: str | None) -> None:
    texts: list[str | None] = ["uuid", "id", "acme", "prod"]
    texts[hole] = nothing
    assert read_row(row(*texts)) is Flaw.INCOMPLETE


@pytest.mark.parametrize("place", range(4))
def test_a_row_that_is_not_utf8_is_no_scope(place: int) -> None:
    values = list(row("uuid", "id", "acme", "prod"))
    values[place] = b"\xff\xfe"
    assert read_row(values) is Flaw.NOT_TEXT


def test_what_is_wrong_is_counted_and_named_and_the_rest_is_served() -> None:
    rows = [
        row("a", "1", "acme", "prod"),
        row("b", "2", "acme", "prod"),
        row("c", "1", "x" * 200, "prod"),
        row(None, "1", "acme", "test"),
        row("d", "1", "", "test"),
        (b"e", b"1", b"\xff", b"test"),
    ]
    table = tabulate(rows)
    assert set(table.by_uuid) == {"a", "b"}
    assert table.flaws == Flaws(incomplete=2, not_text=1, too_long=(f"{'x' * 200}~prod",), ambiguous=("acme~prod",))


def test_tenants_that_uploads_cannot_tell_apart_are_named() -> None:
    rows = [
        row("a", "1", "acme~eu", "prod"),
        row("b", "2", "acme", "eu~prod"),
        row("c", "2", "acme", "eu~prod"),
        row("d", "3", "acme", "eu~test"),
        row("e", "4", "acme%7Eeu", "prod"),
        row("f", "4", "acme", "prod"),
    ]
    assert tabulate(rows).flaws == Flaws(alike=(("acme%7Eeu~prod", "acme~eu%7Eprod"),))


def test_rows_that_contradict_each_other_give_the_same_answers_in_any_order() -> None:
    rows = [
        row("a", "2", "acme", "prod"),
        row("a", "1", "acme", "prod"),
        row("a", "1", "acme", "dev"),
        row("b", "0", "acme", "prod"),
    ]
    tables = [tabulate(order) for order in itertools.permutations(rows)]
    assert all(table == tables[0] for table in tables)
    assert tables[0].by_uuid["a"] == Tenant(org="acme", env="dev", tenant_id="1")
    assert tables[0].by_name["acme", "prod"].tenant_id == "1"


def test_two_scopes_of_one_tenant_are_nothing_to_report() -> None:
    rows = [row("a", "1", "acme", "prod"), row("b", "1", "acme", "prod")]
    assert tabulate(rows).flaws == Flaws()


def test_a_log_line_names_the_first_few_only() -> None:
    assert name_some([str(n) for n in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
    assert name_some(["a", "b"]) == "a, b"


def test_each_kind_of_finding_is_one_log_line_said_once() -> None:
    flaws = Flaws(incomplete=2, not_text=1, too_long=("long~prod",), ambiguous=("acme~prod",), alike=(("a", "b"),))
    log = FlawsLog()
    with capture_logs() as lines:
        log.log(Flaws())
        log.log(flaws)
        log.log(flaws)
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("scopes.rows_skipped", "warning"),
        ("scopes.tenants_refused", "error"),
        ("scopes.tenants_ambiguous", "warning"),
        ("scopes.tenants_alike", "warning"),
    ]
    assert (lines[0]["incomplete"], lines[0]["not_text"]) == (2, 1)
    assert (lines[1]["tenants"], lines[1]["count"]) == ("long~prod", 1)
    assert (lines[3]["tenants"], lines[3]["count"]) == ("a and b", 1)


def test_findings_that_come_back_are_said_again() -> None:
    log = FlawsLog()
    with capture_logs() as lines:
        for flaws in (Flaws(incomplete=1), Flaws(), Flaws(incomplete=1)):
            log.log(flaws)
    assert [line["event"] for line in lines] == ["scopes.rows_skipped"] * 2
