"""Scopes files for the service: one tenant or thousands, each with the API keys that the traffic uses."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.traffic import API_KEYS, DEVELOPER, ENV, ORG


def names(tenants: int) -> list[str]:
    """Return the scope of each tenant."""
    return [f"scope-{number:05d}" for number in range(tenants)]


def org(number: int) -> str:
    """Return the organization of a tenant."""
    return f"{ORG}-{number}"


def write(path: Path, tenants: int, keys: Sequence[str] = API_KEYS) -> None:
    """Write a scopes file in which every tenant has all these keys."""
    path.write_text("\n".join(_lines(tenants, keys)) + "\n")


def _lines(tenants: int, keys: Sequence[str]) -> Iterator[str]:
    product, app, email, developer = (DEVELOPER[name] for name in DEVELOPER)
    yield "scopes:"
    for number, scope in enumerate(names(tenants)):
        yield f"  - {{id: {scope}, org: {org(number)}, env: {ENV}, tenant_id: tenant-{number}}}"
    yield "api_keys:"
    for number in range(tenants):
        for key in keys:
            who = f"product: {product}, app: {app}, developer: {developer}, email: {email}"
            yield f"  - {{key: {key}, tenant_id: tenant-{number}, {who}}}"
