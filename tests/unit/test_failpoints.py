"""A failpoint that is spelled wrong is an error at once, not a test that tests nothing."""

import pytest

from apidanalytics import failpoints


@pytest.mark.parametrize("term", ["spool.before_sync=kill@3", "spool.before_sync=sleep:0.06", "pack.before_write=full"])
def test_a_term_of_the_documented_form_is_taken(term):
    assert list(failpoints.parse(term)) == [term.partition("=")[0]]


@pytest.mark.parametrize(
    "term",
    [
        "spool.before_sink=kill",
        "spool.before_sync",
        "spool.before_sync=kil",
        "spool.before_sync=kill@x",
        "spool=sleep:a",
    ],
)
def test_any_other_is_refused(term):
    with pytest.raises(ValueError, match="not a failpoint"):
        failpoints.parse(term)
