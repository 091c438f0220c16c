import json
from collections.abc import Callable
from typing import Any

import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.payload import Payload, PayloadOptions, PayloadReader
from apidanalytics.ingest.records import finish
from apidanalytics.ingest.sliced import read_in_steps
from apidanalytics.model import Tenant
from tests.unit.ingest.batches import (
    DEVELOPER_ADDED,
    GOOD,
    NOW,
    OTHER_TENANT,
    TENANT,
    TENANT_ADDED,
    FakeScopes,
    body_of,
    good,
)

START = "client_received_start_timestamp"
NAMED = {"organization": "testorg", "environment": "testenv"}


def reader(scopes: FakeScopes | None = None, **options: Any) -> PayloadReader:
    return PayloadReader(scopes or FakeScopes(), PayloadOptions(**options))


def read(body: bytes, *, named: bool = False, **options: Any) -> Payload:
    return reader(**options).read(body, None if named else TENANT, NOW)


def reason(body: bytes, *, named: bool = False, **options: Any) -> str:
    with pytest.raises(Refusal) as refused:
        read(body, named=named, **options)
    return str(refused.value)


def outcome(read: Callable[[bytes, Tenant, float], Payload], body: bytes) -> int | str:
    try:
        return read(body, TENANT, NOW).records
    except Refusal as refusal:
        return str(refusal)


NOT_JSON = "400 BAD_DATA: Not a valid JSON payload"
NO_RECORDS = "400 NO_RECORDS: No analytics records in the payload"
NOT_A_LIST = "400 BAD_DATA: records should be a list of analytics records"
NOT_AN_OBJECT = "400 BAD_DATA: Each Analytics record in records should be a json object"
MISSING_START = f"400 MISSING_FIELD: Missing Required field: {START}"
TOO_MANY = "413 PAYLOAD_TOO_LARGE: A batch may hold at most 2 records"


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ("null", NO_RECORDS),
        ("[]", NO_RECORDS),
        ("[ \n ]", NO_RECORDS),
        ("{}", NOT_A_LIST),
        ('"[]"', NOT_A_LIST),
        ("0", NOT_A_LIST),
        ("false", NOT_A_LIST),
        ('""', NOT_A_LIST),
        ("[1]", NOT_AN_OBJECT),
        ("[null]", NOT_AN_OBJECT),
        ('["{}"]', NOT_AN_OBJECT),
        ("[[]]", NOT_AN_OBJECT),
        ("[true]", NOT_AN_OBJECT),
        ("[{}]", MISSING_START),
        ("[{},1]", MISSING_START),
        ("[1,{}]", NOT_AN_OBJECT),
        (f"[{json.dumps(GOOD)},1]", NOT_AN_OBJECT),
        (f"[{json.dumps(GOOD)},{{}}]", MISSING_START),
        (f'[{json.dumps(GOOD)},{{"{START}":1,"client_id":5}},{{}}]', "400 BAD_DATA: client_id should be a string"),
    ],
)
def test_records_are_judged_one_by_one_and_the_first_bad_one_decides(records: str, expected: str, named: bool):
    body = f'{{"organization":"testorg","environment":"testenv","records":{records}}}'.encode()
    assert reason(body, named=named) == expected


@pytest.mark.parametrize("named", [False, True])
def test_without_records_there_are_none(named: bool):
    assert reason(json.dumps(NAMED).encode(), named=named) == NO_RECORDS


