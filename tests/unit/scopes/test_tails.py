"""A tail is what enrichment appends to a record: valid JSON whatever the scope data hold."""

import json

import pytest

from apidanalytics.model import Developer
from apidanalytics.scopes.tails import NOBODY, WITHOUT_KEY, tail_of
from tests.unit.scopes.samples import developer_in


@pytest.mark.parametrize("text", ["", "ann", 'a "b" \\ {c}', "line\nfeed\x00", "é \U0001f600 \u2028"])
def test_a_tail_completes_a_record_and_says_who_it_is(text: str) -> None:
    developer = Developer(api_product=text, developer_app="app", developer_email=f"{text}@x", developer=text)
    tail = tail_of(developer)
    assert tail.count(b"\n") == 1
    assert list(json.loads(b'{"a":1' + tail).values()) == [1, text, "app", f"{text}@x", text]
    assert developer_in(tail) == developer


def test_nobody_has_four_empty_values() -> None:
    names = ["api_product", "developer_app", "developer_email", "developer"]
    assert json.loads(b'{"a":1' + NOBODY) == {"a": 1} | dict.fromkeys(names, "")
    assert developer_in(NOBODY) == developer_in(WITHOUT_KEY) == Developer()
