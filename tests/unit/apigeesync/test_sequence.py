"""Sequences are compared as numbers, never as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.apigeesync.sequence import Sequence

NUMBER = st.integers(0, 2**32 - 1)


@given(st.tuples(NUMBER, NUMBER, NUMBER))
def test_what_is_written_reads_back(numbers: tuple[int, int, int]) -> None:
    assert Sequence.parse(str(Sequence(*numbers))) == numbers


@given(st.tuples(NUMBER, NUMBER, NUMBER), st.tuples(NUMBER, NUMBER, NUMBER))
def test_the_order_is_that_of_the_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert (Sequence(*one) < Sequence(*other)) == (one < other)


def test_nine_is_before_ten_and_capitals_mean_the_same() -> None:
    assert Sequence.parse("0.9.0") < Sequence.parse("0.10.0")
    assert Sequence.parse("0.1390E840.2") == Sequence.parse("0.1390e840.2")


@pytest.mark.parametrize(
    "text", ["", "0.0", "0.0.0.0", "x.0.0", "0.123456789.0", "-1.0.0", " 0.0.0", "0.0.0\n", "٣.0.0"]
)
def test_anything_else_is_no_sequence(text: str) -> None:
    with pytest.raises(ValueError, match="sequence"):
        Sequence.parse(text)
