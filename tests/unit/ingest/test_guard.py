"""Where tokens are asked for: who is let in, and what the others are told."""

import asyncio
import json

import pytest

from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token, hash_token
from apidanalytics.ingest import guard
from apidanalytics.ingest.guard import Guard
from tests.unit.ingest.batches import Api, FakeChannel, body_of, good, request, told

BODY = body_of(good())
NAMED = body_of(good(), organization="testorg", environment="testenv")


def token(text, *tenants, scopes=()):
    return Token(
        name=text, hash=hash_token(text), tenants=tuple(Pattern(one) for one in tenants), scopes=frozenset(scopes)
    )


TOKENS = [
    token("all", "*~*"),
    token("mine", "testorg~testenv"),
    token("other", "otherorg~*"),
    token("scope", scopes=["testid"]),
]


@pytest.fixture
def api():
    return Api(tokens=TOKENS)


def send(api, authorization, body=BODY, path="/analytics/testid", **how):
    exchange = request(body, path=path, **how)
    if authorization is not None:
        exchange.headers[b"authorization"] = authorization.encode()
    return api.send(exchange)


@pytest.mark.parametrize("name", ["all", "mine", "scope"])
def test_a_token_lets_the_batches_of_its_tenant_in_however_it_is_spelled(api, name):
    for header in (f"Bearer {name}", f"bearer {name}", f"BEARER   {name}", f"Bearer {name}  "):
        assert told(send(api, header)) == (200, "", "")
    assert len(api.spool.batches) == 4


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "mine", "Token mine", "Bearermine"])
def test_without_a_token_no_tenant_and_no_body_is_looked_at(api, header):
    response = send(api, header, body=b"{", path="/analytics/unknown", content_type="text/plain")
    assert told(response) == (401, "UNAUTHORIZED", "A bearer token is required")
    assert response.headers == ((b"WWW-Authenticate", b'Bearer realm="apidanalytics"'),)
    assert api.scopes.asked == []


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer mine x", "Bearer mineX", "Bearer \x00", "Bearer Mine"])
def test_a_wrong_token_is_told_so_and_not_repeated(api, header):
    response = send(api, header)
    assert told(response) == (401, "UNAUTHORIZED", "This bearer token is not valid")
    assert b'error="invalid_token"' in response.headers[0][1]
    assert api.spool.batches == []


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("other", "/analytics/testid", BODY),
        ("scope", "/analytics/otherid", BODY),
        ("mine", "/analytics/otherid", BODY),
        ("other", "/analytics", NAMED),
        ("scope", "/analytics", NAMED),
    ],
)
def test_a_token_for_others_is_403(api, name, path, body):
    assert told(send(api, f"Bearer {name}", body, path)) == (
        403, "TENANT_NOT_ALLOWED", "This bearer token is not for this tenant"
    )  # fmt: skip
    assert api.spool.batches == []


def test_which_tenants_there_are_is_not_told_to_a_token_that_is_not_for_them(api):
    for org in ("testorg", "nobody"):
        body = body_of(good(), organization=org, environment="testenv")
        assert told(send(api, "Bearer other", body, "/analytics"))[0] == 403
    assert api.scopes.asked == []
    body = body_of(good(), organization="otherorg", environment="nowhere")
    assert told(send(api, "Bearer other", body, "/analytics"))[1] == "UNKNOWN_SCOPE"


async def test_a_large_batch_is_held_against_its_token_too(api):
    big = body_of(*[good(pad="x" * 1000)] * 1500, organization="testorg", environment="testenv")
    for name, status in (("other", 403), ("mine", 200)):
        exchange = request(big, path="/analytics")
        exchange.headers[b"authorization"] = f"Bearer {name}".encode()
        api.send(exchange)
        while exchange.answer is None:
            await asyncio.sleep(0.001)
        assert exchange.answer.status == status


def test_probes_need_no_token(api):
    for path in ("/health", "/ready"):
        assert api.send(request(path=path, method="GET")).status == 200


def test_until_the_tokens_are_known_nobody_is_let_in():
    api = Api(tokens=None)
    assert told(send(api, "Bearer all"))[:2] == (500, "INTERNAL_SERVER_ERROR")
    assert api.send(request(path="/ready", method="GET")).status == 503
    api.guard.renew(TOKENS)
    assert told(send(api, "Bearer all"))[0] == 200
    assert api.send(request(path="/ready", method="GET")).status == 200


def test_a_token_that_is_taken_out_counts_no_more_also_where_it_was_remembered(api):
    assert told(send(api, "Bearer mine"))[0] == 200
    api.guard.renew(TOKENS[:1])
    assert told(send(api, "Bearer mine"))[0] == 401
    assert told(send(api, "Bearer all"))[0] == 200


def test_answers_are_counted_by_their_codes(api):
    send(api, None)
    send(api, "Bearer other")
    assert api.acceptor.counters.requests == {(401, "UNAUTHORIZED"): 1, (403, "TENANT_NOT_ALLOWED"): 1}


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(guard, "MAX_REMEMBERED", 3)
    guarded = Guard()
    guarded.renew(TOKENS)
    for spaces in range(1, 10):
        assert guarded.token(b"Bearer" + b" " * spaces + b"all") is TOKENS[0]
        assert len(guarded._remembered) <= 3
    for number in range(10):
        guarded.token(b"Bearer wrong%d" % number)
    assert b"Bearer wrong0" not in guarded._remembered


def test_no_token_is_in_an_answer_or_a_repr(api):
    assert b"sesame" not in send(api, "Bearer sesame").body
    assert "sha256" not in repr(api.guard)
    assert json.loads(send(api, "Bearer sesame").body).keys() == {"errorCode", "reason"}
    assert FakeChannel().answers == []
