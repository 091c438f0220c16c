"""The rule that says what a delivered record must be."""

import pytest

from apidanalytics.demo import expect
from tests.unit.demo.cast import ACME, GLOBEX, record

DEE = {"api_product": "gold", "developer_app": "shop", "developer_email": "d@acme", "developer": "dee"}
NAMES = {"organization": "acme", "environment": "prod"}


@pytest.mark.parametrize(
    ("text", "compacted"),
    [
        (b'{ "a" : 1 ,\r\n\t"b" : [ 1.0 , null ] }', b'{"a":1,"b":[1.0,null]}'),
        (b'{"a b" : "c  d \\" \\\\" , "e":2}', b'{"a b":"c  d \\" \\\\","e":2}'),
        (b'{"a":1,"b":2"}', b'{"a":1,"b":2"}'),
        ('{"ü" :\u00a0"\u2028 "}'.encode(), '{"ü":\u00a0"\u2028 "}'.encode()),
        (b"", b""),
    ],
    ids=["between tokens", "not in strings", "a stray quote stays", "only the four of JSON", "nothing"],
)
def test_only_white_space_between_tokens_goes(text, compacted):
    assert expect.compact(text) == compacted


def test_members_keep_order_tokens_and_duplicates():
    text = rb'{"a" : 1.0, "b":"\u00e9", "a":[1, 2e3], "c":{"d":-0.0}}'
    assert expect.members(text) == [("a", "1.0"), ("b", r'"\u00e9"'), ("a", "[1,2e3]"), ("c", '{"d":-0.0}')]
    assert expect.members(b"{}") == []


@pytest.mark.parametrize("text", [b"[1]", b"{", b'{"a":1}x', b'{"a":"\xff"}', b"", b'{"a":1"b":2}'])
def test_what_is_no_object_has_no_members(text):
    with pytest.raises(ValueError):
        expect.members(text)


@pytest.mark.parametrize(
    ("more", "added"),
    [
        ('"client_id":"k1"', NAMES | DEE),
        ('"client_id":"k1","organization":"","environment":null', NAMES | DEE),
        ('"client_id":"k1","organization":"other"', {"environment": "prod"} | DEE),
        ('"client_id":"k1","developer":null,"api_product":"x"', NAMES | {k: DEE[k] for k in list(DEE)[1:3]}),
        ('"client_id":"stranger"', NAMES | dict.fromkeys(DEE, "")),
        ('"client_id":""', NAMES),
        ('"client_id":null', NAMES),
        ('"other":1', NAMES),
        ('"client_id":"k1","client_id":null', NAMES),
    ],
    ids=["all", "filled in", "kept", "some there", "unknown key", "empty key", "null key", "no key", "the last counts"],
)
def test_enrichment_adds_what_the_contract_says(more, added):
    assert expect.additions(record(1, more), ACME) == added


def test_enrichment_is_of_the_tenant_alone():
    assert expect.additions(record(1), GLOBEX)["developer"] == "gus"


SENT = b'{"a":1.0,"s":"\\u00e9","organization":null,"z":123456789012345678901234567890}'
ADDED = {"organization": "acme", "environment": "prod"}


@pytest.mark.parametrize(
    "line",
    [
        SENT[:-1] + b',"organization":"acme","environment":"prod"}',
        SENT[:-1] + b',"environment":"prod","organization":"acme"}',
        SENT.replace(b"null", b'"acme"')[:-1] + b',"environment":"prod"}',
        SENT.replace(b'"organization":null,', b"")[:-1] + b',"organization":"acme","environment":"prod"}',
        SENT.replace(b",", b", ")[:-1] + b' , "organization" : "acme","environment":"prod" }',
    ],
    ids=["added", "in another order", "filled in place", "moved to the end", "with white space"],
)
def test_a_correct_line_does_not_differ(line):
    assert expect.difference(SENT, line, ADDED) is None


GOOD = SENT[:-1] + b',"organization":"acme","environment":"prod"}'


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (GOOD.replace(b"1.0", b"1"), "sent a: 1.0, delivered a: 1"),
        (GOOD.replace(b"\\u00e9", "é".encode()), r'sent s: "\u00e9", delivered s: "é"'),
        (GOOD.replace(b"123456789012345678901234567890", b"1.2345678901234568e+29"), "sent z"),
        (GOOD.replace(b'"a":1.0,"s":"\\u00e9"', b'"s":"\\u00e9","a":1.0'), "sent a: 1.0, delivered s"),
        (GOOD.replace(b'"a":1.0,', b""), "sent a: 1.0, delivered s"),
        (GOOD.replace(b',"environment":"prod"', b""), "enrichment is missing: environment"),
        (GOOD.replace(b'"prod"', b'"test"'), 'added environment: "test", not "prod"'),
        (GOOD.replace(b'"acme"', b'"globex"'), 'organization should be "acme"'),
        (SENT[:-1] + b',"environment":"prod"}', 'organization should be "acme", delivered [None]'),
        (SENT.replace(b'"organization":null,', b"")[:-1] + b',"environment":"prod"}', "delivered []"),
        (GOOD[:-1] + b',"organization":null}', 'organization should be "acme"'),
        (GOOD[:-1] + b',"extra":1}', "member extra: 1 was not sent"),
        (GOOD[:-1] + b',"environment":"prod"}', "added twice"),
        (b'{"a":1.0}', "member s is missing"),
        (GOOD[:-1], "not a JSON object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_change_is_named(line, word):
    assert word in (expect.difference(SENT, line, ADDED) or "no difference")
