"""What a worker's parts tell each other so that floods are held back, and who can have whom held."""

from types import SimpleNamespace

import pytest

from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token, hash_token
from apidanalytics.ingest.routes import Routes
from apidanalytics.service import floods
from tests.unit.ingest.batches import Api, body_of, good, request

VICTIM, ANOTHER = "testorg~testenv", "otherorg~otherenv"
NAMED = b'{"organization":"testorg","environment":"testenv","records":['
TOKENS = [
    Token(name="its", hash=hash_token("its"), tenants=(Pattern("testorg~*"),)),
    Token(name="of its scope", hash=hash_token("scope"), scopes=frozenset({"testid"})),
    Token(name="another's", hash=hash_token("another"), tenants=(Pattern("otherorg~*"),)),
]


class World:
    """A worker's parts, of which the acceptor is real; the looks of half a second come when the test says so."""

    def __init__(self, tokens=()):
        self.api = Api(tokens=tokens)
        self.held, self.timers = [], []
        self.writer = SimpleNamespace(who_posts=lambda: {VICTIM, ANOTHER}, thread_ids=(), on_company=None)
        self.floods = floods.hold_floods_back(
            SimpleNamespace(hold_back=self.held.append, may_go=lambda: False),
            self.writer,
            self.api.acceptor,
            routes=Routes("/analytics"),
            guard=self.api.guard if tokens else None,
            call_later=lambda _, call: self.timers.append(call),
        )

    def flood(self, token=None, body=b"", **how):
        """Send fifty requests that are refused, while another tenant posts."""
        for _ in range(50):
            exchange = request(body, **how)
            if token:
                exchange.headers[b"authorization"] = b"Bearer " + token
            assert 400 <= self.api.send(exchange).status < 500
        self.api.acceptor.counters.batches += 100
        for look in self.timers.copy():
            look()


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    """Leave the scheduling of this process as it is; return what was asked for."""
    asked = []
    monkeypatch.setattr(floods, "step_forward", lambda *_: asked.append("forward"))
    monkeypatch.setattr(floods, "step_back", lambda *_: asked.append("back"))
    return asked


STRANGERS = [
    pytest.param({"path": "/analytics/testid"}, id="a post without a token"),
    pytest.param({"path": "/analytics/testid", "method": "GET"}, id="another method"),
    pytest.param({"path": "/analytics/testid", "token": b"nobody's"}, id="a token that is not valid"),
    pytest.param({"path": "/analytics/testid", "token": b"another"}, id="another tenant's token"),
    pytest.param({"path": "/analytics/testid", "token": b"another", "content_type": "text/plain"}, id="no JSON type"),
    pytest.param({"path": "/analytics", "token": b"another", "body": NAMED}, id="a name in a body that is no JSON"),
]


@pytest.mark.parametrize("how", STRANGERS)
def test_who_may_not_post_for_a_tenant_cannot_have_it_held(how):
    world = World(TOKENS)
    world.flood(**how)
    assert world.held == []


@pytest.mark.parametrize("token", [b"its", b"scope"])
def test_who_may_post_for_a_tenant_is_held_when_refused_very_much(token):
    world = World(TOKENS)
    world.flood(token, b"no JSON", path="/analytics/testid")
    assert world.held == [{VICTIM}]


def test_where_no_tokens_are_asked_for_everybody_may(turns):
    world = World()
    world.flood(None, b"no JSON", path="/analytics/testid")
    assert world.held == [{VICTIM}]
    assert turns == ["forward"]


def test_what_is_nobodys_is_held_but_never_those_who_ask_how_it_is():
    world = World()
    world.flood(path="/analytics/unknown", body=body_of(good()))
    assert world.held == [{""}]
    world = World()
    world.flood(path="/health")
    assert world.held == []
    lane_of = world.api.acceptor.lane_of
    assert lane_of(b"/health", b"") == lane_of(b"/ready", b"") not in {lane_of(b"/analytics/unknown", b""), VICTIM}


def test_who_is_heavy_and_who_is_refused_are_held_together_and_each_is_let_go_by_itself(turns):
    world = World()
    world.writer.on_company(frozenset({ANOTHER}))
    world.flood(None, b"no JSON", path="/analytics/testid")
    world.writer.on_company(frozenset())
    assert world.held == [{ANOTHER}, {ANOTHER, VICTIM}, {VICTIM}]
    assert world.api.acceptor.large.held_back == {VICTIM}
    assert not world.api.acceptor.large.pace()
    assert set(turns) == {"forward"}
    assert world.floods == {"stored": 1, "refused": 1}
    world.writer.on_company(frozenset({ANOTHER, VICTIM}))
    world.writer.on_company(frozenset({ANOTHER}))
    assert world.floods == {"stored": 3, "refused": 1}
