"""What the acceptor does beside the rows of the contract's table: paths, probes, answers, batches, counters."""

import json

import pytest
import structlog

from apidanalytics import failpoints
from apidanalytics.ingest.accept import AcceptOptions
from apidanalytics.ingest.payload import PayloadOptions
from apidanalytics.model import Outcome
from tests.unit.ingest.batches import (
    DEVELOPER_ADDED,
    GOOD,
    GOOD_BODY,
    NOW,
    OK,
    TENANT_ADDED,
    Api,
    FakeChannel,
    body_of,
    good,
    request,
    told,
)


@pytest.fixture
def api() -> Api:
    return Api()


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
