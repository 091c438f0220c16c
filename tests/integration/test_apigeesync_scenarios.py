"""The scenarios by which clients of Apigee Sync are compared, against the real service, by what a gateway sees."""

import json
import time

import pytest

from tests.apigeesync import faults
from tests.apigeesync.accounts import (
    APP,
    CLUSTER,
    DEVELOPER,
    MAPPER,
    PRODUCT,
    SCOPE,
    add_scope,
    remove_key,
    remove_scope,
)
from tests.apigeesync.collector import Known
from tests.apigeesync.tables import BOOL, SELECTOR, TEXT, Table
from tests.apigeesync.values import TimestampForm
from tests.harness import wait_until
from tests.integration.synced import TOO_OLD, collecting


@pytest.fixture(scope="module")
def collector(free_port):
    with collecting(free_port) as collector:
        yield collector


def test_01_a_first_start_takes_a_token_the_boot_snapshot_the_data_snapshot_and_then_follows_the_changes(collector):
    collector.wait_asked("changes", 2)
    requests = collector.stand_in.requests[:7]
    assert [request.endpoint for request in requests] == [
        "token",
        "snapshots",
        "data",
        "snapshots",
        "data",
        "changes",
        "changes",
    ]
    token, boot, _, data, _, first, second = requests
    assert token.headers["created_at_apid"]
    assert "updated_at_apid" not in token.headers
    assert boot.values("scope") == [CLUSTER]
    assert data.values("scope") == ["tenantid", CLUSTER]
    assert data.headers["Accept"] == "application/transicator+sqlite"
    assert (first.values("since"), first.values("block")) == ([], ["0"])
    assert first.values("snapshot")[0].startswith("1142792:1142792:")
    assert first.values("scope") == ["tenantid", CLUSTER]
    assert int(second.values("block")[0]) > 0
    for request in requests:
        assert request.headers["apid_cluster_Id"] == CLUSTER
        assert request.headers["apid_instance_id"] == token.headers["apid_instance_id"]
        assert request is token or request.headers["Authorization"] == f"Bearer {collector.stand_in.tokens.issued[0]}"


def test_02_a_restart_takes_no_snapshot_and_goes_on_at_the_stored_sequence(following, collector):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    asked_since = following.asked("changes")[-1].values("since")
    collector.service.terminate()
    seen, polls = len(collector.stand_in.requests), len(collector.stand_in.asked("changes"))
    collector.service.restart()
    collector.wait_asked("changes", polls + 1)
    assert [r.endpoint for r in collector.stand_in.requests[seen:]][:2] == ["token", "changes"]
    assert following.asked("changes")[-1].values("since") == asked_since
    assert "created_at_apid" not in following.asked("token")[-1].headers
    assert following.look_up(account) == collector.expected(account.scope, [account.key])


def test_03_a_401_at_snapshot_and_at_changes_gets_one_new_token_each_and_the_call_is_made_again(following):
    tokens = following.stand_in.tokens
    following.wait_polling() if following.asked("changes") else following.wake()
    issued = len(tokens.issued)
    tokens.revoke()
    account = following.new_account()
    following.wait_in_step()
    assert len(tokens.issued) == issued + 1
    following.faults.add("snapshots", faults.status(401, b""))
    following.then("changes", TOO_OLD)
    wait_until(lambda: len(tokens.issued) == issued + 2, what="a new token is fetched")
    following.new_key(account, "another", product="another")
    following.wait_in_step("another")
    assert len(tokens.issued) == issued + 2


def test_04_snapshot_too_old_leads_to_a_new_snapshot_even_of_the_same_transaction(following, collector):
    account = following.new_account()
    following.wait_in_step()
    answer = following.look_up(account)
    following.wait_polling()
    version, snapshots = collector.scopes_status()["version"], len(following.asked("data"))
    following.then("changes", TOO_OLD, times=2)
    wait_until(lambda: len(following.asked("data")) == snapshots + 2, what="two snapshots")
    following.wait_polling()
    assert following.look_up(account) == answer
    first, second = following.asked("data")[-2:]
    assert first.query == second.query
    assert collector.scopes_status()["version"] not in (version, "")
    following.new_key(account, "later", product="later")
    following.wait_in_step("later")


