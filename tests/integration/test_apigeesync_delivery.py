"""What tenants of Apigee Sync sent arrives under their own names, with the token of Apigee Sync. Scenarios 11 to 13."""

import gzip
import json
import time

import pytest

from tests.apigeesync.accounts import remove_scope
from tests.harness import wait_until
from tests.integration.faulty_store import FaultyStore
from tests.integration.synced import Following, collecting

RECORDS = 30


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def store(free_port, lake):
    with FaultyStore(lake, free_port()) as store:
        store.start()
        yield store


@pytest.fixture(scope="module")
def collector(free_port, store):
    with collecting(free_port, apidanalytics_collection_interval=1, apidanalytics_uap_server_base=store.url) as made:
        store.accepts = made.stand_in.tokens.accepts
        yield made


@pytest.fixture
def following(collector, store):
    yield Following(collector)
    store.heal()


def accounts_in_service(following, number):
    """New accounts that may send already."""
    accounts = [following.new_account() for _ in range(number)]
    wait_until(
        lambda: all(following.collector.look_up_tenant(account.org, "prod") for account in accounts),
        what="the new scopes are served",
    )
    return accounts


def send(following, account, label, records=RECORDS):
    start = int(time.time() * 1000)
    batch = [{"client_received_start_timestamp": start, "label": label, "number": n} for n in range(records)]
    assert following.service.post(account.scope, batch) == (200, b"")


def delivered(lake, account, label):
    """The numbers of the records with this label in this tenant's files, sorted."""
    records = []
    for path in lake.glob(f"{account.org}~prod/date=*/time=*/*.txt.gz"):
        records += map(json.loads, gzip.decompress(path.read_bytes()).splitlines())
    assert {record["organization"] for record in records} <= {account.org}
    return sorted(record["number"] for record in records if record.get("label") == label)


def wait_delivered(lake, account, label, records=RECORDS):
    wait_until(lambda: delivered(lake, account, label) == list(range(records)), what=f"{label} of {account.org}")


def test_11_two_tenants_in_one_interval_have_a_directory_each(following, lake):
    accounts = accounts_in_service(following, 2)
    for account in accounts:
        send(following, account, "together")
    for account in accounts:
        wait_delivered(lake, account, "together")


def test_12_what_was_acknowledged_before_a_kill_arrives_with_no_partial_line_and_so_does_that_of_a_removed_scope(
    following, lake
):
    account, removed = accounts_in_service(following, 2)
    send(following, removed, "before")
    remove_scope(following.database, removed.scope)
    wait_until(lambda: not following.collector.look_up_tenant(removed.org, "prod"), what="the scope is unknown")
    send(following, account, "before")
    following.service.kill_all()
    following.service.restart()
    wait_delivered(lake, account, "before")
    wait_delivered(lake, removed, "before")
    assert not following.collector.look_up_tenant(removed.org, "prod")


def test_13_refusals_of_the_collection_endpoint_and_the_store_lose_nothing(following, lake, store):
    accounts = accounts_in_service(following, 4)
    names = [f"{account.org}~prod" for account in accounts]
    store.sign_status = dict(zip(names, (401, 404, 500), strict=False))
    store.put_status = {names[3]: 403}
    seen = store.seen.copy()
    for account in accounts:
        send(following, account, "refused")
    refusals = ("401", "404", "500", "403")
    wait_until(lambda: all(store.seen[status] > seen[status] for status in refusals), what="each has been refused")
    store.heal()
    for account in accounts:
        wait_delivered(lake, account, "refused")
    assert not store.altered


def test_a_token_that_the_collection_endpoint_no_longer_takes_is_replaced(following, lake):
    (account,) = accounts_in_service(following, 1)
    following.wait_polling()
    issued = len(following.stand_in.tokens.issued)
    following.stand_in.tokens.revoke()  # nobody asks Apigee Sync itself now: a long poll is under way
    send(following, account, "expired")
    wait_delivered(lake, account, "expired")
    assert len(following.stand_in.tokens.issued) == issued + 1
