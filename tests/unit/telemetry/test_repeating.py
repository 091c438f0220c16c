"""Lines that repeat are let through so often, and the rest is counted and said."""

import io
import json
from types import SimpleNamespace

import pytest
import structlog

from apidanalytics.telemetry import logs
from apidanalytics.telemetry.repeating import LEFT_OUT, MOST_KEYS, SAME_LINES, Limit, Window
from tests.harness import wait_until


class FakeClock:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return 1_700_000_000.0

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limit(clock) -> Limit:
    limit = Limit(interval_seconds=60, most_lines=10, clock=clock)
    limit.start_timer = lambda: SimpleNamespace(cancel=lambda: None)
    return limit


def passes(limit, level="warning", event="disk.full", **fields) -> bool:
    try:
        limit(None, level, {"level": level, "event": event, **fields})
    except structlog.DropEvent:
        return False
    return True


def told(limit) -> list[dict]:
    out = io.StringIO()
    logs.configure(level="info", form="json", process="agent", stream=out)
    limit.tell()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_window_lets_so_many_through_and_after_the_interval_again(clock):
    window = Window(60, 2, clock)
    assert [window.allow("a") for _ in range(3)] == [True, True, False]
    assert window.allow("b")
    clock.passed = 59.9
    assert not window.allow("a")
    clock.passed = 60.0
    assert window.allow("a")


def test_a_window_remembers_a_bounded_number_of_keys(clock):
    window = Window(60, 1, clock)
    for number in range(MOST_KEYS + 1):
        window.allow(number)
    assert not window.allow(MOST_KEYS)
    assert window.allow(0), "it was forgotten"


def test_the_same_warning_goes_through_a_few_times_and_then_is_counted(limit):
    assert [passes(limit, error="EIO") for _ in range(5)] == [True] * SAME_LINES + [False] * 2
    assert passes(limit, error="ENOSPC"), "it says something else"
    (line,) = told(limit)
    assert (line["event"], line["level"], line["of"], line["lines"]) == (LEFT_OUT, "warning", "disk.full", 2)
    assert told(limit) == [], "it is said once"


def test_the_same_trouble_of_many_tenants_is_cut_at_the_limit(limit):
    shown = [passes(limit, event="upload.tenant_trouble", tenant=f"t{number}") for number in range(5000)]
    assert shown == [True] * 10 + [False] * 4990
    (line,) = told(limit)
    assert (line["of"], line["lines"]) == ("upload.tenant_trouble", 4990)


def test_changes_of_state_are_never_too_much_alike_and_debug_lines_never_too_many(limit):
    assert all(passes(limit, level="info", event="disk.room_again") for _ in range(10))
    assert not passes(limit, level="info", event="disk.room_again")
    assert all(passes(limit, level="debug", event="x") for _ in range(100))


def test_what_was_left_out_is_said_at_the_end_of_the_interval_without_another_line(clock):
    out = io.StringIO()
    tell = logs.configure(level="info", form="json", process="agent", stream=out, clock=clock, repeat_lines=1)
    log = structlog.get_logger()
    for number in range(4):
        log.warning("store.down", tenant=number)
    tell()
    assert [json.loads(line).get("lines") for line in out.getvalue().splitlines()] == [None, 3]


def test_a_timer_says_it_by_itself(clock):
    limit = Limit(interval_seconds=0.01, most_lines=1, clock=clock)
    out = io.StringIO()
    logs.configure(level="info", form="json", process="agent", stream=out)
    assert [passes(limit, level="info") for _ in range(2)] == [True, False]
    wait_until(lambda: out.getvalue().endswith("\n"), what="it is said")
    assert json.loads(out.getvalue())["lines"] == 1


def test_an_interval_of_nothing_leaves_nothing_out(clock):
    out = io.StringIO()
    logs.configure(level="info", form="json", process="agent", stream=out, clock=clock, repeat_seconds=0)
    for _ in range(300):
        structlog.get_logger().warning("store.down")
    assert len(out.getvalue().splitlines()) == 300
