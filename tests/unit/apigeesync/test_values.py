"""A value has one form, whether it comes from a snapshot or from a change list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.apigeesync.values import canonical

TIMESTAMPS = {
    "2017-02-27 07:40:25.094+00:00": "2017-02-27 07:40:25.094+00:00",
    "2017-02-27 07:40:25.094": "2017-02-27 07:40:25.094+00:00",
    "2017-02-27 07:40:25.094000": "2017-02-27 07:40:25.094+00:00",
    "2017-02-27 07:40:25.094+00": "2017-02-27 07:40:25.094+00:00",
    "2017-02-27 07:40:25.094 +0000 UTC": "2017-02-27 07:40:25.094+00:00",
    "2017-02-27 09:40:25.5+02": "2017-02-27 07:40:25.5+00:00",
    "2017-02-26 23:10:25-08:30": "2017-02-27 07:40:25+00:00",
    "2017-02-27T07:40:25Z": "2017-02-27 07:40:25+00:00",
    "2017-02-27 07:40:25.000": "2017-02-27 07:40:25+00:00",
    "infinity": "infinity",
    "2017-02-30 07:40:25": "2017-02-30 07:40:25",
    "0001-01-01 00:00:00+14": "0001-01-01 00:00:00+14",
}


@pytest.mark.parametrize("oid", [1114, 1184])
@pytest.mark.parametrize(("given", "form"), TIMESTAMPS.items())
def test_every_form_of_a_timestamp_becomes_that_of_the_snapshot(given: str, form: str, oid: int) -> None:
    assert canonical(given, oid) == form


@pytest.mark.parametrize(
    ("given", "form"), [("true", "t"), ("t", "t"), (True, "t"), ("false", "f"), ("f", "f"), (False, "f")]
)
def test_booleans_become_t_and_f(given: object, form: str) -> None:
    assert canonical(given, 16) == form


@pytest.mark.parametrize("oid", [16, 17, 20, 23, 25, 700, 1043, 1114])
def test_null_is_an_empty_text_whatever_the_type(oid: int) -> None:
    assert canonical(None, oid) == ""


@pytest.mark.parametrize(("given", "oid", "form"), [
    ("7", 23, "7"), (7, 23, "7"), ("007", 20, "7"), ("x", 23, "x"), ("1.50", 700, "1.5"),
    ("1E+21", 701, "1e+21"), (7, 25, "7"),
])  # fmt: skip
def test_numbers_are_decimal(given: object, oid: int, form: str) -> None:
    assert canonical(given, oid) == form


@given(st.text(), st.sampled_from([25, 1043, 2950, 1700]))
def test_text_stays_as_it_is(text: str, oid: int) -> None:
    assert canonical(text, oid) == text


@given(st.text(), st.sampled_from([16, 20, 700, 1114, 1184]))
def test_whatever_comes_the_form_is_stable(text: str, oid: int) -> None:
    once = canonical(text, oid)
    assert canonical(once, oid) == once
