"""Every row of the contract's tables that the acceptor decides, at its own border: a request in, an answer out."""

import json
from typing import Any

import pytest
import structlog

from apidanalytics import failpoints
from apidanalytics.errors import MAX_QUOTED
from apidanalytics.ingest.accept import AcceptOptions
from apidanalytics.ingest.http import Exchange
from apidanalytics.ingest.payload import PayloadOptions
from apidanalytics.model import Outcome
from tests.unit.ingest.batches import (
    DEVELOPER_ADDED,
    GOOD,
    NOW,
    NOW_MS,
    TENANT_ADDED,
    Api,
    FakeChannel,
    body_of,
    good,
    request,
    told,
    zipped,
)

START = "client_received_start_timestamp"
END = "client_received_end_timestamp"
NAMED = {"organization": "testorg", "environment": "testenv"}
GOOD_BODY = body_of(GOOD, **NAMED)

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
OK = (200, "", "")


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


class TestRoutes:
    @pytest.mark.parametrize("path", ["/", "", "/analytics/", "/analytics/a/b", "/other", "/health/", "*"])
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    def test_any_other_path_is_not_found(self, api: Api, path: str, method: str):
        answer = api.post(GOOD_BODY, path=path, method=method)
        assert answer == (404, "NOT_FOUND", "There is nothing at this path")

    @pytest.mark.parametrize(
        ("path", "method", "allow"),
        [
            ("/analytics", "GET", b"POST"),
            ("/analytics/testid", "PUT", b"POST"),
            ("/analytics/wrongid", "HEAD", b"POST"),
            ("/health", "POST", b"GET, HEAD"),
            ("/ready", "DELETE", b"GET, HEAD"),
        ],
    )
    def test_another_method_on_a_known_path_is_told_which_are_allowed(
        self, api: Api, path: str, method: str, allow: bytes
    ):
        response = api.send(request(GOOD_BODY, path=path, method=method))
        assert told(response)[:2] == (405, "METHOD_NOT_ALLOWED")
        assert response is not None
        assert (b"Allow", allow) in response.headers

    def test_the_base_path_can_be_set(self):
        api = Api(AcceptOptions(base_path="/a/b"))
        assert api.post(GOOD_BODY, path="/a/b/testid") == OK
        assert api.post(GOOD_BODY, path="/a/b") == OK
        assert api.post(GOOD_BODY, path="/analytics/testid")[0] == 404

    def test_a_scope_in_the_path_is_percent_decoded(self, api: Api):
        api.scopes.tenants["a/b ü"] = api.scopes.tenants["testid"]
        assert api.post(GOOD_BODY, path="/analytics/a%2Fb%20%C3%BC") == OK


class TestProbes:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_healthy_while_the_process_lives(self, api: Api, method: str):
        api.acceptor.scopes = None
        api.acceptor.draining = True
        response = api.send(request(path="/health", method=method, content_type=None))
        assert response is not None
        assert (response.status, response.body) == (200, b'{"status":"alive"}')

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_ready_when_batches_are_accepted(self, api: Api, method: str):
        response = api.send(request(path="/ready", method=method, content_type=None))
        assert response is not None
        assert (response.status, response.body) == (200, b'{"status":"ready"}')

    def test_not_ready_before_scope_data_are_there(self, api: Api):
        api.acceptor.scopes = None
        answer = api.post(b"", path="/ready", method="GET")
        assert answer == (503, "NOT_READY", "Service is not initialized completely")

    def test_not_ready_while_draining_and_batches_that_come_are_served(self, api: Api):
        api.acceptor.draining = True
        assert api.post(b"", path="/ready", method="GET") == (503, "NOT_READY", "The service is stopping")
        assert api.post(GOOD_BODY) == OK

    def test_not_ready_while_the_disk_refuses_writes(self, api: Api):
        api.spool.is_writable = False
        assert api.post(b"", path="/ready", method="GET") == (503, "NOT_READY", "The disk refuses writes")


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


