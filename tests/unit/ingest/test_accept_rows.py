"""Rows 1 to 15 of the contract's table, each at the acceptor's border, and which of two decides."""

import json
from typing import Any

import pytest

from apidanalytics.errors import MAX_QUOTED
from apidanalytics.ingest.http import Exchange
from tests.unit.ingest.batches import (
    GOOD,
    GOOD_BODY,
    NAMED,
    NOW_MS,
    OK,
    TENANT_ADDED,
    Api,
    body_of,
    good,
    request,
    told,
    zipped,
)

START = "client_received_start_timestamp"
END = "client_received_end_timestamp"

BAD = "BAD_DATA"
MISSING = "MISSING_FIELD"

# Rows 2 to 15 as faults, in the contract's order: each with the answer to it, wherever it is the first.
# A fault is (how the request is sent, members of the body, the record).
CONTENT_TYPE = (400, "UNSUPPORTED_CONTENT_TYPE", "Only supported content type is application/json")
UNKNOWN_SCOPE = (400, "UNKNOWN_SCOPE", "No tenant found for this scopeuuid: wrongid")
CONTENT_ENCODING = (400, "UNSUPPORTED_CONTENT_ENCODING", "Only supported content encoding is gzip")
GZIP = (400, BAD, "Gzip Encoded data cannot be read")
NOT_JSON = (400, BAD, "Not a valid JSON payload")
NO_ORGANIZATION = (400, MISSING, "Missing Required field: organization")
NO_ENVIRONMENT = (400, MISSING, "Missing Required field: environment")
UNKNOWN_NAMES = (400, "UNKNOWN_SCOPE", "No tenant found for this org: testorg and env: nowhere")
NO_RECORDS = (400, "NO_RECORDS", "No analytics records in the payload")
NOT_A_LIST = (400, BAD, "records should be a list of analytics records")
NOT_AN_OBJECT = (400, BAD, "Each Analytics record in records should be a json object")
NO_START = (400, MISSING, f"Missing Required field: {START}")
NO_END = (400, MISSING, f"Missing Required field: {END}")
NOT_A_NUMBER = (400, BAD, f"{START} and {END} has to be number")
ZERO = (400, BAD, f"{START} or {END} cannot be 0")
ENDS_BEFORE = (400, BAD, f"{START} > {END}")
FUTURE = (400, BAD, f"{START} cannot be after current time")
OLD = (400, BAD, f"{START} cannot be older than 90 days")
CLIENT_ID = (400, BAD, "client_id should be a string")
ORGANIZATION = (400, BAD, "organization should be a string")
ENVIRONMENT = (400, BAD, "environment should be a string")


def strict_api() -> Api:
    return Api(is_strict=True)


@pytest.fixture
def api() -> Api:
    return Api()


def both_routes(api: Api, body: bytes, **how: Any) -> tuple[int, str, str]:
    """Post on either route, expect the same answer, and that nothing of a refused batch is kept."""
    answers = [api.post(body, path=path, **how) for path in ("/analytics/testid", "/analytics")]
    assert answers[0] == answers[1]
    assert len(api.spool.batches) == (2 if answers[0] == OK else 0)
    return answers[0]


