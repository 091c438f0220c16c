"""Instants in names: read quickly, and exactly as the standard library reads them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.instants import format_instant, parse_instant


@given(st.integers(0, 4_000_000_000))
def test_what_was_formatted_is_read_back(at):
    assert parse_instant(format_instant(at)) == at


@given(st.from_regex(r"(19|20)[0-9]{2}[01][0-9][0-3][0-9][0-2][0-9][0-6][0-9][0-6][0-9]", fullmatch=True))
def test_digits_are_an_instant_exactly_when_the_standard_library_says_so(text):
    try:
        expected = int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        with pytest.raises(ValueError):
            parse_instant(text)
    else:
        assert parse_instant(text) == expected


@pytest.mark.parametrize(
    "text", ["", "2026010203040", "202601020304055", "2026-1-2030405", "\uff12026010203040", "+2026010203040"]
)
def test_anything_else_is_no_instant(text):
    with pytest.raises(ValueError):
        parse_instant(text)
