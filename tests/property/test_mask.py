"""Whatever a record looks like: what is masked is nowhere in its line, and every other byte is as it was."""

import asyncio
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apidanalytics.ingest.mask import Mask
from tests.unit.ingest.batches import DEVELOPER_ADDED, Api, good, request, told

KEY = b"0123456789abcdef"
ACTIONS = {
    "access_token": "drop",
    "b.c": "drop",
    "client_id": "hash",
    "request_uri": "query",
    "client_ip": "truncate",
    "developer_email": "hash",
}
SECRET = "SESAME"
MASK = Mask(ACTIONS, KEY)

other_names = st.sampled_from(["a", "access_token2", "xaccess_token", "", "Access_Token", 'x"access_token', "é", "x\\"])
names = st.one_of(st.sampled_from(sorted(ACTIONS)), other_names)
plain = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none())
tricky = st.sampled_from(['"client_ip":"x"', "}", "{", ',"access_token":', "\\", "a\\\\", "[", "\x7f", "\0"])
values = st.recursive(
    st.one_of(plain, tricky),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=5,
)
secrets = st.one_of(
    st.sampled_from([SECRET, f"/p?{SECRET}", f"{SECRET}, 192.0.2.1", f"x\\{SECRET}", f'"{SECRET}', f"é?{SECRET}"]),
    st.sampled_from([[SECRET], {"x": SECRET}, [{"client_ip": [SECRET]}], [["]", SECRET]]]),
)
gaps = st.sampled_from(["", "", " ", "\t ", "  "])


@st.composite
def spelled(draw, value):
    """Return a JSON text of a value, as some client may write it."""
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()) and isinstance(value, str) and value and value[0].isalnum() and value[0].isascii():
        text = text.replace(value[0], f"\\u{ord(value[0]):04x}", 1)
    return text


@st.composite
def records(draw):
    """Return (line, members as (name, value, name's text, value's text))."""
    members = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(names)
        value = draw(st.one_of(secrets, values)) if name in ACTIONS else draw(values)
        if name == "request_uri" and isinstance(value, str) and "?" not in value:
            value = value.replace(SECRET, "")
        members.append((name, value, draw(spelled(name)), draw(spelled(value))))
    members.insert(draw(st.integers(0, len(members))), ("start", 1, '"start"', "1"))
    pieces = [f"{draw(gaps)}{name}{draw(gaps)}:{draw(gaps)}{value}{draw(gaps)}" for _, _, name, value in members]
    return "{" + ",".join(pieces) + "}\n", members


def parse(line):
    return json.loads(line, object_pairs_hook=lambda pairs: pairs)


def as_pairs(value):
    if isinstance(value, dict):
        return [(name, as_pairs(inner)) for name, inner in value.items()]
    return [as_pairs(inner) for inner in value] if isinstance(value, list) else value


@given(st.lists(records(), min_size=1, max_size=4))
def test_what_is_masked_is_gone_and_all_else_is_as_it_was_sent(batch):
    lines = MASK("".join(line for line, _ in batch).encode()).decode()
    assert lines.count("\n") == len(batch)
    for line, (_, members) in zip(lines.split("\n"), batch, strict=False):
        kept = [member for member in members if ACTIONS.get(member[0]) != "drop"]
        parsed = parse(line)
        assert [name for name, _ in parsed] == [name for name, *_ in kept]
        for (name, masked), (_, value, name_text, value_text) in zip(parsed, kept, strict=True):
            if name in ACTIONS and value is not None:
                assert SECRET not in json.dumps(masked)
            else:
                assert masked == as_pairs(value)
                assert re.search(re.escape(name_text) + r"\s*:\s*" + re.escape(value_text), line)


@given(st.lists(records(), min_size=1, max_size=3))
@example([('{"a":"\\\\","access_token":"SESAME"}\n', [])])
@example([('{"access_token":1,"b.c":2,"start":1}\n', [])])
@example([('{"start":1,"access_token":1,"client_id":"x","b.c":2 , "access_token":3 }\n', [])])
@example([('{"start":1,"x\\"client_ip":"1.2.3.4"}\n', [])])
def test_the_quick_way_does_as_the_exact_one(batch):
    for line, _ in batch:
        assert json.loads(MASK(line.encode())) == json.loads(MASK.mask_exactly(line.encode()))


@given(records())
def test_a_line_without_masked_members_is_not_touched(record):
    line, members = record
    if not ACTIONS.keys() & {name for name, *_ in members}:
        assert MASK(line.encode()) == line.encode()


def spooled(api):
    return b"".join(batch.lines for batch in api.spool.batches)


SENT = {
    "access_token": SECRET,
    "client_id": "testapikey",
    "request_uri": f"http://h/p?key={SECRET}",
    "client_ip": "192.0.2.211",
}
FORMS = {
    "plain": good(**SENT),
    "with an object in it": good(**SENT, target={"a": {}}),
    "with a brace in a string": good(**SENT, x="{}"),
    "exact": good(**SENT, organization=None),
    "escaped": good(**SENT, x="\u2028"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 1200])
async def test_nothing_masked_reaches_the_spool_by_any_way(form, size):
    api = Api(mask=MASK)
    body = json.dumps({"records": [FORMS[form]] * size}).encode()
    exchange = request(body)
    api.send(exchange)
    while exchange.answer is None:
        await asyncio.sleep(0.001)
    assert told(exchange.answer)[0] == 200
    lines = spooled(api)
    for secret in (SECRET, "testapikey", DEVELOPER_ADDED["developer_email"], "192.0.2.211"):
        assert secret.encode() not in lines
    first, *rest = [json.loads(line) for line in lines.splitlines()]
    assert rest == [first] * (size - 1)
    assert first["request_uri"] == "http://h/p"
    assert first["client_ip"] == "192.0.2.0"
    assert len(first["client_id"]) == len(first["developer_email"]) == 64
    assert first["developer_app"] == DEVELOPER_ADDED["developer_app"]  # looked up by the key as it was sent


def test_without_a_mask_the_same_secrets_are_found():
    api = Api()
    api.post(json.dumps({"records": [FORMS["plain"]]}).encode())
    assert SECRET.encode() in spooled(api)