class TestRows:
    def test_row_1_without_scope_data_nothing_else_is_looked_at(self, api: Api):
        api.acceptor.scopes = None
        answer = (500, "INTERNAL_SERVER_ERROR", "Service is not initialized completely")
        assert both_routes(api, GOOD_BODY) == answer
        assert both_routes(api, b"x", content_type="text/plain", encoding="br") == answer

    @pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonp", "application/x-gzip"])
    def test_row_2_only_json(self, api: Api, content_type: str | None):
        assert both_routes(api, GOOD_BODY, content_type=content_type) == CONTENT_TYPE

    @pytest.mark.parametrize("content_type", ["APPLICATION/JSON", "application/json; charset=utf-8"])
    def test_row_2_without_case_and_with_parameters(self, api: Api, content_type: str):
        assert both_routes(api, GOOD_BODY, content_type=content_type) == OK

    def test_row_3_an_unknown_scope(self, api: Api):
        assert api.post(GOOD_BODY, path="/analytics/wrongid") == UNKNOWN_SCOPE

    def test_row_3_quotes_what_was_sent_cut_and_as_valid_json(self, api: Api):
        status, code, reason = api.post(GOOD_BODY, path="/analytics/%22%0A%FF" + "x" * 5000)
        assert (status, code) == (400, "UNKNOWN_SCOPE")
        assert reason == 'No tenant found for this scopeuuid: "\n\ufffd' + "x" * (MAX_QUOTED - 3)

    def test_row_3_and_8_a_failed_tenant_lookup(self, api: Api):
        api.scopes.tenants_fail = True
        assert both_routes(api, GOOD_BODY) == (500, "INTERNAL_SEARCH_ERROR", "Tenant lookup failed")

    def test_a_failed_developer_lookup(self, api: Api):
        api.scopes.developers_fail = True
        body = body_of(good(client_id="testapikey"), **NAMED)
        assert both_routes(api, body) == (500, "INTERNAL_SEARCH_ERROR", "Developer lookup failed")

    @pytest.mark.parametrize("encoding", ["br", "deflate", "x-gzip", "gzip, gzip"])
    def test_row_4_only_gzip(self, api: Api, encoding: str):
        assert both_routes(api, GOOD_BODY, encoding=encoding) == CONTENT_ENCODING

    @pytest.mark.parametrize("encoding", [None, "", "identity", "IDENTITY"])
    def test_row_4_absent_empty_and_identity_are_fine(self, api: Api, encoding: str | None):
        assert both_routes(api, GOOD_BODY, encoding=encoding) == OK

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
    @pytest.mark.parametrize("body", [zipped(GOOD_BODY), zipped(GOOD_BODY[:9]) + zipped(GOOD_BODY[9:])])
    def test_row_5_gzip_in_one_member_or_several(self, api: Api, encoding: str, body: bytes):
        assert both_routes(api, body, encoding=encoding) == OK
        assert api.spool.records == [GOOD | TENANT_ADDED] * 2

    @pytest.mark.parametrize(
        "body",
        [b"", GOOD_BODY, zipped(GOOD_BODY)[:-1], zipped(GOOD_BODY) + b"x", b'{"type":"Buffer","data":[31,139,8]}'],
        ids=["empty", "plain", "cut short", "garbage behind", "the broken mode of a client"],
    )
    def test_row_5_what_is_no_gzip(self, api: Api, body: bytes):
        assert both_routes(api, body, encoding="gzip") == GZIP

    @pytest.mark.parametrize(
        "body",
        [b"", b"x", b"[]", b"null", GOOD_BODY + b"x", GOOD_BODY[:-1], b'{"a":"\xff"}', b'{"a":"\\ud800"}', b"[" * 9999],
    )
    def test_row_6_what_is_no_json_object(self, api: Api, body: bytes):
        assert both_routes(api, body) == NOT_JSON
        assert both_routes(api, zipped(body), encoding="gzip") == NOT_JSON

    @pytest.mark.parametrize("missing", [{}, {"organization": None}, {"organization": ""}])
    def test_row_7_a_body_without_organization(self, api: Api, missing: dict[str, Any]):
        assert api.post(body_of(GOOD, **missing), path="/analytics") == NO_ORGANIZATION

    @pytest.mark.parametrize("missing", [{}, {"environment": None}, {"environment": ""}])
    def test_row_7_a_body_without_environment(self, api: Api, missing: dict[str, Any]):
        assert api.post(body_of(GOOD, organization="testorg", **missing), path="/analytics") == NO_ENVIRONMENT

    def test_row_7_names_have_to_be_strings(self, api: Api):
        assert api.post(body_of(GOOD, organization=5), path="/analytics") == ORGANIZATION
        assert api.post(body_of(GOOD, organization="o", environment=[]), path="/analytics") == ENVIRONMENT

    def test_row_8_an_unknown_org_and_env(self, api: Api):
        assert api.post(body_of(GOOD, **NAMED | {"environment": "nowhere"}), path="/analytics") == UNKNOWN_NAMES

    @pytest.mark.parametrize("body", [NAMED, NAMED | {"records": None}, NAMED | {"records": []}])
    def test_row_9_no_records(self, api: Api, body: dict[str, Any]):
        assert both_routes(api, json.dumps(body).encode()) == NO_RECORDS

    @pytest.mark.parametrize("records", [{}, "[]", 0, False, "", {"a": 1}])
    def test_row_10_records_that_are_no_list(self, api: Api, records: Any):
        assert both_routes(api, json.dumps(NAMED | {"records": records}).encode()) == NOT_A_LIST

    @pytest.mark.parametrize(
        ("record", "basic", "strict"),
        [
            (GOOD, OK, OK),
            (1, NOT_AN_OBJECT, NOT_AN_OBJECT),
            (None, NOT_AN_OBJECT, NOT_AN_OBJECT),
            ([], NOT_AN_OBJECT, NOT_AN_OBJECT),
            ({}, NO_START, NO_START),
            (good(**{START: None}), NO_START, NO_START),
            ({START: NOW_MS}, OK, NO_END),
            (good(**{END: None}), OK, NO_END),
            (good(**{START: "5"}), NOT_A_NUMBER, NOT_A_NUMBER),
            (good(**{END: "5"}), NOT_A_NUMBER, NOT_A_NUMBER),
            (good(**{START: 0}), OK, ZERO),
            (good(**{END: 0}), ENDS_BEFORE, ZERO),
            (good(**{START: NOW_MS + 1}), ENDS_BEFORE, ENDS_BEFORE),
            (good(**{START: NOW_MS}), OK, OK),
            (good(**{START: NOW_MS + 70_000, END: NOW_MS + 70_000}), OK, FUTURE),
            (good(**{START: 1}), OK, OLD),
            (good(client_id=5), CLIENT_ID, CLIENT_ID),
            (good(organization=5), ORGANIZATION, ORGANIZATION),
            (good(environment={}), ENVIRONMENT, ENVIRONMENT),
            (good(client_id=None, organization=None, environment=""), OK, OK),
        ],
    )
    def test_rows_11_to_15_in_both_profiles(
        self, record: Any, basic: tuple[int, str, str], strict: tuple[int, str, str]
    ):
        assert both_routes(Api(), body_of(record, **NAMED)) == basic
        assert both_routes(strict_api(), body_of(record, **NAMED)) == strict
        assert both_routes(Api(), body_of(GOOD, record, GOOD, **NAMED)) == basic

    def test_rows_11_to_15_a_number_too_large_to_hold(self, api: Api):
        for number in (b"1e400", b"-1e400", b"9" * 400):
            body = GOOD_BODY.replace(str(GOOD[END]).encode(), number)
            assert both_routes(api, body) == NOT_A_NUMBER

    def test_one_bad_record_rejects_the_whole_batch(self, api: Api):
        assert both_routes(api, body_of(GOOD, GOOD, {}, **NAMED)) == NO_START


