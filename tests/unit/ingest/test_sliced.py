import json
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest import sliced, slices
from apidanalytics.ingest.payload import Payload, PayloadOptions, PayloadReader
from apidanalytics.ingest.sliced import read_in_steps
from apidanalytics.model import Tenant
from tests.unit.ingest.batches import GOOD, NOW, NOW_MS, TENANT, FakeScopes, body_of, good

TOO_MANY = "413 PAYLOAD_TOO_LARGE: A batch may hold at most 60 records"


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 600)
    monkeypatch.setattr(sliced, "SLICE_BYTES", 600)


def outcome(read: Callable[[], Payload]) -> Payload | str:
    try:
        return read()
    except Refusal as refusal:
        return str(refusal)


def in_steps(body: bytes, tenant: Tenant | None = TENANT, **options: Any) -> tuple[Payload | str, int]:
    """Return the outcome, and in how many steps it came."""
    work = read_in_steps(PayloadReader(FakeScopes(), PayloadOptions(**options)), body, tenant, NOW)
    for steps in range(1, 1_000_000):
        try:
            next(work)
        except StopIteration as end:
            return end.value.joined(), steps
        except Refusal as refusal:
            return str(refusal), steps
    raise AssertionError("it never ends")


def at_once(body: bytes, tenant: Tenant | None = TENANT, **options: Any) -> Payload | str:
    return outcome(lambda: PayloadReader(FakeScopes(), PayloadOptions(**options)).read(body, tenant, NOW))


def records(count: int, **members: Any) -> list[dict[str, Any]]:
    return [
        good(n=number, client_id=f"key{number % 3}", text="x" * (number % 50), **members) for number in range(count)
    ]


def bodies() -> dict[str, bytes]:
    plain = body_of(*records(100))
    bad = records(100)
    bad[60] = {"n": 60}
    one = json.dumps(records(1)).encode()
    long = json.dumps({"x": "y" * 400, **GOOD}).encode()
    odd = records(100)
    odd[40] = good(organization=None, x="},{", y=[{}, {"a": 1}, {}])
    start = b'{"records":['
    return {
        "plain": plain,
        "one": body_of(*records(1)),
        "pretty": json.dumps({"records": records(50)}, indent=2).encode(),
        "pretty and odd": json.dumps({"records": records(50, organization=None)}, indent=2)
        .replace("\n", "\r\n")
        .encode(),
        "spaced": json.dumps({"records": records(50)}).replace("}, {", "} , {").encode(),
        "odd in the middle": body_of(*odd),
        "nested everywhere": body_of(*records(50, x=[{"a": 1}, {"b": 2}, {"c": [{}, {}]}])),
        "braces in strings": body_of(*records(50, x='},{"a":1},{')),
        "bad in the middle": body_of(*bad),
        "bad in the middle, then no json": body_of(*bad)[:-1],
        "bad in the middle, then no utf-8": body_of(*bad)[:-3] + b'","\xff":1}]}',
        "bad in the middle, later no json": body_of(*bad).replace(b'"n":80', b'"n":8O'),
        "bad in the middle, later nothing": body_of(*bad).replace(b'},{"client', b'},,{"client', 80),
        "no object in the middle": body_of(*records(50), 7, *records(50)),
        "nothing in the middle": plain.replace(b'},{"client', b'},,{"client', 50),
        "a comma at the end": plain[:-2] + b",]}",
        "two commas at the end": plain[:-2] + b",,]}",
        "no end": plain[:-2],
        "no json in the middle": plain.replace(b'"n":50', b'"n":5O'),
        "no json in the first record": plain.replace(b'"n":0', b'"n":00'),
        "no utf-8 in the middle": plain.replace(b'"n":50', b'"\xff":50'),
        "utf-8": body_of(*records(50)).replace(b"xxx", "é€😀".encode()),
        "bytes behind": plain + b"x",
        "white space behind": plain + b" \n" * 2000,
        "members before": b'{"a":"records","b":[1,2],' + plain[1:],
        "members behind": plain[:-1] + b',"b":[1,2],"c":"},{"}',
        "many members behind": plain[:-1] + b',"b":[' + b"{}," * 1000 + b"{}]}",
        "another list behind": plain[:-1] + b',"b":' + json.dumps(records(50)).encode() + b"}",
        "records again, empty": plain[:-1] + b',"records":[]}',
        "records again, others": plain[:-1] + b',"records":' + json.dumps(records(40)).encode() + b"}",
        "records again, one": plain[:-1] + b',"records":' + one + b"}",
        "records again, escaped": plain[:-1] + b',"\\u0072ecords":' + one + b"}",
        "records before": b'{"records":[{}],' + plain[1:],
        "a name that ends like records before": b'{"x\\"records":[1],' + plain[1:],
        "a list whose name ends like records": b'{"x\\"records' + body_of(*bad)[len(b'{"records') :],
        "records nested before": b'{"x":{"records":[1]},' + plain[1:],
        "no list": b'{"records":"' + b"x" * 5000 + b'"}',
        "no records": b'{"x":"' + b"x" * 5000 + b'"}',
        "empty objects": start + b"{}," * 1000 + b"{}]}",
        "numbers": start + b"0," * 1000 + b"0]}",
        "a blank element": start + b" " * 300 + b"," + long + b"]}",
        "a blank element between": start + long + b"," + b" " * 300 + b"," + long + b"]}",
        "white space": start + b" " * 5000 + b"]}",
        "commas": start + b"," * 5000 + b"]}",
        "brackets": b"[" * 5000,
        "array": json.dumps(records(50)).encode(),
        "one huge record": body_of(good(x=["y" * 50] * 200)),
        "huge records": body_of(*[good(x=["y" * 50] * 50)] * 20),
    }