@pytest.mark.parametrize("tail", [b"x", b",", b"}", b"{}", b"\x00"])
@pytest.mark.parametrize("records", [b"1", b"[1]", b"[{}]", b"[]", json.dumps([GOOD]).encode()])
def test_what_is_no_json_anywhere_is_told_before_anything_else(records: bytes, tail: bytes):
    assert reason(b'{"records":' + records + b"}" + tail) == NOT_JSON
    assert reason(b'{"records":' + records + b',"x":"\xff"}') == NOT_JSON
    assert reason(b'{"x":1 2,"records":' + records + b"}", named=True) == NOT_JSON


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "400 MISSING_FIELD: Missing Required field: organization"),
        ({"environment": "testenv"}, "400 MISSING_FIELD: Missing Required field: organization"),
        ({"organization": None, "environment": 5}, "400 MISSING_FIELD: Missing Required field: organization"),
        ({"organization": ""}, "400 MISSING_FIELD: Missing Required field: organization"),
        ({"organization": "testorg"}, "400 MISSING_FIELD: Missing Required field: environment"),
        ({"organization": "testorg", "environment": None}, "400 MISSING_FIELD: Missing Required field: environment"),
        ({"organization": "testorg", "environment": ""}, "400 MISSING_FIELD: Missing Required field: environment"),
        ({"organization": 5}, "400 BAD_DATA: organization should be a string"),
        ({"organization": ["testorg"], "environment": "testenv"}, "400 BAD_DATA: organization should be a string"),
        ({"organization": "testorg", "environment": False}, "400 BAD_DATA: environment should be a string"),
        (
            {"organization": "testorg", "environment": "otherenv"},
            "400 UNKNOWN_SCOPE: No tenant found for this org: testorg and env: otherenv",
        ),
        (
            {"organization": "o" * 300, "environment": "é"},
            f"400 UNKNOWN_SCOPE: No tenant found for this org: {'o' * 200} and env: é",
        ),
    ],
)
@pytest.mark.parametrize("records", [(), (1,), ({},), (GOOD,)])
def test_a_body_has_to_name_its_tenant_before_its_records_are_looked_at(
    members: dict[str, Any], expected: str, records: tuple[Any, ...]
):
    assert reason(body_of(*records, **members), named=True) == expected


def test_a_body_that_names_its_tenant_is_that_tenants():
    payload = read(body_of(GOOD, organization="otherorg", environment="otherenv"), named=True)
    assert payload.tenant == OTHER_TENANT
    assert json.loads(payload.lines)["organization"] == "otherorg"


def test_on_the_scope_route_the_body_cannot_name_another_tenant():
    for named in ({"organization": "otherorg", "environment": "otherenv"}, {"organization": 5, "environment": None}):
        payload = read(body_of(GOOD, **named))
        assert payload.tenant == TENANT
        assert json.loads(payload.lines)["organization"] == "testorg"


def test_a_failed_tenant_lookup_is_a_search_error():
    scopes = FakeScopes()
    scopes.tenants_fail = True
    for body in (body_of(GOOD, **NAMED), body_of(1, **NAMED)):
        with pytest.raises(Refusal, match=r"^500 INTERNAL_SEARCH_ERROR: Tenant lookup failed$"):
            reader(scopes).read(body, None, NOW)


def test_a_bad_record_is_told_before_a_failed_developer_lookup():
    scopes = FakeScopes()
    scopes.developers_fail = True
    for members in ({}, {"organization": "o"}):
        with pytest.raises(Refusal, match=r"Missing Required field"):
            reader(scopes).read(body_of(good(client_id="k", **members), {}), TENANT, NOW)
        with pytest.raises(Refusal, match=r"^500 INTERNAL_SEARCH_ERROR: Developer lookup failed$"):
            reader(scopes).read(body_of(good(client_id="k", **members), GOOD), TENANT, NOW)


@pytest.mark.parametrize("record", [GOOD, good(organization="x"), {}, good(client_id=5)])
def test_more_records_than_the_limit_are_refused_whatever_they_are(record: dict[str, Any]):
    assert reason(body_of(*[record] * 3), max_records=2) == TOO_MANY
    assert reason(body_of(*[record] * 100_000), max_records=2) == TOO_MANY


def test_the_limit_itself_is_allowed():
    assert read(body_of(GOOD, GOOD), max_records=2).records == 2
    assert read(body_of(good(organization=None), GOOD), max_records=2).records == 2