# Each fault breaks one row and leaves the rest of the request good; combined with any later one, the earlier decides.
FAULTS: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("2", {"content_type": "text/plain"}, CONTENT_TYPE),
    ("3", {"path": "/analytics/wrongid"}, UNKNOWN_SCOPE),
    ("4", {"encoding": "br"}, CONTENT_ENCODING),
    ("5", {"encoding": "gzip", "cut": 1}, GZIP),
    ("6", {"behind": b"x"}, NOT_JSON),
    ("9", {"records": None}, NO_RECORDS),
    ("10", {"records": 5}, NOT_A_LIST),
    ("11", {"records": [5]}, NOT_AN_OBJECT),
    ("12", {"record": {START: None}}, NO_START),
    ("12s", {"record": {END: None}}, NO_END),
    ("13", {"record": {START: "5"}}, NOT_A_NUMBER),
    ("13s", {"record": {START: 0}}, ZERO),
    ("14", {"record": {START: NOW_MS + 1, END: NOW_MS}}, ENDS_BEFORE),
    ("14s future", {"record": {START: NOW_MS + 70_000, END: NOW_MS + 70_000}}, FUTURE),
    ("14s old", {"record": {START: 1}}, OLD),
    ("15 client_id", {"record": {"client_id": 5}}, CLIENT_ID),
    ("15 organization", {"record": {"organization": 5}}, ORGANIZATION),
    ("15 environment", {"record": {"environment": 5}}, ENVIRONMENT),
]


def faulty(*faults: dict[str, Any]) -> Exchange:
    """Return a request with these faults; of two that exclude each other, the first is made."""
    fault = {name: value for one in reversed(faults) for name, value in one.items() if name != "record"}
    record = dict(GOOD)
    for one in reversed(faults):
        record |= one.get("record", {})
    body = json.dumps({"records": fault.get("records", [record])}).encode() + fault.get("behind", b"")
    if fault.get("encoding") == "gzip":
        body = zipped(body)[: -fault["cut"]]
    how = {name: fault[name] for name in ("content_type", "path", "encoding") if name in fault}
    return request(body, **how)


@pytest.mark.parametrize("later", range(len(FAULTS)))
@pytest.mark.parametrize("earlier", range(len(FAULTS)))
def test_of_two_faults_the_earlier_row_decides(earlier: int, later: int):
    if earlier > later:
        earlier, later = later, earlier
    _, fault, answer = FAULTS[earlier]
    assert told(strict_api().send(faulty(fault, FAULTS[later][1]))) == answer


@pytest.mark.parametrize("earlier", range(6, len(FAULTS)))
@pytest.mark.parametrize("later", range(6, len(FAULTS)))
def test_of_two_bad_records_the_first_in_the_list_decides(earlier: int, later: int):
    records = []
    for number in (earlier, later):
        _, fault, _ = FAULTS[number]
        records.append(fault["records"][0] if fault.get("records") == [5] else good(**fault.get("record", {})))
    if FAULTS[earlier][1].get("records") == 5 or FAULTS[later][1].get("records") == 5:
        records = [5, 5]
        earlier = 7
    assert told(strict_api().send(request(body_of(*records)))) == FAULTS[earlier][2]
