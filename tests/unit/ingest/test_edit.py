import json

import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.edit import Span, replace_values, walk

NAMES = ("organization", "environment")


def values(record: bytes) -> list[tuple[str, bytes, bool]]:
    return [(span.name, record[span.start : span.end], span.is_last) for span in walk(record)]


def replace_last(record: bytes, *names: str) -> bytes:
    def choose(span: Span) -> bytes | None:
        return b'"new"' if span.is_last else None

    return replace_values(record, names or NAMES, choose)


def test_walking_gives_every_member_with_its_value_as_sent():
    record = b' {"a" : 1.0 ,"b\\"c":"x,y" , "d":{"a":[1,{"a":2}]},"\\u0061":null,"":[ ],"e":-0}'.strip()
    assert values(record) == [
        ("a", b"1.0", False),
        ('b"c', b'"x,y"', True),
        ("d", b'{"a":[1,{"a":2}]}', True),
        ("a", b"null", True),
        ("", b"[ ]", True),
        ("e", b"-0", True),
    ]


def test_an_empty_object_has_no_members():
    assert walk(b"{ }") == []


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b'{"organization":null,"environment":""}', b'{"organization":"new","environment":"new"}'),
        (
            b'{"environment":"", "a":1.0,"organization" : null }',
            b'{"environment":"new", "a":1.0,"organization" : "new" }',
        ),
        (
            b'{"organization":"","x":{"organization":null},"environment":null}',
            b'{"organization":"new","x":{"organization":null},"environment":"new"}',
        ),
        (
            b'{"x":"\\"organization\\":null","organization":null,"environment":null}',
            b'{"x":"\\"organization\\":null","organization":"new","environment":"new"}',
        ),
        (
            b'{"organization":1,"organization":null,"environment":"a","environment":null}',
            b'{"organization":1,"organization":"new","environment":"a","environment":"new"}',
        ),
        (
            b'{"\\u006frganization":null,"environment":null}',
            b'{"\\u006frganization":"new","environment":"new"}',
        ),
        (
            b'{"organization":"a","\\u006frganization":null,"environment":null}',
            b'{"organization":"a","\\u006frganization":"new","environment":"new"}',
        ),
        (
            b'{"x":"organization","organization":null,"environment":"\\\\"}',
            b'{"x":"organization","organization":"new","environment":"new"}',
        ),
    ],
)
def test_only_the_values_that_are_to_be_replaced_change(record: bytes, expected: bytes):
    assert replace_last(record) == expected
    json.loads(expected)


def test_what_is_not_asked_for_stays():
    record = b'{"organization":null,"environment":null}'
    assert replace_last(record, "environment") == b'{"organization":null,"environment":"new"}'
    assert replace_values(record, NAMES, lambda _: None) == record


def test_a_huge_nested_value_is_stepped_over():
    nested = b"[" + b"[]," * 300_000 + b'{"organization":null}]'
    record = b'{"x":' + nested + b',"organization":null}'
    assert replace_last(record, "organization") == b'{"x":' + nested + b',"organization":"new"}'


def test_a_record_with_very_many_members_is_refused_where_they_have_to_be_looked_at():
    many = b'{"organization":null,"organization":null' + b"".join(b',"%d":1' % n for n in range(100)) + b"}"
    assert replace_values(many, ["organization"], lambda _: b'"a"', 102).count(b'"a"') == 2
    with pytest.raises(Refusal) as refused:
        replace_values(many, ["organization"], lambda _: b'"a"', 101)
    assert (refused.value.status, refused.value.code) == (413, "PAYLOAD_TOO_LARGE")
    assert len(walk(many, 102)) == 102  # a refusal leaves nothing behind