class TestAnswers:
    def test_success_is_an_empty_200_after_the_spool_has_the_batch(self, api: Api):
        api.spool.outcome = None
        exchange = request(GOOD_BODY)
        assert api.send(exchange) is None
        assert api.spool.records == [GOOD | TENANT_ADDED]
        api.spool.waiting.pop()(Outcome.COMMITTED)
        assert exchange.answer is not None
        assert (exchange.answer.status, exchange.answer.body, exchange.answer.headers) == (200, b"", ())

    def test_every_error_is_a_code_and_a_reason(self, api: Api):
        response = api.send(request(b"x"))
        assert response is not None
        assert json.loads(response.body) == {"errorCode": "BAD_DATA", "reason": "Not a valid JSON payload"}

    @pytest.mark.parametrize("status", [503, 500])
    def test_a_disk_that_refused_the_batch_is_told_with_a_time_to_retry(self, status: int):
        api = Api(AcceptOptions(overload_status=status))
        api.spool.outcome = Outcome.UNAVAILABLE
        response = api.send(request(GOOD_BODY))
        reason = "The disk refuses writes; nothing of the batch was kept; try again later"
        assert told(response) == (status, "STORAGE_UNAVAILABLE", reason)
        assert response is not None
        assert response.headers == ((b"Retry-After", b"5"),)

    @pytest.mark.parametrize(
        ("share", "because"),
        [(None, "The disk has no room for more"), (50, "This tenant has used up its share of the disk")],
    )
    def test_a_batch_that_found_no_room_within_the_limits_is_told_which_one(self, api: Api, share, because):
        api.acceptor.lease.told(
            allowed=0 if share is None else 10_000, is_full=False, share=share, shares={"testorg~testenv": 0}
        )
        exchange = request(GOOD_BODY)
        assert api.send(exchange) is None
        api.timers.advance(10)
        reason = f"{because}; nothing of the batch was kept; try again later"
        assert told(exchange.answer) == (503, "STORAGE_UNAVAILABLE", reason)

    @pytest.mark.parametrize("status", [503, 500])
    def test_a_buffer_that_stays_full_is_told_after_a_wait(self, status: int):
        api = Api(AcceptOptions(overload_status=status, overload_wait_seconds=10))
        api.spool.room = 0
        exchange = request(GOOD_BODY)
        assert api.send(exchange) is None
        api.timers.advance(9.9)
        assert exchange.answer is None
        api.timers.advance(0.1)
        assert told(exchange.answer)[:2] == (status, "OVERLOADED")
        assert exchange.answer is not None
        assert exchange.answer.headers == ((b"Retry-After", b"1"),)
        api.spool.make_room(5)
        assert api.spool.batches == []

    def test_a_batch_that_waited_and_found_room_is_accepted(self, api: Api):
        api.spool.room = 0
        exchange = request(GOOD_BODY)
        api.send(exchange)
        api.spool.make_room(1)
        assert told(exchange.answer) == OK

    def test_when_nobody_knows_whether_it_was_kept_there_is_no_answer(self, api: Api):
        api.spool.outcome = Outcome.UNKNOWN
        response = api.send(request(GOOD_BODY))
        assert response is not None
        assert response.status == 444

    def test_a_defect_of_ours_is_a_500_and_logged(self, api: Api, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(failpoints, "_armed", failpoints.parse("ingest.before_append=error"))
        with structlog.testing.capture_logs() as logs:
            reason = "The service failed; nothing of the batch was kept"
            assert api.post(GOOD_BODY) == (500, "INTERNAL_SERVER_ERROR", reason)
        assert [entry["event"] for entry in logs] == ["ingest.defect"]
        assert api.spool.batches == []

    def test_each_request_is_answered_once(self, api: Api):
        for how in ({"body": GOOD_BODY}, {"body": b"x"}, {"path": "/ready", "method": "GET"}, {"path": "/"}):
            channel = FakeChannel()
            api.send(request(channel=channel, **how))
            assert len(channel.answers) == 1


class TestBatches:
    def test_a_batch_goes_into_the_bucket_of_its_arrival(self):
        for interval, arrived_at, start_at in [
            (120, NOW, 1795310040),
            (120, 239.99, 120),
            (120, 240.0, 240),
            (7, 20.9, 14),
        ]:
            api = Api(AcceptOptions(interval_seconds=interval))
            api.post(GOOD_BODY, arrived_at=arrived_at)
            assert api.spool.batches[0].start_at == start_at
            assert isinstance(api.spool.batches[0].start_at, int)

    def test_a_batch_says_whose_it_is_and_how_much(self, api: Api):
        api.post(body_of(GOOD, good(a=1), organization="otherorg", environment="otherenv"), path="/analytics")
        (batch,) = api.spool.batches
        assert (batch.tenant, batch.records) == ("otherorg~otherenv", 2)
        assert batch.lines.count(b"\n") == 2
        assert batch.lines.endswith(b"}\n")

    def test_the_time_to_the_answer_is_counted_by_the_clock_that_arrival_was(self, api: Api):
        api.post(GOOD_BODY)
        assert api.acceptor.counters.seconds.sum == 0.25

    def test_news_of_the_scope_data_count_from_the_next_request(self, api: Api):
        body = body_of(good(client_id="testapikey"))
        api.post(body)
        api.scopes.developers.clear()
        api.post(body)
        assert [record["developer"] for record in api.spool.records] == ["testdeveloper", ""]

    def test_another_source_of_scope_data_takes_over_at_once(self, api: Api):
        other = Api()
        other.scopes.developers.clear()
        body = body_of(good(client_id="testapikey"))
        api.post(body)
        api.acceptor.scopes = other.scopes
        assert api.acceptor.scopes is other.scopes
        api.post(body)
        assert [record["developer"] for record in api.spool.records] == ["testdeveloper", ""]

    def test_the_configured_rules_are_followed(self):
        api = Api(AcceptOptions(payload=PayloadOptions(overwrites_tenant=True, adds_developer=False, max_records=2)))
        api.post(body_of(good(organization="x", client_id="testapikey")))
        assert api.spool.records == [good(organization="testorg", client_id="testapikey") | TENANT_ADDED]
        assert api.post(body_of(GOOD, GOOD, GOOD))[:2] == (413, "PAYLOAD_TOO_LARGE")

    def test_members_that_clients_really_send_arrive_untouched(self, api: Api):
        record = {
            "apiproxy": "edgemicro_hello",
            "apiproxy_revision": 15,
            "client_ip": "10.1.2.3, 10.4.5.6",
            **GOOD,
            "target_sent_end_timestamp": None,
            "request_uri": "http://host/hello?a=1&b={x}",
            "dc.region": "eu",
            "access_token": "fewGWG343LDV346345YCDS",
            "client_id": "testapikey",
        }
        api.post(body_of(record))
        assert api.spool.records == [record | TENANT_ADDED | DEVELOPER_ADDED]


class TestCounters:
    def test_requests_are_counted_by_status_and_code_and_accepted_records_with_their_bytes(self, api: Api):
        api.post(body_of(GOOD, GOOD))
        api.post(b"x")
        api.post(b"x")
        api.spool.outcome = Outcome.UNAVAILABLE
        api.post(GOOD_BODY)
        api.spool.outcome = Outcome.UNKNOWN
        api.send(request(GOOD_BODY))
        counters = api.acceptor.counters
        assert counters.answers() == {
            (200, ""): 1,
            (400, "BAD_DATA"): 2,
            (503, "STORAGE_UNAVAILABLE"): 1,
            (0, ""): 1,
        }
        assert counters.records == 2
        assert counters.bytes == len(api.spool.batches[0].lines)

    def test_the_state_is_in_the_repr(self, api: Api):
        assert repr(api.acceptor) == "<Acceptor ready: 0 waiting, 0 large>"
        api.spool.room = 0
        api.send(request(GOOD_BODY))
        api.acceptor.draining = True
        assert repr(api.acceptor) == "<Acceptor draining: 1 waiting, 0 large>"
        api.acceptor.scopes = None
        api.acceptor.draining = False
        assert repr(api.acceptor) == "<Acceptor without scopes: 1 waiting, 0 large>"


def test_the_body_of_a_batch_that_waits_for_the_disk_takes_no_memory(api: Api):
    exchange = request(GOOD_BODY)
    api.acceptor(exchange)
    assert len(api.spool.batches) == 1
    assert exchange.body == b""
