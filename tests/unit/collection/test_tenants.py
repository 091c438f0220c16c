"""Which tenant goes where, and who may ask for it."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token, hash_token, make_token
from apidanalytics.collection.paths import parse_tenant_parameter
from apidanalytics.collection.tenants import Denial, Rule, Rules
from apidanalytics.layout import format_tenant

NAMES = st.text(min_size=1, max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)


def rule(text, prefix="{tenant}", store="main"):
    return Rule(
        pattern=Pattern(text), store=store, prefix=prefix, expires_seconds=60, content_types=("application/x-gzip",)
    )


def decide(rules, tenant, tokens=("*~*",)):
    token = Token(name="t", hash="h", tenants=tuple(map(Pattern, tokens)))
    return Rules(rules).decide(tuple(parse_tenant_parameter(tenant)), token.allows)


@pytest.mark.parametrize(
    ("pattern", "tenant", "matches"),
    [
        ("acme~prod", "acme~prod", True),
        ("acme~prod", "acme~prod2", False),
        ("acme~prod", "Acme~prod", False),
        ("acme~*", "acme~prod", True),
        ("acme~*", "acme2~prod", False),
        ("a*e~p*d", "acme~prod", True),
        ("*~prod", "acme~prod", True),
        ("*~*", "acme~prod", True),
        ("*~*", "a%2Fb~c%7Ed", True),
        ("größe~ä", "gr%C3%B6%C3%9Fe~%C3%A4", True),
        ("gr%c3%b6%c3%9fe~%C3%A4", "gr%C3%B6%C3%9Fe~%C3%A4", True),
        ("a%7Eb~c", "a%7Eb~c", True),
        ("a%2A~c", "a%2A~c", True),
        ("a%2A~c", "ab~c", False),
        ("a.c~d", "abc~d", False),
    ],
)
def test_a_pattern_stands_for_these_tenants(pattern, tenant, matches):
    assert Pattern(pattern).matches(tenant) is matches


def test_an_exact_name_goes_before_patterns_and_an_earlier_pattern_before_a_later_one():
    rules = [rule("acme~*", store="first"), rule("*~*", store="second"), rule("acme~prod", store="exact")]
    assert decide(rules, "acme~prod").rule.store == "exact"
    assert decide(rules, "acme~dev").rule.store == "first"
    assert decide(rules, "other~dev").rule.store == "second"


def test_a_token_is_denied_before_anyone_looks_whether_the_tenant_is_there():
    rules = [rule("acme~prod")]
    assert decide(rules, "acme~prod", ["other~*"]) is Denial.NOT_ALLOWED
    assert decide(rules, "nobody~prod", ["other~*"]) is Denial.NOT_ALLOWED
    assert decide(rules, "other~prod", ["other~*"]) is Denial.UNKNOWN


def test_a_name_that_can_be_read_in_two_ways_needs_an_exact_rule():
    assert decide([rule("*~*")], "a~b~c") is Denial.AMBIGUOUS
    assert decide([rule("*~*"), rule("a%7Eb~c")], "a~b~c").tenant == "a%7Eb~c"
    assert decide([rule("a%7Eb~c"), rule("a~b%7Ec")], "a~b~c") is Denial.AMBIGUOUS
    assert decide([rule("*~*")], "a~b~c", ["a~*"]).tenant == "a~b%7Ec"


@pytest.mark.parametrize("tenant", ["..~x", ".~x", "x~..", ".part~x"])
def test_no_name_of_a_tenant_leads_out_of_its_prefix(tenant):
    assert decide([rule("*~*", "{org}/{env}")], tenant) is Denial.UNUSABLE


def test_names_that_are_too_long_for_a_tenant_leave_nothing_in_memory():
    rules = Rules([rule("*~*")])

    def ask(number):
        return rules.decide([("x" * 7000 + str(number), "prod")], lambda _: True)

    assert ask(0).tenant == "x" * 7000 + "0~prod"
    tracemalloc.start()
    try:
        for number in range(200):
            ask(number)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100 * 7000


def test_a_key_is_prefix_and_path():
    found = decide([rule("*~*", "lake/org={org}/env={env}")], "a/b~c")
    assert found.key("date=x/f") == "lake/org=a%2Fb/env=c/date=x/f"


@given(org=NAMES, env=NAMES)
def test_the_exact_pattern_of_any_tenant_is_that_tenant_alone(org, env):
    pattern = Pattern(format_tenant(org, env))
    assert pattern.is_exact
    assert pattern.matches(format_tenant(org, env))
    assert not pattern.matches(format_tenant(org + "x", env))


def test_tokens_are_long_never_the_same_and_known_by_their_hash_alone():
    made = {make_token() for _ in range(100)}
    assert len(made) == 100
    assert all(len(token) == 47 and token.startswith("apa_") for token in made)
    assert len({hash_token(token) for token in made}) == 100
