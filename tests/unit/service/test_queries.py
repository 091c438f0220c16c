"""Parameters as they come in a URL: every one a text."""

from typing import Literal

import msgspec
import pytest

from apidanalytics.service.queries import Limit, Name, Query, read_query


class Question(Query, frozen=True, kw_only=True):
    tenant: Name | None = None
    state: Literal["staged", "failed"] | None = None
    limit: Limit = 50
    descending: bool = False


@pytest.mark.parametrize("parameters", [{"limit": "7", "descending": "true"}, {"limit": 7, "descending": True}])
def test_numbers_and_truth_values_may_be_texts(parameters):
    assert read_query(parameters, Question) == Question(limit=7, descending=True)


def test_what_is_not_given_may_be_said_to_be_none():
    assert read_query({"tenant": None, "state": None}, Question) == Question()


@pytest.mark.parametrize("text", ["null", "NULL", "Null"])
def test_the_text_null_is_a_text_and_no_missing_parameter(text):
    assert read_query({"tenant": text, "limit": "7"}, Question) == Question(tenant=text, limit=7)
    for name in ("state", "limit", "descending"):
        with pytest.raises(msgspec.ValidationError):
            read_query({name: text}, Question)


@pytest.mark.parametrize(
    "parameters", [{"limit": "0"}, {"limit": "x"}, {"state": "sent"}, {"tenant": ""}, {"name": "x"}]
)
def test_what_is_wrong_is_refused(parameters):
    with pytest.raises(msgspec.ValidationError):
        read_query(parameters, Question)
