import json

import msgspec
import pytest

from apidanalytics.ingest.decode import PlainApiRecord
from apidanalytics.ingest.enrich import Enrichment
from apidanalytics.ingest.records import splice, splice_elements, without_line_breaks
from tests.unit.ingest.batches import TENANT, TENANT_ADDED, FakeScopes


def body(*extras: str, before: str = "", after: str = "") -> str:
    """A body of one record for each of these further members."""
    return "{" + before + '"records":' + array(*extras) + after + "}"


def array(*extras: str) -> str:
    return "[" + ",".join('{"client_received_start_timestamp":1' + extra + "}" for extra in extras) + "]"


def additions():
    return Enrichment(FakeScopes(), overwrites=False, adds_developer=True).additions(TENANT)


def decoded(text: bytes) -> list[PlainApiRecord]:
    class Body(msgspec.Struct):
        records: list[PlainApiRecord]

    if text.startswith(b"["):
        return msgspec.json.decode(text, type=list[PlainApiRecord])
    return msgspec.json.decode(text, type=Body).records


def spliced(text: bytes) -> bytes | None:
    return splice(text, decoded(text), additions())


def expected(text: bytes) -> list[dict[str, object]]:
    value = json.loads(text)
    return [record | TENANT_ADDED for record in (value["records"] if isinstance(value, dict) else value)]


SIMPLE = [
    body(""),
    body("", ',"a":[1,[2]]', ',"b":"x"'),
    body(" ", ' , "a" : 1 ', before=' "note" : "x" ,\t', after=' , "more" : [1] '),
    " " + body("").replace("},{", "} ,\t{") + " ",
    body("", before='"records":[],'),
    array(""),
    array("", "").replace("},{", " } , {"),
]

# Each of these has a brace that is not what the quick way takes it for.
TRICKY = [
    body(',"x":{}'),
    body(',"x":{"y":1}', ""),
    body(',"x":"}"'),
    body(',"x":"{"'),
    body(',"x":"{}"'),
    body("", ',"x":"},{"'),
    body("", before='"x":{},'),
    body("", before='"x":"{",'),
    body("", before='"x":"}",'),
    body("", after=',"x":{}'),
    body("", after=',"x":"}"'),
    body(',"last":1', before='"records":' + array(',"first":1') + ","),
    array(',"x":{}'),
    array(',"x":"}"'),
    array(',"x":"{"'),
    array(',"x":"}"', ""),
]


@pytest.mark.parametrize("text", SIMPLE)
def test_the_quick_way_cuts_records_out_between_their_braces(text: str):
    lines = spliced(text.encode())
    assert lines is not None
    assert [json.loads(line) for line in lines.splitlines()] == expected(text.encode())


@pytest.mark.parametrize("text", TRICKY)
def test_the_quick_way_steps_back_from_braces_it_cannot_be_sure_of(text: str):
    lines = spliced(text.encode())
    assert lines is None or [json.loads(line) for line in lines.splitlines()] == expected(text.encode())


@pytest.mark.parametrize("text", SIMPLE + TRICKY)
def test_the_slower_way_is_right_for_any_text(text: str):
    lines = splice_elements(text.encode(), decoded(text.encode()), additions())
    assert [json.loads(line) for line in lines.splitlines()] == expected(text.encode())


def test_only_line_breaks_between_tokens_go():
    assert without_line_breaks(b'{\r\n "a" : "x\\ny" ,\n\t"b":1\r}') == b'{ "a" : "x\\ny" ,\t"b":1}'


def test_text_without_line_breaks_is_not_copied():
    text = b'{"a":1}'
    assert without_line_breaks(text) is text
