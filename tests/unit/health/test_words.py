"""Numbers in sentences."""

import pytest

from apidanalytics.health.words import how_long, how_many, how_much, listed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (720, "12 minutes"),
        (3600, "1 hour"),
        (3 * 3600, "3 hours"),
        (86400, "1 day"),
        (40 * 86400, "40 days"),
    ],
)
def test_a_duration_is_said_in_two_words(seconds, words):
    assert how_long(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (40 << 30, "40 GiB"), (3 << 40, "3.0 TiB")],
)
def test_a_size_is_said_in_its_unit(size, words):
    assert how_much(size) == words


def test_a_number_goes_with_its_noun():
    assert [how_many(n, "batch", "batches") for n in (0, 1, 12000)] == ["0 batches", "1 batch", "12,000 batches"]


def test_a_list_is_part_of_a_sentence():
    names = ["a", "b", "c", "d", "e"]
    assert [listed(names[:n]) for n in range(6)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
        "a, b, c and 2 more",
    ]
