"""When a watched file is read."""

from dataclasses import replace

import pytest

from apidanalytics.scopes.watch import MOST_SECONDS_WAITED, SETTLED_SECONDS, Memory, Seen, Verdict, decide

OLD, NEW = ((1, 1, 1, 1),), ((1, 1, 2, 1),)
SETTLED = Seen(signature=NEW, changed_at=1000.0, now=1000.0 + SETTLED_SECONDS, monotonic=50.0)
FRESH = replace(SETTLED, now=1000.0 + SETTLED_SECONDS / 2)
READ_BEFORE = Memory(known=OLD, is_first=False)


def test_a_file_that_looks_as_it_did_is_left_alone() -> None:
    assert decide(replace(SETTLED, signature=OLD), READ_BEFORE) is Verdict.NOTHING


def test_a_changed_file_is_read_once_it_has_been_left_alone_for_a_moment() -> None:
    assert decide(FRESH, READ_BEFORE) is Verdict.WAIT
    assert decide(SETTLED, READ_BEFORE) is Verdict.READ


def test_the_first_reading_waits_for_nothing() -> None:
    assert decide(FRESH, Memory()) is Verdict.READ


def test_a_file_that_is_written_to_all_the_time_is_read_in_the_end() -> None:
    waiting = replace(READ_BEFORE, waiting_since=FRESH.monotonic)
    assert decide(replace(FRESH, monotonic=FRESH.monotonic + MOST_SECONDS_WAITED - 0.1), waiting) is Verdict.WAIT
    assert decide(replace(FRESH, monotonic=FRESH.monotonic + MOST_SECONDS_WAITED), waiting) is Verdict.READ


def test_after_reading_comes_a_pause() -> None:
    memory = replace(READ_BEFORE, not_before=60.0)
    assert decide(replace(SETTLED, monotonic=59.9), memory) is Verdict.WAIT
    assert decide(replace(SETTLED, monotonic=60.0), memory) is Verdict.READ


def test_a_missing_file_is_news_once() -> None:
    missing = replace(SETTLED, signature=(), changed_at=0.0)
    assert decide(missing, READ_BEFORE) is Verdict.READ
    assert decide(missing, replace(READ_BEFORE, known=())) is Verdict.NOTHING


def test_what_could_not_be_read_is_read_again_though_it_looks_the_same() -> None:
    assert decide(SETTLED, replace(READ_BEFORE, known=None)) is Verdict.READ


@pytest.mark.parametrize(
    ("age", "settled"), [(SETTLED_SECONDS, True), (SETTLED_SECONDS - 0.01, False), (0.0, False), (-0.01, True)]
)
def test_a_change_is_settled_after_a_moment_and_one_in_the_future_counts_as_settled(age: float, settled: bool) -> None:
    assert Seen(signature=NEW, changed_at=5.0, now=5.0 + age, monotonic=0.0).is_settled is settled
