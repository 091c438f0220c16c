"""What commands draw is short, and nothing that came from outside can do anything to a terminal."""

import io

import pytest
from rich.console import Console

from apidanalytics.cli.drawing import age, amount, duration, instant, plain, size, table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "60 min"), (3600, "1.0 h"), (86400 * 2.5, "2.5 d")],
)
def test_a_duration_is_short(seconds, shown):
    assert duration(seconds) == shown


def test_an_age_is_never_negative_and_a_dash_stands_for_never():
    assert (age(100.0, now=90.0), age(None), instant(None), amount(0)) == ("0 s", "-", "-", "-")


@pytest.mark.parametrize(
    ("size_bytes", "shown"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (15_000_000, "15 MB"), (2e15, "2000.0 TB")]
)
def test_a_size_is_short(size_bytes, shown):
    assert size(size_bytes) == shown


def test_a_name_from_hell_is_shown_as_it_is_and_moves_no_cursor():
    shown = plain("[red]a\x1b[2J\x07\r\n~\u202eb")
    assert shown.plain == "[red]a\\x1b[2J\\x07\\r\\n~\\u202eb"
    assert shown.spans == []


def test_a_state_stays_one_word_on_a_narrow_terminal():
    drawn = table("state", "records", "size", "files", "oldest")
    drawn.add_row("uploaded", "1,234,567", "12.3 GB", "12,345", "12 min")
    out = io.StringIO()
    Console(file=out, width=40).print(drawn)
    assert " uploaded " in out.getvalue()
