"""Who posts: tenants, their scopes and API keys, and what becomes of these from one generation to the next."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tenant:
    org: str
    env: str
    scope: str
    tenant_id: str

    @property
    def name(self) -> str:
        return f"{self.org}~{self.env}"


TENANTS = (
    Tenant("acme", "prod", "5c1d4a02-acme-prod", "t-1"),
    Tenant("acme", "test", "5c1d4a02-acme-test", "t-2"),
    Tenant("globex", "prod", "5c1d4a02-globex", "t-3"),
    Tenant("initech", "prod", "5c1d4a02-initech", "t-4"),
)
WANDERER = "5c1d4a02-wanders"
"""A scope that belongs to another tenant in each generation of the scope data."""
FLEETING = "5c1d4a02-comes-and-goes"
"""A scope of the third tenant that is there in odd generations only."""
STEADY_KEY = "key-steady"
"""An API key that every tenant has, each for another developer."""
CHANGING_KEY = "key-changing"
"""The same, but its developer is another one in each generation."""


def wanderers_tenant(generation: int) -> Tenant:
    return TENANTS[generation % 2]


def scopes_yaml(generation: int) -> str:
    """Return the scopes file of a generation."""
    scopes = [(tenant.scope, tenant) for tenant in TENANTS] + [(WANDERER, wanderers_tenant(generation))]
    if generation % 2:
        scopes.append((FLEETING, TENANTS[2]))
    lines = ["scopes:"]
    for scope, tenant in scopes:
        lines.append(f"  - {{id: {scope}, org: {tenant.org}, env: {tenant.env}, tenant_id: {tenant.tenant_id}}}")
    lines.append("api_keys:")
    for tenant in TENANTS:
        for key in (STEADY_KEY, CHANGING_KEY):
            product, app, email, developer = developer_of(tenant, key, generation)
            lines.append(
                f"  - {{key: {key}, tenant_id: {tenant.tenant_id}, product: {product}, app: {app},"
                f" developer: {developer}, email: {email}}}"
            )
    return "\n".join(lines) + "\n"


def developer_of(tenant: Tenant, key: str, generation: int) -> tuple[str, str, str, str]:
    """Return product, app, email and developer behind an API key; empty for a key that nobody knows."""
    if key not in (STEADY_KEY, CHANGING_KEY):
        return "", "", "", ""
    who = f"{tenant.tenant_id}-g{generation}" if key == CHANGING_KEY else tenant.tenant_id
    return f"product-{who}", f"app-{who}", f"{who}@mail.example", f"dev-{who}"
