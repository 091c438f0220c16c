"""What is filled in is what botocore makes of the whole request."""

import datetime as dt

import botocore.auth
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from apidanalytics.collection import s3
from apidanalytics.collection.ports import Put
from apidanalytics.collection.s3 import S3Store
from apidanalytics.collection.s3_form import SignedForm

NOON = 1_767_355_200
"""2026-01-02T12:00:00Z"""
KEYS = ["k", "acme~prod/date=2026-01-02/time=03-04/f.txt.gz", "a%2Fb~c/é ü+&=?#/20260102T120000Z", "x" * 900]
ASKED = [
    {},
    {"encrypt": True},
    {"expires_seconds": 60, "content_type": "application/json"},
    {"asked_at": NOON + 86400},
    {"asked_at": NOON + 43199},
    {"asked_at": NOON + 43200},
]


@pytest.fixture(params=[None, "a/token+of=the instance"], ids=["key-pair", "session-token"])
def store(request, monkeypatch):
    made = S3Store(
        bucket="b.c",
        region="eu-west-1",
        endpoint="http://127.0.0.1:9000",
        addressing="path",
        access_key_id="AK",
        secret_access_key="sk",
        create_only=True,
    )
    made._session.set_credentials("20260102T", "sk", request.param)
    made.refresh()
    return made


def put(**changed):
    asked = {"content_type": "application/x-gzip", "encrypt": False, "asked_at": NOON, "expires_seconds": 900}
    return Put(**({"key": "k"} | asked | changed))


def by_botocore(store, asked, headers, monkeypatch):
    at = dt.datetime.fromtimestamp(asked.asked_at, dt.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: at)
    request = AWSRequest("PUT", store._base + botocore.auth.quote(asked.key, safe="/~"), headers=headers)
    S3SigV4QueryAuth(store._credentials, "s3", "eu-west-1", asked.expires_seconds).add_auth(request)
    return request.url


@pytest.mark.parametrize("changed", ASKED)
def test_a_url_is_the_one_that_botocore_makes_for_every_key_day_and_kind_of_put(store, monkeypatch, changed):
    for key in KEYS:
        asked = put(key=key, **changed)
        signed = store.sign(asked)
        assert signed.url == by_botocore(store, asked, dict(signed.headers), monkeypatch)


def test_the_form_is_another_one_on_another_day_and_with_other_credentials(store, monkeypatch):
    for seconds in (0, 86400, 0, 1):
        asked = put(asked_at=NOON + seconds)
        signed = store.sign(asked)
        assert signed.url == by_botocore(store, asked, dict(signed.headers), monkeypatch)
    before = store.sign(put()).url
    store._session.set_credentials("OTHER", "secret")
    store.refresh()
    asked = put()
    assert store.sign(asked).url == by_botocore(store, asked, dict(store.sign(asked).headers), monkeypatch) != before


def test_credentials_that_come_while_a_form_is_made_count_from_the_next_url_on(store, monkeypatch):
    def refreshed(*arguments, **named):
        monkeypatch.undo()
        store._session.set_credentials("NEW", "secret")
        store.refresh()
        return SignedForm(*arguments, **named)

    monkeypatch.setattr(s3, "SignedForm", refreshed)
    assert "NEW" not in store.sign(put()).url
    assert "NEW" in store.sign(put()).url


def test_a_form_that_could_not_be_filled_in_is_refused(monkeypatch):
    monkeypatch.setattr(S3SigV4QueryAuth, "canonical_request", lambda *_: "of another kind")
    with pytest.raises(ValueError, match="not known here"):
        SignedForm(
            "http://h/",
            {},
            credentials=ReadOnlyCredentials("a", "s", None),
            region="r",
            expires_seconds=1,
            at="20260102T120000Z",
        )
