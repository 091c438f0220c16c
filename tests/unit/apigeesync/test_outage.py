"""While Apigee Sync is away the log says what is new, at each change and once an hour, and what to do."""

import asyncio
from itertools import cycle, islice

import pytest
from structlog.testing import capture_logs

from apidanalytics.apigeesync.errors import AccountRefusedError, SyncError
from apidanalytics.apigeesync.outage import MOST_REASONS, REMIND_SECONDS, Outage
from apidanalytics.apigeesync.state import SyncState
from apidanalytics.apigeesync.token import TokenKeeper
from apidanalytics.apigeesync.token_life import Token

UNIX = 1_800_000_000.0
MINUTE = 60.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return UNIX + self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def minutes_said(outage, clock, reasons):
    """Return the minutes in which something is said, with an attempt in each."""
    said = []
    for minute, reason in enumerate(reasons):
        clock.seconds = minute * MINUTE
        if outage.failed(reason):
            said.append(minute)
    return said


def test_what_was_said_is_said_again_after_an_hour(clock):
    outage = Outage(clock)
    assert minutes_said(outage, clock, ["refused"] * 150) == [0, 60, 120]
    assert (outage.since, outage.seconds, outage.attempts) == (UNIX, 149 * MINUTE, 150)


def test_reasons_that_take_turns_are_said_once_each(clock):
    assert minutes_said(Outage(clock), clock, islice(cycle(["refused", "no answer"]), 60)) == [0, 1]


def test_of_reasons_without_end_a_few_are_said_and_then_one_an_hour(clock):
    said = minutes_said(Outage(clock), clock, [f"trace {n}" for n in range(90)])
    assert said == [*range(MOST_REASONS), MOST_REASONS - 1 + REMIND_SECONDS / MINUTE]


def test_after_its_end_all_is_new(clock):
    outage = Outage(clock)
    assert outage.failed("refused")
    outage.end()
    assert (outage.since, outage.seconds) == (None, 0.0)
    assert outage.failed("refused")


def test_an_hour_without_upstream_is_a_few_lines_whatever_fails(clock):
    state = SyncState(clock=clock, version="1_a")
    with capture_logs() as lines:
        for minute in range(60):
            clock.seconds = minute * MINUTE
            state.resyncing("the scopes changed")
            state.failed(f"no connection: {minute % 2}", 60.0)
        clock.seconds = 60 * MINUTE
        state.reached()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("sync.snapshot_needed", "info"),
        ("sync.failed", "warning"),
        ("sync.failed", "warning"),
        ("sync.mended", "info"),
    ]
    assert (lines[-1]["failed_for_seconds"], lines[-1]["attempts"]) == (3600.0, 60)
    state.resyncing("the scopes changed")
    assert state.outage.since is None


def test_without_anything_to_serve_it_is_an_error_and_says_that_batches_are_refused(clock):
    with capture_logs() as lines:
        SyncState(clock=clock).failed("no connection", 1.0)
    (line,) = lines
    assert (line["log_level"], line["serving"]) == ("error", None)
    assert "every batch gets 500" in line["hint"]


def test_what_fails_may_be_the_disk_here(clock):
    with capture_logs() as lines:
        SyncState(clock=clock, version="1_a").failed("OSError: [Errno 28] No space left on device", 1.0)
    assert "the disk here" in lines[0]["hint"]


async def lines_of_an_hour(clock, error):
    """Return the lines of a keeper whose token ends in the tenth minute, with one failing attempt in each minute."""
    ended = asyncio.Event()
    answers = [Token(text="t", obtained_at=0.0, lifetime_seconds=10.5 * MINUTE)]

    async def fetch():
        if answers:
            return answers.pop()
        clock.seconds += MINUTE
        if clock.seconds >= 60 * MINUTE:
            ended.set()
            return Token(text="u", obtained_at=clock.seconds, lifetime_seconds=1e6)
        raise error

    keeper = TokenKeeper(fetch, clock=clock, cap_seconds=0.0, random=lambda: 0.0)
    with capture_logs() as lines:
        running = asyncio.create_task(keeper.run())
        async with asyncio.timeout(30):
            while keeper.good() is None:
                await asyncio.sleep(0)
            keeper._wanted.set()  # its renewal is due
            await ended.wait()
            while keeper.last_error:
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return lines


async def test_of_an_hour_without_a_new_token_the_beginning_the_end_of_the_old_one_and_the_end_are_said(clock):
    begin, none_left, end = await lines_of_an_hour(clock, SyncError("token: status 503"))
    assert [line["event"] for line in (begin, none_left, end)] == ["sync.token_failed"] * 2 + ["sync.token_mended"]
    assert (begin["reason"], begin["attempts"], begin["good_for_seconds"]) == ("token: status 503", 1, 9.5 * MINUTE)
    assert begin["hint"].startswith("the old token serves until it ends")
    assert "apigeesync_proxy_server_base" in begin["hint"]
    assert (none_left["failing_for_seconds"], none_left["good_for_seconds"]) == (10 * MINUTE, 0.0)
    assert none_left["hint"].startswith("until there is one, scope data stay as they are")
    assert (end["failed_for_seconds"], end["attempts"]) == (59 * MINUTE, 59)


async def test_of_a_refused_account_it_is_said_which_settings_to_check(clock):
    begin, *_ = await lines_of_an_hour(clock, AccountRefusedError("token: status 401 invalid_client"))
    assert begin["hint"].endswith("check apigeesync_consumer_key and apigeesync_consumer_secret")
