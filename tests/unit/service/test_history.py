"""The last hour: rates, percentiles, and what was refused lately."""

import pytest

from apidanalytics.health.facts import Refusals
from apidanalytics.service.history import History, Sample
from apidanalytics.telemetry.histogram import SECONDS, Histogram


def totals(uploaded=0, spooled=0):
    empty = {"records": 0, "bytes": 0, "files": 0}
    states = ("accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "dropped")
    counts = {state: dict(empty) for state in states}
    counts["uploaded"]["records"] = uploaded
    counts["spooled"]["records"] = spooled
    return counts


def sample(second, *, records=0, requests=None, seconds=(), uploaded=0, spooled=0, oldest_at=None, restarts=0):
    histogram = Histogram()
    for value in seconds:
        histogram.observe(value)
    return Sample(
        at=1000.0 + second,
        monotonic=float(second),
        counters={"records": records, "requests": requests or {}, "request_seconds": histogram.as_counters()},
        totals=totals(uploaded, spooled),
        oldest_at=oldest_at,
        disk_free_bytes=7,
        restarts={0: restarts},
    )


def test_rates_are_those_of_the_last_seconds():
    history = History()
    assert set(history.rates().values()) == {0.0}
    for second, records in [(0, 0), (5, 1000), (10, 1100), (15, 1200), (20, 1300), (25, 1400)]:
        history.add(sample(second, records=records, uploaded=records))
    assert history.rates()["accepted_records_per_second"] == pytest.approx(20)
    assert history.rates()["uploaded_records_per_second"] == pytest.approx(20)


def test_a_total_that_goes_back_is_no_negative_rate():
    history = History()
    history.add(sample(0, uploaded=100))
    history.add(sample(5, uploaded=0))
    assert history.rates()["uploaded_records_per_second"] == 0


def test_series_have_one_value_a_sample_and_percentiles_of_what_came_in_between():
    history = History()
    history.add(sample(0, seconds=[0.001]))
    history.add(sample(5, seconds=[0.001] + [0.015] * 100, spooled=5, oldest_at=990.0))
    history.add(sample(10, seconds=[0.001] + [0.015] * 100))
    series = history.series()
    assert {len(values) for values in series.values()} == {2}
    assert 0.01 < series["request_p50_seconds"][0] <= 0.02
    assert series["request_p99_seconds"][1] is None
    assert series["backlog_records"] == [5, 0]
    assert series["backlog_age_seconds"] == [15, None]
    assert series["disk_free_bytes"] == [7, 7]


def test_what_was_refused_in_the_last_minute_is_told_by_kind_and_what_is_older_is_not():
    history = History()
    assert history.refusals() == Refusals()
    history.add(sample(0, requests={"503 OVERLOADED": 1}))
    history.add(sample(30, requests={"503 OVERLOADED": 5}))
    after = {
        "503 OVERLOADED": 7,
        "503 STORAGE_UNAVAILABLE": 1,
        "500 INTERNAL_SERVER_ERROR": 3,
        "503 NOT_READY": 9,
        "0": 2,
    }
    history.add(sample(85, requests={**after, "400 BAD_DATA": 100}))
    assert history.refusals() == Refusals(overloaded=2, other_5xx=3, unanswered=2)


def test_an_hour_is_kept():
    history = History()
    for second in range(0, 3 * 3600, 5):
        history.add(sample(second))
    assert len(history.series()["at"]) == 3600 / 5
    assert SECONDS[-1] >= 60


def test_restarts_are_those_of_the_last_hour():
    history = History()
    assert history.restarts() == {}
    for second, restarts in [(0, 1), (5, 4), (3600, 4)]:
        history.add(sample(second, restarts=restarts))
    assert history.restarts() == {0: 3}
    history.add(sample(3606, restarts=4))
    assert history.restarts() == {0: 0}
