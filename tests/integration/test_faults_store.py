"""A real service whose collection endpoint or object store is in trouble: nothing lost, nothing doubled."""

import random
import time

import pytest

from apidanalytics.layout import format_tenant
from tests.crash.load import SCOPES, TENANTS, Load, amounts, assert_books_balance, is_settled, wait_settled
from tests.harness import files_below, wait_until
from tests.integration.faulty_store import TOKEN, FaultyStore

FIRST, SECOND = (format_tenant(tenant.org, tenant.env) for tenant in TENANTS)


@pytest.fixture
def store(data_directory, free_port):
    with FaultyStore(data_directory / "objects", free_port()) as store:
        yield store


@pytest.fixture
def start_with(start_service, data_directory):
    """Return a function that starts the service against a store, as it runs in production."""

    def start(store, **settings):
        quick = {
            "local_storage_path": data_directory / "collector",
            "apidanalytics_uap_server_base": store.url,
            "apidanalytics_scopes_file": SCOPES,
            "apigeesync_bearer_token": TOKEN,
            "apidanalytics_collection_interval": 1,
            "apidanalytics_upload_interval": "0.2s",
            "apidanalytics_upload_attempts": 2,
            "apidanalytics_upload_timeout": 1,
            "apidanalytics_workers": 1,
        }
        quick |= settings
        if quick["apigeesync_bearer_token"] is None:
            del quick["apigeesync_bearer_token"]
        return start_service(**quick)

    return start


def assert_conserved(service, load, store, data_directory):
    wait_settled(service)
    assert store.altered == []
    assert_books_balance(service, load.assert_conserved(data_directory / "objects"))


def test_a_store_that_is_down_at_the_start_gets_everything_later(store, start_with, data_directory):
    service = start_with(store)
    with Load(service, seed=1) as load:
        load.wait_acknowledged(1500)
        wait_until(lambda: amounts(service)["staged"], what="files wait")
        store.start()
        load.wait_acknowledged(500)
        load.stop()
    assert_conserved(service, load, store, data_directory)


@pytest.mark.parametrize(
    ("trouble", "seen"),
    [
        pytest.param({"sign_status": {"": 500}}, "500", id="the endpoint answers 500"),
        pytest.param({"sign_status": {FIRST: 403}}, "403", id="the endpoint forbids a tenant"),
        pytest.param({"sign_status": {SECOND: 404}}, "404", id="the endpoint does not know a tenant"),
        pytest.param({"put_status": {"": 500}}, "500", id="the store answers 500"),
        pytest.param({"put_status": {FIRST: 403}}, "403", id="the store forbids a tenant"),
        pytest.param({"takes_then": "break"}, "broken", id="the store takes the object and breaks the connection"),
        pytest.param({"takes_then": "500"}, "500", id="the store takes the object and answers 500"),
        pytest.param({"takes_then": "slow"}, "slow", id="the store takes the object and does not answer in time"),
        pytest.param({"delay_seconds": 0.4}, "taken", id="everything is slow"),
    ],
)
def test_trouble_loses_nothing_and_doubles_nothing(trouble, seen, store, start_with, data_directory):
    store.start()
    service = start_with(store)
    with Load(service, seed=2) as load:
        for attribute, value in trouble.items():
            setattr(store, attribute, value)
        wait_until(lambda: store.seen[seen] >= 3, what=f"three times {seen}")
        store.heal()
        load.wait_acknowledged(500)
        load.stop()
    assert_conserved(service, load, store, data_directory)


def test_one_tenants_trouble_does_not_hold_up_another(store, start_with, data_directory):
    store.start()
    store.sign_status = {FIRST: 403}
    service = start_with(store)
    with Load(service, seed=3) as load:
        wait_until(lambda: len(files_below(data_directory / "objects" / SECOND)) >= 2, what="objects of it")
        load.stop()
    assert not (data_directory / "objects" / FIRST).exists()
    store.heal()
    assert_conserved(service, load, store, data_directory)


def test_a_token_that_is_refused_holds_everything_until_the_right_one_is_there(store, start_with, data_directory):
    token = data_directory / "token"
    token.write_text("an-old-token\n")
    store.start()
    service = start_with(store, apigeesync_bearer_token=None, apigeesync_bearer_token_file=token)
    with Load(service, seed=4) as load:
        wait_until(lambda: store.seen["401"] >= 3, what="the token is refused")
        load.stop()
    assert amounts(service)["failed"] == 0
    assert store.seen["taken"] == 0
    token.write_text(f"{TOKEN}\n")
    assert_conserved(service, load, store, data_directory)
    assert "an-old-token" not in service.log()
    assert TOKEN not in service.log()


def test_kills_while_the_store_is_in_random_trouble_lose_nothing(store, start_with, data_directory, capsys):
    dice = random.Random(5)
    store.start()
    service = start_with(store)
    with Load(service, seed=5) as load:
        for _ in range(3):
            store.heal()
            trouble = dice.choice(
                [
                    ("takes_then", "break"),
                    ("takes_then", "slow"),
                    ("put_status", {"": 500}),
                    ("sign_status", {FIRST: 404}),
                ]
            )
            setattr(store, *trouble)
            time.sleep(dice.uniform(0.3, 1))
            service.kill_agent()
            service.restart()
        store.heal()
        load.wait_acknowledged(500)
        load.stop()
    assert_conserved(service, load, store, data_directory)
    assert is_settled(service)