def test_05_a_new_scope_is_served_with_its_data_and_a_removed_one_is_unknown(following, collector):
    account = following.new_account()
    started = time.monotonic()
    following.wait_in_step()
    assert time.monotonic() - started < 15  # about a second; this machine may be busy
    assert following.look_up(account)[account.key].developer == f"dev{account.scope}"
    following.wait_polling()
    assert account.tenant in following.asked("changes")[-1].values("scope")
    assert collector.look_up_tenant(account.org, "prod")
    remove_scope(following.database, account.scope)
    following.wait_in_step()
    assert following.look_up(account) is None
    assert not collector.look_up_tenant(account.org, "prod")
    following.wait_polling()
    assert account.tenant not in following.asked("changes")[-1].values("scope")


def test_06_a_change_of_an_unknown_table_leads_to_one_snapshot_and_no_loop(following):
    table = Table(
        name=f"kms.novelty_{time.time_ns()}", columns={"id": TEXT, "is_new": BOOL, SELECTOR: TEXT}, key=("id",)
    )
    following.database.create(table)
    with following.database.transaction() as transaction:
        transaction.insert(table.name, id="n", is_new=True, **{SELECTOR: "tenantid"})
        transaction.update(DEVELOPER, "tenantid", "testdeveloperid", email="novel@example.com")
    following.wait_in_step()
    following.wait_polling()
    snapshots = len(following.asked("data"))
    assert snapshots <= 1
    following.database.update(table.name, "n", is_new=False)
    following.wait_polling()
    assert len(following.asked("data")) == snapshots


def test_07_an_insert_that_comes_twice_stalls_nothing(following):
    account = following.new_account()
    following.wait_in_step()

    def twice(answer):
        answer["changes"] = (answer["changes"] or []) * 2

    following.faults.add("changes", faults.edited(twice), times=3)
    following.new_key(account, "k2", product="p2")
    following.wait_in_step("k2")
    following.wait_polling()
    following.new_key(account, "k3", product="p3")
    following.wait_in_step("k2", "k3")


def test_08_a_transaction_that_is_longer_than_a_page_is_applied_to_its_end(following, collector):
    account = following.new_account()
    following.wait_in_step()
    keys = [f"{account.key}-{number}" for number in range(250)]
    with following.database.transaction() as transaction:
        for key in keys:
            ends = {"app_id": f"app{account.scope}id", "apiprdt_id": f"product{account.scope[1:]}id"}
            transaction.insert(MAPPER, tenant_id=account.tenant, appcred_id=key, **ends, **{SELECTOR: account.tenant})
    collector.wait_in_step([account.scope], keys)
    assert all(known.developer for known in following.look_up(account, *keys).values())


def test_09_another_cluster_id_is_another_instance_with_snapshots_of_its_own(free_port):
    with collecting(free_port) as collector:
        stand_in, service = collector.stand_in, collector.service
        service.terminate()
        row = {"id": "c2", "name": "other", SELECTOR: "c2"}
        stand_in.database.load("edgex.apid_cluster", [row])
        add_scope(stand_in.database, "s2", "acme", "prod", "t2", cluster="c2")
        service.settings["apigeesync_cluster_id"] = "c2"
        seen = len(stand_in.requests)
        service.restart(ready=False)
        wait_until(lambda: len(stand_in.requests) >= seen + 5, what="it takes snapshots again")
        token, boot, _, data, _ = stand_in.requests[seen : seen + 5]
        assert token.headers["apid_instance_id"] != stand_in.requests[0].headers["apid_instance_id"]
        assert "created_at_apid" in token.headers
        assert (boot.values("scope"), data.values("scope")) == (["c2"], ["t2", "c2"])
        service.wait_ready()
        assert collector.look_up("testid", []) is None
        assert collector.look_up("s2", ["k"]) == {"k": Known("acme", "prod")}


def test_10_a_snapshot_that_is_cut_is_fetched_again_while_the_old_version_serves(following):
    account = following.new_account()
    following.wait_in_step()
    answer = following.look_up(account)
    following.faults.add("data", faults.cut(5000), times=2)
    following.then("changes", TOO_OLD)
    while len(following.asked("data")) < 3:
        assert following.look_up(account) == answer
    following.new_key(account, "after", product="after")
    following.wait_in_step("after")


