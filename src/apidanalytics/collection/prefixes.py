"""Whether prefixes keep tenants apart: no two tenants may ever write below the same one.

Within one rule, what ``*`` stands for has to be in the prefix (``prefix_problem``). Two rules are compared by the
pieces between ``/`` and ``~``, neither of which stands in the encoded name of an org or env: two prefixes are equal
only if they are so piece by piece.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain, islice

from apidanalytics.access.patterns import Pattern
from apidanalytics.collection.tenants import Rule


def prefix_problem(prefix: str, pattern: Pattern) -> str | None:
    """Say why a prefix is not good for a pattern; None: it is.

    Two tenants must never share a prefix: what ``*`` stands for has to be in it, apart from what stands beside it.
    """
    bare = re.sub(r"\{(org|env|tenant)\}", "", prefix)
    if "{" in bare or "}" in bare:
        return "only {org}, {env} and {tenant} may stand in braces"
    needed = ("org", pattern.has_wild_org), ("env", pattern.has_wild_env)
    for part, is_wild in needed:
        if is_wild and f"{{{part}}}" not in prefix and "{tenant}" not in prefix:
            return f"the tenants of {pattern.text} would share it: {{{part}}} or {{tenant}} must be in it"
    if any(segment.count("{") > 1 for segment in prefix.split("/")):
        return "more than one of {org}, {env} and {tenant} between two / could read the same for two tenants"
    return None


def sharing(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Yield two rules by which a tenant of one and another tenant of the other could get the same prefix.

    Each rule's prefix is good for its pattern. A rule that could share with several is there once. The time it takes
    grows with the rules times the patterns.
    """
    exact: dict[tuple[str, str], _Form] = {}
    for form in (_Form(rule) for rule in rules if rule.pattern.is_exact):
        first = exact.setdefault((form.rule.store, form.rule.prefix_of(form.rule.pattern.tenant)), form)
        if first.rule.pattern != form.rule.pattern:
            yield first.rule, form.rule
    patterns = [_Form(rule) for rule in rules if not rule.pattern.is_exact]
    for number, form in enumerate(patterns):
        others = chain(exact.values(), islice(patterns, number))
        found = (other.rule for other in others if other.rule.store == form.rule.store and _may_share(other, form))
        yield from ((rule, form.rule) for rule in islice(found, 1))


class _Form:
    """How the prefixes of a rule's tenants look."""

    def __init__(self, rule: Rule) -> None:
        org, _, env = rule.pattern.tenant.partition("~")
        self.rule = rule
        self.parts = {"{org}": org, "{env}": env}
        self.written = re.split("([/~])", rule.prefix.replace("{tenant}", "{org}~{env}"))
        """The pieces, with ``{org}`` and ``{env}`` in them, and what stands between them."""
        self.pieces = [self.filled(piece) for piece in self.written]
        """The same with what the pattern says of org and env."""

    def filled(self, piece: str) -> str:
        """Return a piece, of this rule or another, with what this one's pattern says."""
        return piece.replace("{org}", self.parts["{org}"]).replace("{env}", self.parts["{env}"])

    def tells(self, part: str, other: "_Form") -> bool:
        """Tell whether a tenant of this rule and one of the other, with the same prefix, have the same org, or env.

        They have where the other writes it in its prefix as this one would, or could, have done.
        """
        return any(
            part in its and (its == mine or ("*" not in piece and self.filled(its) == piece))
            for its, mine, piece in zip(other.written, self.written, self.pieces, strict=True)
        )


def _may_share(one: _Form, other: _Form) -> bool:
    if len(one.pieces) != len(other.pieces) or not all(map(_may_be_equal, one.pieces, other.pieces)):
        return False
    return not all(
        _is_the_same(one.parts[part], other.parts[part]) or one.tells(part, other) or other.tells(part, one)
        for part in one.parts
    )


def _is_the_same(one: str, other: str) -> bool:
    return one == other and "*" not in one


def _may_be_equal(one: str, other: str) -> bool:
    """Tell whether two pieces, in which ``*`` stands for anything, may be the same; in doubt they may."""
    if "*" not in one:
        return one == other or fnmatchcase(one, other)
    if "*" not in other:
        return fnmatchcase(other, one)
    head, longer_head = sorted((one.partition("*")[0], other.partition("*")[0]), key=len)
    tail, longer_tail = sorted((one.rpartition("*")[2], other.rpartition("*")[2]), key=len)
    return longer_head.startswith(head) and longer_tail.endswith(tail)
