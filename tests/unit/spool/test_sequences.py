"""Numbers of frames: each counts once."""

import random

from apidanalytics.spool.sequences import Sequences


def test_numbers_in_order_leave_nothing_out():
    sequences = Sequences()
    assert [(sequences.missing_before(n), sequences.take(n)) for n in range(3)] == [(0, True)] * 3


def test_a_number_that_comes_again_is_a_copy():
    sequences = Sequences()
    assert [sequences.take(n) for n in (0, 1, 1, 0, 2)] == [True, True, False, False, True]


def test_a_number_that_was_left_out_may_come_later_once():
    sequences = Sequences()
    assert sequences.missing_before(4) == 4
    assert [sequences.take(n) for n in (4, 2, 2, 0, 1, 3, 3, 5)] == [True, True, False, True, True, True, False, True]
    assert sequences.missing_before(6) == 0


def test_in_any_order_each_counts_once():
    chance, sequences, seen = random.Random(7), Sequences(), set()
    for _ in range(3000):
        number = chance.randrange(200)
        assert sequences.take(number) is (number not in seen)
        seen.add(number)
