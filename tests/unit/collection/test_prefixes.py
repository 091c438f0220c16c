"""No two tenants ever write below one prefix."""

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apidanalytics.access.patterns import Pattern
from apidanalytics.collection.prefixes import prefix_problem, sharing
from apidanalytics.collection.tenants import Rule, Rules
from apidanalytics.layout import format_tenant

NAMES = st.text(min_size=1, max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)


def rule(text, prefix="{tenant}", store="main"):
    return Rule(pattern=Pattern(text), store=store, prefix=prefix, expires_seconds=60, content_types=())


@pytest.mark.parametrize(
    ("prefix", "pattern", "good"),
    [
        ("{tenant}", "*~*", True),
        ("{org}/{env}", "*~*", True),
        ("x/org={org}/env={env}", "*~*", True),
        ("{org}", "*~prod", True),
        ("fixed", "acme~prod", True),
        ("{org}", "*~*", False),
        ("fixed", "*~prod", False),
        ("{org}{env}", "*~*", False),
        ("{org}-{env}", "*~*", False),
        ("{org.__class__}", "*~*", False),
        ("{0}", "acme~prod", False),
        ("{org!r}/{env}", "*~*", False),
    ],
)
def test_a_prefix_tells_tenants_apart(prefix, pattern, good):
    assert (prefix_problem(prefix, Pattern(pattern)) is None) is good


@given(one=st.tuples(NAMES, NAMES), other=st.tuples(NAMES, NAMES), prefix=st.sampled_from(["{tenant}", "{org}/{env}"]))
def test_no_two_tenants_share_a_prefix(one, other, prefix):
    names = [format_tenant(*one), format_tenant(*other)]
    first, second = (rule("*~*", prefix).prefix_of(name) for name in names)
    assert (first == second) == (one == other)


def pairs(*written):
    return [(one.pattern.text, other.pattern.text) for one, other in sharing([rule(*texts) for texts in written])]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("acme~*", "{env}"), ("beta~*", "{env}")),
        (("*~prod", "{org}"), ("*~test", "{org}")),
        (("acme~prod", "live"), ("beta~*", "{env}")),
        (("acme~prod", "p"), ("acme~test", "p")),
        (("acme~prod", "beta~prod"), ("*~*",)),
        (("acme~prod", "production/acme"), ("*~*", "{org}/{env}")),
        (("acme~*", "x/{env}"), ("*~*", "{org}/{env}")),
        (("a*~prod", "x-{org}"), ("*~test", "x-{org}")),
        (("acme~*", "{tenant}"), ("beta~*", "acme~{env}")),
    ],
)
def test_rules_by_which_two_tenants_could_share_a_prefix_are_found(one, other):
    assert pairs(one, other) == [(one[0], other[0])]


@pytest.mark.parametrize(
    "written",
    [
        [("acme~*",), ("*~*",), ("acme~prod",), ("*~prod",)],
        [("acme~prod", "vip/acme/prod"), ("*~*", "{org}/{env}")],
        [("acme~prod", "acme/prod"), ("*~*", "{org}/{env}")],
        [("acme~*", "acme/{env}"), ("*~*", "{org}/{env}")],
        [("acme~*", "{env}"), ("acme~p*", "{env}")],
        [("acme~*", "acme/{env}"), ("beta~*", "beta/{env}")],
        [("acme~*", "{env}"), ("beta~*", "{env}", "elsewhere")],
        [("acme~*", "{env}"), ("*~*", "{tenant}")],
        [("acme~*", "{env}"), ("*~*", "{org}/{env}")],
        [("*~prod", "{org}"), ("*~test", "test-{org}/x")],
        [("p*~x", "{org}"), ("t*~y", "{org}")],
        [("acme~prod", "same"), ("acme~prod", "same")],
    ],
)
def test_rules_that_keep_their_tenants_apart_are_good(written):
    assert pairs(*written) == []


WORDS = ("a", "b", "ab", "ba", "aab")
TENANTS = [f"{org}~{env}" for org, env in product(WORDS, WORDS)]
PATTERNS = st.tuples(*[st.sampled_from([*WORDS, "*", "a*", "*b"])] * 2).map("~".join)
PREFIXES = st.sampled_from(
    ["{tenant}", "{org}/{env}", "{env}/{org}", "{org}", "{env}", "a/{env}", "a~{env}", "x{org}/b", "a", "ab", "a{env}"]
)


@given(st.lists(st.builds(rule, PATTERNS, PREFIXES), min_size=2, max_size=4))
@example([rule("a~*", "{env}"), rule("b~*", "{env}")])
def test_good_rules_give_every_tenant_a_prefix_of_its_own(rules):
    good = [rule for rule in rules if prefix_problem(rule.prefix, rule.pattern) is None]
    found = [Rules(good).decide([tuple(tenant.split("~"))], lambda _: True) for tenant in TENANTS]
    prefixes = [one.rule.prefix_of(one.tenant) for one in found if not hasattr(one, "name")]
    assert len(set(prefixes)) == len(prefixes) or list(sharing(good))