def test_of_a_member_of_the_body_that_comes_twice_the_last_counts():
    assert reason(b'{"records":[%b],"records":[]}' % json.dumps(GOOD).encode()) == NO_RECORDS
    assert read(b'{"records":7,"records":[%b]}' % json.dumps(GOOD).encode()).records == 1
    twice = b'{"organization":5,"organization":"testorg","environment":"testenv","records":[%b]}'
    assert read(twice % json.dumps(GOOD).encode(), named=True).tenant == TENANT
    assert reason(twice.replace(b'5,"organization":"testorg"', b'"testorg","organization":5') % b"1", named=True) == (
        "400 BAD_DATA: organization should be a string"
    )


@pytest.mark.parametrize("members", ["", '"organization":null,', '"organization":null,"organization":null,', '"y":{},'])
@pytest.mark.parametrize(("opened", "inner", "closed"), [("[", "", "]"), ('{"a":', "1", "}")])
def test_however_deep_a_record_is_nested_it_is_kept_or_told_to_be_no_json(
    members: str, opened: str, inner: str, closed: str
):
    told = set()
    for depth in (*range(880, 1010), 200_000):
        record = f'{{{members}"{START}":1,"x":{opened * depth}{inner}{closed * depth}}}'
        body = f'{{"records":[{record}]}}'.encode()
        told |= {outcome(reader().read, body), outcome(lambda *what: finish(read_in_steps(reader(), *what)), body)}
    assert told == {1, NOT_JSON}


ODD = '{"b":1.0,"a" : 123456789012345678901234567890,"é":"\\u00e9\\/😀","n":-0,"f":1E+2,"b":[ {"x":"},{"} ],"%s":1%s}'


@pytest.mark.parametrize("extra", ["", ',"client_received_end_timestamp":1.0', ',"organization":"x"', ',"t":"}"'])
def test_what_the_client_sent_is_kept_byte_for_byte(extra: str):
    record = ODD % (START, extra)
    payload = read(f'{{"records":[{record}, {record} ]}}'.encode())
    for line in payload.lines.decode().splitlines():
        assert line.startswith(record[:-1] + ",")
    assert payload.records == 2


@pytest.mark.parametrize("record", [good(a="b"), good(a={"b": 1}), good(organization=None), good(environment="x")])
def test_a_pretty_printed_batch_becomes_one_line_a_record(record: dict[str, Any]):
    for indented in (
        json.dumps({"records": [record] * 3}, indent=2),
        json.dumps({"records": [record] * 3}, indent="\t"),
    ):
        payload = read(indented.replace("\n", "\r\n").encode())
        lines = payload.lines.split(b"\n")
        assert lines.pop() == b""
        assert b"\r" not in payload.lines
        assert len(lines) == payload.records == 3
        for line in lines:
            assert json.loads(line) == {**TENANT_ADDED, **{k: v for k, v in record.items() if v is not None}}


def test_every_record_gets_the_developer_of_its_own_api_key():
    payload = read(body_of(good(client_id="testapikey"), good(client_id="nobody"), good(), good(client_id=None)))
    records = [json.loads(line) for line in payload.lines.splitlines()]
    assert records[0] == good(client_id="testapikey") | TENANT_ADDED | DEVELOPER_ADDED
    assert records[1] == good(client_id="nobody") | TENANT_ADDED | dict.fromkeys(DEVELOPER_ADDED, "")
    assert records[2] == GOOD | TENANT_ADDED
    assert records[3] == good(client_id=None) | TENANT_ADDED


def test_without_developer_info_its_members_are_like_any_other():
    record = good(client_id="testapikey", developer=None)
    payload = read(body_of(record), adds_developer=False)
    assert json.loads(payload.lines) == record | TENANT_ADDED


def test_the_strict_profile_needs_an_end():
    assert reason(body_of({START: GOOD[START]}), is_strict=True).endswith("client_received_end_timestamp")
    assert read(body_of(GOOD), is_strict=True).records == 1
