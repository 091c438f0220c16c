import contextlib
import json
import tracemalloc

import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.decode import Survey, is_json, is_utf8, parse_envelope

NOT_JSON = [
    b"{",
    b"}",
    b"{}x",
    b"{} {}",
    b"\xef\xbb\xbf{}",
    b"{\x00}",
    b"{}\x00",
    b"{,}",
    b'{"a":1,}',
    b'{"a" 1}',
    b'{"a"}',
    b"{a:1}",
    b"{'a':1}",
    b'{"a":01}',
    b'{"a":1.}',
    b'{"a":.5}',
    b'{"a":+1}',
    b'{"a":-}',
    b'{"a":1e}',
    b'{"a":0x1}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":nul}',
    b'{"a":True}',
    b'{"a":[1,]}',
    b'{"a":[1 2]}',
    b'{"a":"x}',
    b'{"a":"\n"}',
    b'{"a":"\x01"}',
    b'{"a":"\\q"}',
    b'{"a":"\\u12"}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00"}',
    b'{"a":"\\ud800\\u0041"}',
    b'{"\\ud800":1}',
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xc0\xaf"}',
    b'{"a":"\xf4\x90\x80\x80"}',
    b'{"\xc3":1}',
    b'{"a":"\xe2\x82"}',
]

NOTHING = [b"", b" ", b"\n\t"]
WRAPPERS = [b"%b", b'{"records":[%b]}', b'{"x":[[%b]],"records":[]}']


@pytest.mark.parametrize("text", [wrapper % text for wrapper in WRAPPERS for text in NOT_JSON] + NOTHING)
def test_what_is_not_json_is_refused_wherever_it_stands(text: bytes):
    with pytest.raises(Refusal, match=r"^400 BAD_DATA: Not a valid JSON payload$"):
        parse_envelope(text)
    assert not is_json(text)


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"{}"', b"true", b"[{}]"])
def test_a_body_that_is_no_object_is_refused_like_no_json(text: bytes):
    with pytest.raises(Refusal, match="Not a valid JSON payload"):
        parse_envelope(text)


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
def test_nesting_too_deep_is_refused_like_no_json(opened: bytes):
    with pytest.raises(Refusal, match="Not a valid JSON payload"):
        parse_envelope(b'{"records":' + opened * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\ud83d\\ude00\\u0000\\/\\b\x7f"}',
        '{"a":"ä€😀\u2028"}'.encode(),
        b' \t\r\n{ "a" : [ 1e400 , -0 , 1.0E+2 , 123456789012345678901234567890 ] } ',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
def test_what_is_json_is_accepted(text: bytes):
    assert is_json(text)
    parse_envelope(text)


def test_of_a_member_that_comes_twice_the_last_counts():
    envelope = parse_envelope(b'{"records":1,"organization":"a","records":[],"organization":"b","x":{"records":2}}')
    assert bytes(envelope.records) == b"[]"
    assert bytes(envelope.organization) == b'"b"'


def test_an_escaped_member_name_is_the_same_name():
    assert bytes(parse_envelope(b'{"\\u0072ecords":[1]}').records) == b"[1]"


@pytest.mark.parametrize("at", [0, 1, 2, 3, 1 << 20, (1 << 20) - 1, (1 << 20) + 1])
def test_utf8_is_checked_across_the_steps_in_which_it_is_read(at: int):
    padding = b"a" * ((1 << 20) - 2)
    assert is_utf8(padding + "€".encode() * 5)
    text = bytearray(padding + "€€€€".encode() + padding)
    text[at] = 0xFF
    is_valid = is_utf8(bytes(text))
    assert not is_valid


def test_the_survey_reads_the_members_that_matter_with_the_last_value_of_each():
    records = b'[{"client_id":"a","x":{"client_id":"b"},"client_id":null},{"developer":[1,2]}]'
    members, is_whole = Survey(10).read(records)
    assert is_whole
    assert bytes(members[0].client_id) == b"null"
    assert bytes(members[1].developer) == b"[1,2]"


@pytest.mark.parametrize("other", [b"1", b"null", b"[]", b'"{}"', b"true"])
def test_the_survey_stops_at_the_first_element_that_is_no_object(other: bytes):
    members, is_whole = Survey(3).read(b'[{"client_id":1},{},' + other + b",{},{},{},{}]")
    assert len(members) == 2
    assert not is_whole


def test_the_survey_starts_anew_each_time():
    survey = Survey(2)
    for _ in range(3):
        with pytest.raises(Refusal):
            survey.read(b"[{},{},{}]")
        assert len(survey.read(b"[{},{}]")[0]) == 2
        assert survey.read(b"[{},7]")[1] is False


@pytest.mark.parametrize("element", [b"{}", b"[]", b"0", b'{"a":[[[[]]]]}'])
def test_millions_of_elements_cost_no_more_memory_than_the_limit_allows(element: bytes):
    array = b"[" + (element + b",") * 1_000_000 + b"0]"
    tracemalloc.start()
    try:
        with contextlib.suppress(Refusal):
            Survey(1000).read(array)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def test_the_refusal_of_too_many_records_names_the_limit():
    with pytest.raises(Refusal, match=r"^413 PAYLOAD_TOO_LARGE: A batch may hold at most 2 records$") as refused:
        Survey(2).read(b"[{},{},{}]")
    assert json.loads(refused.value.body())["errorCode"] == "PAYLOAD_TOO_LARGE"
