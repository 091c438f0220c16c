"""The file of the data API's tokens: what it may say, and that every problem in it is reported."""

import pytest

from apidanalytics.access.tokens import hash_token, make_token
from apidanalytics.access.tokens_file import from_plain, load_tokens, to_plain
from apidanalytics.errors import ConfigurationError

HASH = hash_token("one")
OTHER = hash_token("two")
GOOD = f"""
tokens:
  - name: gateway
    hash: {HASH}
    tenants: ["acme~*", "other~prod"]
    scopes: 43aef41d
  - {{name: ops, hash: "{OTHER}", tenants: "*~*"}}
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.yaml"


def problems(path, text):
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_tokens(path)
    return caught.value.problems


def test_a_token_is_for_its_tenants_and_scopes(path):
    path.write_text(GOOD)
    gateway, ops = load_tokens(path)
    assert (gateway.name, gateway.hash, gateway.scopes) == ("gateway", HASH, {"43aef41d"})
    assert [gateway.allows(name) for name in ("acme~x", "other~prod", "other~test")] == [True, True, False]
    assert ops.allows("any~thing")
    assert not ops.scopes


def test_tokens_go_through_a_pipe_unchanged(path):
    path.write_text(GOOD)
    tokens = load_tokens(path)
    assert from_plain(to_plain(tokens)) == tokens


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "should be a mapping"),
        ("tokens: []", "tokens: should be a list of mappings, with at least one"),
        (f"tokens: [{{name: a, hash: '{HASH}'}}]", "tokens[1]: needs tenants or scopes"),
        ("tokens: [{name: a, hash: secret, tenants: '*~*'}]", "tokens[1].hash: 'secret' should be sha256:"),
        (f"tokens: [{{hash: '{HASH}', tenants: '*~*'}}]", "tokens[1].name: is required"),
        (f"tokens: [{{name: a, hash: '{HASH}', tenants: acme}}]", "tokens[1].tenants: 'acme' should be <org>~<env>"),
        (f"tokens: [{{name: a, hash: '{HASH}', tenant: '*~*'}}]", "tokens[1].tenant: there is no such key"),
        (GOOD.replace(OTHER, HASH), "tokens: the hash of 'ops' is there twice"),
        (GOOD + "token: 1\n", "token: there is no such key; the nearest is tokens"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(path, text, what):
    assert [one for one in problems(path, text) if what in one]


def test_a_file_that_is_not_there_is_a_problem(path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_tokens(path)


def test_a_token_cannot_be_guessed_and_is_known_by_its_mark():
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("apa_") and len(token) == 47 for token in tokens)


def test_bytes_that_are_no_text_can_be_hashed_too():
    assert hash_token("\udcff") == hash_token(b"\xff")
