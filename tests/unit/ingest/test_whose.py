"""Whose a request is, before it is handled: by its path, or by the beginning of a body that names its tenant."""

import pytest

from apidanalytics.ingest.crowd import Crowd
from apidanalytics.ingest.http import KEEP, Exchange
from apidanalytics.ingest.lanes import UNNAMED_LANE
from apidanalytics.ingest.whose import NOBODYS_LANE
from tests.unit.ingest.batches import OTHER_TENANT, TENANT, Api, body_of, good, zipped

NAMED = body_of(*[good()] * 50, organization="testorg", environment="testenv")
OTHER = body_of(*[good()] * 50, organization="otherorg", environment="otherenv")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    ("path", "body", "lane"),
    [
        (b"/analytics/testid", b"", TENANT.name),
        (b"/analytics/testid", OTHER, TENANT.name),
        (b"/analytics/made-up", NAMED, NOBODYS_LANE),
        (b"/elsewhere", NAMED, NOBODYS_LANE),
        (b"/analytics", NAMED, TENANT.name),
        (b"/analytics", OTHER, OTHER_TENANT.name),
        (b"/analytics", zipped(OTHER), OTHER_TENANT.name),
        (b"/analytics", b"", UNNAMED_LANE),
        (b"/analytics", body_of(good(), organization="made", environment="up"), UNNAMED_LANE),
        (b"/analytics", b'{"organization":7,"environment":"testenv","records":[', UNNAMED_LANE),
        (b"/analytics", b'{"records":[' + b"{}," * 400 + b'{}],"organization":"testorg"}', UNNAMED_LANE),
        (b"/analytics", b"\x1f\x8bno gzip", UNNAMED_LANE),
        (b"/analytics", b'{"organization":"\xff","environment":"testenv","records":[', UNNAMED_LANE),
        (b"/analytics", b'{"organization":"\\ud800","environment":"testenv","records":[', UNNAMED_LANE),
    ],
)
def test_the_lane_of_a_request(api: Api, path: bytes, body: bytes, lane: str):
    assert api.acceptor.lane_of(path, body) == lane


def test_a_failing_look_up_and_a_worker_without_scopes_give_the_shared_lane(api: Api):
    api.scopes.tenants_fail = True
    assert api.acceptor.lane_of(b"/analytics", NAMED) == UNNAMED_LANE
    api.acceptor.scopes = None
    assert api.acceptor.lane_of(b"/analytics", NAMED) == UNNAMED_LANE


def test_in_a_crowd_those_that_name_their_tenant_take_turns_too(api: Api):
    handled: list[bytes] = []
    crowd = Crowd(api.acceptor.lane_of, lambda exchange: handled.append(exchange.body))

    def request(body: bytes) -> Exchange:
        return Exchange(None, b"POST", b"/analytics", {}, body, 0.0, KEEP)  # type: ignore[arg-type]

    crowd.add([*(request(NAMED) for _ in range(100)), request(OTHER)])
    assert not crowd.handle(lambda: 0.0)
    assert handled.index(OTHER) == 1