def test_14_every_refusal_of_the_data_api_holds_with_tenants_of_apigee_sync(following):
    account = following.new_account()
    following.wait_in_step()
    start = int(time.time() * 1000)
    good = {"client_received_start_timestamp": start, "client_received_end_timestamp": start + 1}
    json_type = {"Content-Type": "application/json"}
    known = f"/analytics/{account.scope}"
    named = {"organization": account.org, "environment": "prod"}
    rows = [
        (known, {"records": [good]}, json_type, 200, None),
        ("/analytics", {**named, "records": [good]}, json_type, 200, None),
        (known, {"records": [good]}, {"Content-Type": "text/plain"}, 400, "UNSUPPORTED_CONTENT_TYPE"),
        ("/analytics/nobody", {"records": [good]}, json_type, 400, "UNKNOWN_SCOPE"),
        (known, {"records": [good]}, {**json_type, "Content-Encoding": "br"}, 400, "UNSUPPORTED_CONTENT_ENCODING"),
        (known, {"records": [good]}, {**json_type, "Content-Encoding": "gzip"}, 400, "BAD_DATA"),
        (known, [good], json_type, 400, "BAD_DATA"),
        ("/analytics", {"records": [good]}, json_type, 400, "MISSING_FIELD"),
        ("/analytics", {"organization": account.org, "records": [good]}, json_type, 400, "MISSING_FIELD"),
        ("/analytics", {**named, "environment": "test", "records": [good]}, json_type, 400, "UNKNOWN_SCOPE"),
        (known, {}, json_type, 400, "NO_RECORDS"),
        (known, {"records": {}}, json_type, 400, "BAD_DATA"),
        (known, {"records": []}, json_type, 400, "NO_RECORDS"),
        (known, {"records": [good, 1]}, json_type, 400, "BAD_DATA"),
        (known, {"records": [{}]}, json_type, 400, "MISSING_FIELD"),
        (known, {"records": [{**good, "client_received_start_timestamp": "1"}]}, json_type, 400, "BAD_DATA"),
        (known, {"records": [{**good, "client_received_start_timestamp": start + 2}]}, json_type, 400, "BAD_DATA"),
    ]
    for path, body, headers, status, code in rows:
        answered, answer = following.service.request("POST", path, json.dumps(body).encode(), headers)
        found = json.loads(answer)["errorCode"] if answer else None
        assert (answered, found) == (status, code), body


@pytest.mark.parametrize("location", ["/data", "/edgex/data", "{origin}/data", "{origin}/edgex/data"])
def test_15_a_redirect_leads_to_the_snapshot_with_and_without_the_prefix(following, location):
    origin = following.stand_in.base_url.removesuffix("/edgex")
    following.stand_in.data_location = location.format(origin=origin)
    following.force_snapshot()
    following.stand_in.data_location = "/data"
    following.wait_polling()
    (snapshot,) = following.asked("data")
    assert snapshot.headers["Authorization"].startswith("Bearer ")
    assert snapshot.headers["Accept"] == "application/transicator+sqlite"
    assert snapshot.headers["apid_cluster_Id"] == CLUSTER


@pytest.mark.parametrize("form", TimestampForm)
def test_16_a_value_means_the_same_in_a_snapshot_and_in_a_change(following, form):
    following.stand_in.timestamps = form
    account, database = following.new_account(), following.database
    following.wait_in_step()
    developer = (account.tenant, f"dev{account.scope}id")
    database.update(DEVELOPER, *developer, unchanged=("email", "password"), username="renamed", first_name="Ann")
    following.wait_in_step()
    assert following.look_up(account)[account.key].email == f"{account.scope}@example.com"
    database.update(DEVELOPER, *developer, email=None)
    database.update(PRODUCT, account.tenant, f"product{account.scope[1:]}id", is_public=False, quota_interval=None)
    following.wait_in_step()
    assert following.look_up(account)[account.key].email == ""
    database.update(APP, account.tenant, f"app{account.scope}id", developer_id=None, name="of a company")
    following.wait_in_step()
    assert following.look_up(account)[account.key][2:] == (f"product{account.scope[1:]}", "of a company", "", "")
    before = following.look_up(account)
    following.force_snapshot()
    following.wait_polling()
    assert following.look_up(account) == before
    remove_key(database, account.key, account.tenant)
    database.update(SCOPE, account.scope, env="test")
    following.wait_in_step()
    assert following.look_up(account)[account.key] == Known(account.org, "test")
