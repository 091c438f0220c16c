"""Which tenant goes where: exact names and patterns, and what is decided about a request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from apidanalytics.access.patterns import Pattern
from apidanalytics.layout import MAX_TENANT_BYTES, format_tenant

_remembered = lru_cache(maxsize=1024)(format_tenant)
"""The same tenants come again and again."""


def _encoded(org: str, env: str) -> str:
    """Return the encoded name; one that is longer than a tenant's can be is not remembered."""
    return (_remembered if len(org) + len(env) < MAX_TENANT_BYTES else format_tenant)(org, env)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where the objects of some tenants go."""

    pattern: Pattern
    store: str
    prefix: str
    """With ``{org}``, ``{env}`` and ``{tenant}`` in it."""
    expires_seconds: int
    content_types: Sequence[str]

    def prefix_of(self, tenant: str) -> str:
        """Return what stands in front of the keys of a tenant, given by its encoded name."""
        org, _, env = tenant.partition("~")
        return self.prefix.format(org=org, env=env, tenant=tenant)


class Denial(Enum):
    """Why a tenant gets no URL."""

    NOT_ALLOWED = "this token is not for this tenant"
    UNKNOWN = "no such tenant"
    UNUSABLE = "no object key can be made of the name of this tenant"
    AMBIGUOUS = "tenant can be read in more than one way: name it exactly in the configuration, with ~ as %7E"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The tenant, and its rule."""

    tenant: str
    """Its encoded name."""
    rule: Rule

    def key(self, relative_path: str) -> str:
        """Return the whole key of an object of this tenant."""
        return f"{self.rule.prefix_of(self.tenant)}/{relative_path}"

    @property
    def is_usable(self) -> bool:
        """Whether no name in the key begins with a dot: ``..`` would lead out of the prefix."""
        return not any(name.startswith(".") for name in self.rule.prefix_of(self.tenant).split("/"))


class Rules:
    """All rules, exact ones found at once."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._exact = {rule.pattern.tenant: rule for rule in rules if rule.pattern.is_exact}
        self._patterns = [rule for rule in rules if not rule.pattern.is_exact]

    def decide(self, readings: Sequence[tuple[str, str]], allows: Callable[[str], bool]) -> Found | Denial:
        """Say what becomes of a request for a tenant that may be read in these ways.

        A tenant the token is not for is denied before anyone looks whether it is there.
        """
        tenants = (_encoded(org, env) for org, env in readings)
        allowed = [tenant for tenant in tenants if allows(tenant)]
        if not allowed:
            return Denial.NOT_ALLOWED
        found = self._exactly(allowed) or self._by_pattern(allowed)
        if len(found) > 1:
            return Denial.AMBIGUOUS
        if not found:
            return Denial.UNKNOWN
        return found[0] if found[0].is_usable else Denial.UNUSABLE

    def _exactly(self, tenants: Sequence[str]) -> list[Found]:
        return [Found(tenant=tenant, rule=self._exact[tenant]) for tenant in tenants if tenant in self._exact]

    def _by_pattern(self, tenants: Sequence[str]) -> list[Found]:
        rules = ((tenant, self._first(tenant)) for tenant in tenants)
        return [Found(tenant=tenant, rule=rule) for tenant, rule in rules if rule is not None]

    def _first(self, tenant: str) -> Rule | None:
        return next((rule for rule in self._patterns if rule.pattern.matches(tenant)), None)
