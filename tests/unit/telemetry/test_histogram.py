"""Distributions: where a value is counted, and what can be said of it afterwards."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.telemetry.histogram import SECONDS, SIZES, Histogram, quantile


def test_a_value_is_counted_under_the_first_bound_that_is_not_below_it():
    histogram = Histogram(SIZES)
    for value in (1, 2, 3, 513):
        histogram.observe(value)
    assert histogram.counts == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert histogram.sum == 519


def test_a_clock_that_was_set_back_counts_as_nothing():
    histogram = Histogram()
    histogram.observe(-5.0)
    assert histogram.counts[0] == 1
    assert histogram.sum == 0


def test_there_is_no_quantile_of_nothing():
    assert quantile(SECONDS, Histogram().counts, 0.5) is None


@given(values=st.lists(st.floats(0, 100), min_size=1), shares=st.lists(st.floats(0.01, 1), min_size=2))
def test_quantiles_grow_with_the_share_and_lie_between_the_bounds_around_the_true_one(values, shares):
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    found = [quantile(SECONDS, histogram.counts, share) for share in sorted(shares)]
    assert all(one <= other for one, other in pairwise(found))
    most = quantile(SECONDS, histogram.counts, 1.0)
    assert most >= min(max(values), SECONDS[-1]) - 1e-9