@pytest.mark.parametrize("name", bodies())
@pytest.mark.parametrize("options", [{}, {"is_strict": True}, {"overwrites_tenant": True}])
def test_in_slices_the_outcome_is_the_same_as_at_once(name: str, options: dict[str, Any]):
    body = bodies()[name]
    assert in_steps(body, **options)[0] == at_once(body, **options)


def test_a_comma_behind_the_last_record_is_noticed_wherever_the_cuts_fall():
    for length in range(700):
        body = body_of(good(pad="x" * length))[:-2] + b",]}"
        assert in_steps(body)[0] == "400 BAD_DATA: Not a valid JSON payload"


@pytest.mark.parametrize("name", bodies())
def test_too_many_records_may_be_told_before_or_after_what_else_is_wrong(name: str):
    body = bodies()[name]
    outcomes = in_steps(body, max_records=60)[0], at_once(body, max_records=60)
    assert outcomes[0] == outcomes[1] or TOO_MANY in outcomes


@pytest.mark.parametrize(
    "members",
    [
        b'"organization":"testorg","environment":"testenv",%b',
        b'%b,"organization":"testorg","environment":"testenv"',
        b'"organization":"testorg",%b,"environment":"testenv"',
        b'"organization":"testorg","environment":"testenv",%b,"organization":"otherorg","environment":"otherenv"',
        b'"organization":"testorg","environment":"testenv",%b,"organization":"nobody"',
        b'"organization":"testorg","environment":"testenv",%b,"organization":5',
        b'"organization":"nobody","environment":"testenv",%b',
        b'"organization":"nobody","environment":"testenv",%b,"organization":"testorg"',
        b'"organization":"","environment":"testenv",%b',
        b"%b",
    ],
)
@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("bad", [(), ({},)])
def test_the_tenant_that_a_body_names_is_found_before_or_behind_its_records(
    members: bytes, count: int, bad: tuple[dict[str, Any], ...]
):
    body = b"{" + members % body_of(*records(count), *bad)[1:-1] + b"}"
    assert in_steps(body, None)[0] == at_once(body, None)


def test_an_ordinary_large_body_is_read_in_small_steps():
    body = body_of(*records(500))
    payload, steps = in_steps(body)
    assert isinstance(payload, Payload)
    assert payload.records == 500
    assert len(body) / 600 <= steps <= len(body) / 300


def test_a_bomb_of_records_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slices, "SLICE_BYTES", 1 << 19)
    monkeypatch.setattr(sliced, "SLICE_BYTES", 1 << 19)
    body = b'{"records":[' + b"{}," * 5_000_000 + b"{}]}"
    tracemalloc.start()
    try:
        told, _ = in_steps(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told == "413 PAYLOAD_TOO_LARGE: A batch may hold at most 50000 records"
    assert peak < 48 << 20


def test_any_cut_that_is_used_is_a_right_one():
    """Random text full of brackets, commas and quotes: what is read in slices is what is read at once."""
    dice = random.Random(7)
    fragments = [
        f'{{"client_received_start_timestamp":{NOW_MS},"a":"',
        '"}',
        "},",
        ",",
        '"},{"',
        '","b":[{}],"c":{"d":"',
        '"}],"e":["',
        "{}",
        f'{{"client_received_start_timestamp":{NOW_MS}}},',
        '"records":[',
        "]",
        "\\",
    ]
    accepted = 0
    for _ in range(3000):
        content = "".join(dice.choices(fragments, k=dice.randrange(1, 12)))
        records = [f'{{"client_received_start_timestamp":{NOW_MS},"a":{json.dumps(content)}}}' for _ in range(12)]
        records[dice.randrange(12)] = content
        if dice.random() < 0.5:
            records = [record for record in records if record != content]
        body = f'{{"records":[{",".join(records)}]}}'.encode()
        expected = at_once(body)
        accepted += isinstance(expected, Payload)
        assert in_steps(body)[0] == expected
    assert accepted > 1000
