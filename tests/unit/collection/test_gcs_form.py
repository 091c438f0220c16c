"""What is filled in is what google-cloud-storage makes of the whole request: this kind of RSA has no chance in it."""

import datetime as dt

import pytest
from google.cloud.storage import _signing

from apidanalytics.collection import gcs_form
from apidanalytics.collection.gcs import GcsStore
from apidanalytics.collection.gcs_form import SignedForm
from apidanalytics.collection.ports import Put
from tests.contract.stores import service_account

NOON = 1_767_355_200
"""2026-01-02T12:00:00Z"""
KEYS = ["k", "acme~prod/date=2026-01-02/time=03-04/f.txt.gz", "a%2Fb~c/é ü+&=?#/20260102T120000Z"]


@pytest.fixture
def at(monkeypatch):
    """Set the library's clock."""

    def at(seconds):
        monkeypatch.setattr(_signing, "_NOW", lambda zone: dt.datetime.fromtimestamp(seconds, zone))

    return at


@pytest.fixture(scope="module", params=[(None, True), ("http://127.0.0.1:4443", False)], ids=["google", "own"])
def store(request):
    endpoint, create_only = request.param
    return GcsStore(bucket="b_c", credentials=service_account()[0], endpoint=endpoint, create_only=create_only)


def put(**changed):
    asked = {"content_type": "application/x-gzip", "encrypt": False, "asked_at": NOON, "expires_seconds": 900}
    return Put(**({"key": "k"} | asked | changed))


def by_library(store, asked):
    return store._by_library(asked, asked.key, store._account)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"expires_seconds": 60, "content_type": "application/json"},
        {"asked_at": NOON + 43199},
        {"asked_at": NOON + 43200},
        {"asked_at": NOON + 0.7},
    ],
)
def test_a_url_is_the_one_that_the_library_makes_for_every_key_day_and_kind_of_put(store, at, changed):
    for key in KEYS:
        asked = put(key=key, **changed)
        at(asked.asked_at)
        signed = store.sign(asked)
        assert signed.url == by_library(store, asked)
        assert signed.headers == {"Content-Type": asked.content_type, **store._create_only}


def test_a_form_is_learned_once_a_day(store, at, monkeypatch):
    asked = []
    ask = store._by_library
    monkeypatch.setattr(store, "_forms", {})
    monkeypatch.setattr(store, "_by_library", lambda *given: asked.append(given) or ask(*given))
    for seconds in (0, 1, 43199, 43200, 43201):
        at(NOON + seconds)
        store.sign(put(asked_at=NOON + seconds))
    assert len(asked) == 2


def test_where_the_two_clocks_are_on_different_days_the_library_signs_by_its_own(store, at, monkeypatch):
    monkeypatch.setattr(store, "_forms", {})
    at(NOON + 86400)
    assert store.sign(put()).url == by_library(store, put())


def test_forms_are_not_kept_without_end(store, at):
    at(NOON)
    for expires_seconds in range(1, 200):
        headers = {"Content-Type": "application/x-gzip", **store._create_only}
        store._form(put(expires_seconds=expires_seconds), headers, "20260102T120000Z")
    assert len(store._forms) <= 64


def test_a_library_that_signs_something_else_is_noticed_and_does_it_itself(store, at, monkeypatch):
    at(NOON)
    url = by_library(store, put()).partition("X-Goog-Signature")[0] + "X-Goog-Signature="
    with pytest.raises(ValueError, match="not known here"):
        SignedForm(url, "GOOG4-RSA-SHA256\n20260102T120000Z\nscope\n" + "0" * 64, {})
    monkeypatch.setattr(store, "_forms", {})
    monkeypatch.setattr(gcs_form, "_canonical", lambda *_: "of another kind")
    assert store.sign(put()).url == by_library(store, put())
