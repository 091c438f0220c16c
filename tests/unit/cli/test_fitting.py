"""A table that does not fit becomes a few lines for each row; no name is cut, and nothing is lost."""

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from apidanalytics.cli import fitting, flow_view
from apidanalytics.cli.drawing import table
from apidanalytics.cli.fitting import Fitting

COLUMNS = ["tenant", "staged", "failed", "oldest"]
TENANT = "a-long-organization~production"


def drawn(what, width, *, is_terminal=True):
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=is_terminal, color_system=None).print(what)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def tenants(**options):
    made = table("tenant", "accepted", "spooled", "staged", "failed", title="who")
    made.add_row(Text("acme~prod"), "1,234,567", "-", "12", "", style="yellow")
    made.add_row(Text(TENANT), "4", "-", "-", "-")
    return Fitting(made, **options)


def test_where_there_is_room_it_is_a_table():
    head, _, *rows, _ = drawn(tenants(), 80)[2:]
    assert head.split() == ["tenant", "accepted", "spooled", "staged", "failed"]
    assert [row.split() for row in rows] == [["acme~prod", "1,234,567", "-", "12"], [TENANT, "4", "-", "-", "-"]]


def test_through_a_pipe_it_is_a_table_and_is_not_measured(monkeypatch):
    monkeypatch.setattr(fitting, "_least_width", lambda *_: pytest.fail("measured"))
    assert drawn(tenants(), 60, is_terminal=False)[2].split()[0] == "tenant"


def test_a_long_name_is_folded_before_the_table_is_given_up():
    lines = drawn(tenants(), 68)
    assert lines[2].split()[0] == "tenant"
    assert [line.split()[0] for line in lines[5:7]] == ["a-long-organization~produc", "tion"]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, ["who", "acme~prod", "  accepted 1,234,567   staged 12", TENANT, "  accepted 4"]),
        (24, ["who", "acme~prod", "  accepted 1,234,567", "  staged 12", TENANT[:24], TENANT[24:], "  accepted 4"]),
    ],
)
def test_where_there_is_none_each_row_is_its_name_and_what_there_is_beneath(width, shown):
    assert drawn(tenants(), width) == shown


def test_what_has_to_add_up_is_said_whole():
    assert drawn(tenants(keeps_dashes=True), 60)[2:5] == [
        "  accepted 1,234,567   spooled -   staged 12   failed",
        TENANT,
        "  accepted 4   spooled -   staged -   failed -",
    ]


def test_a_row_that_begins_with_a_number_says_of_what():
    made = table("id", "tenant", "records")
    made.add_row("17", Text("acme~prod"), "3")
    assert drawn(Fitting(made), 20) == ["id 17", "  tenant acme~prod", "  records 3"]


def test_a_uuid_is_not_folded():
    uuid = "7b1c4b9e-2a51-4a6b-9f0e-3d1f6f0f2c11"
    made = table("scope", "org", "env")
    made.add_row(Text(uuid), Text("acme"), Text("prod"))
    assert any(uuid in line for line in drawn(Fitting(made), 60))
    assert drawn(Fitting(made), 40) == [uuid, "  org acme   env prod"]


@pytest.mark.parametrize(
    ("width", "columns"),
    [(40, ["tenant", "oldest"]), (60, COLUMNS), (80, [*COLUMNS, "last error"])],
)
def test_who_waits_has_less_beside_its_name_on_a_narrow_terminal(width, columns):
    none = {"records": 0}
    row = {"tenant": "acme~production-eu", "counts": {"staged": none, "failed": none}, "oldest_at": None}
    answer = {"all": 1, "tenants": [row | {"last_error": "a long story " * 9, "paused_since": None}]}
    lines = drawn(flow_view.tenants(answer, 0.0, width), width)
    assert re.split(r"\s{2,}", lines[2].strip()) == columns
    assert "acme~production-eu" in lines[4]
    assert len(lines[4]) <= width
