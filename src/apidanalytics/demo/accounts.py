"""Who plays: the tenants of a scopes file, and what enrichment must add for them.

This reads the YAML on its own, without the ``scopes`` room, so that the oracle does not repeat a mistake made there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from apidanalytics import layout

_COLUMNS: Final = {
    "api_product": "product",
    "developer_app": "app",
    "developer_email": "email",
    "developer": "developer",
}
"""Member of a record -> column of an API key in the scopes file."""

NOBODY: Final[Mapping[str, str]] = dict.fromkeys(_COLUMNS, "")
"""What is added for an API key that nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One tenant, as the scopes file describes it."""

    org: str
    env: str
    scopes: tuple[str, ...]
    """The scope uuids behind which it sends."""
    developers: Mapping[str, Mapping[str, str]]
    """API key -> the four members that enrichment adds for it."""

    @property
    def name(self) -> str:
        """``<org>~<env>``, percent-encoded: its directory in the lake."""
        return layout.format_tenant(self.org, self.env)

    def developer(self, api_key: str) -> Mapping[str, str]:
        """Return the four members to add for this API key."""
        return self.developers.get(api_key, NOBODY)


def load(path: Path) -> tuple[Account, ...]:
    """Read the accounts of a scopes file, in its order.

    Raises:
        OSError, yaml.YAMLError, KeyError: the file cannot be read, or is not a scopes file.

    """
    return parse(yaml.safe_load(path.read_text(encoding="utf-8")))


def parse(document: Mapping[str, Any]) -> tuple[Account, ...]:
    """Return the accounts of a scopes document, one for each (org, env)."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in document["scopes"]:
        rows.setdefault((str(row["org"]), str(row["env"])), []).append(row)
    keys = document.get("api_keys") or []
    return tuple(_account(org, env, scopes, keys) for (org, env), scopes in rows.items())


def _account(org: str, env: str, scopes: list[Mapping[str, Any]], keys: Iterable[Mapping[str, Any]]) -> Account:
    tenant_ids = {row["tenant_id"] for row in scopes}
    return Account(
        org=org,
        env=env,
        scopes=tuple(str(row["id"]) for row in scopes),
        developers=_developers(key for key in keys if key["tenant_id"] in tenant_ids),
    )


def _developers(keys: Iterable[Mapping[str, Any]]) -> Mapping[str, Mapping[str, str]]:
    """Return API key -> members to add; of a key with several products the one whose name is lowest counts."""
    developers: dict[str, Mapping[str, str]] = {}
    for row in keys:
        key, members = str(row["key"]), _members(row)
        if key not in developers or members["api_product"] < developers[key]["api_product"]:
            developers[key] = members
    return developers


def _members(key: Mapping[str, Any]) -> Mapping[str, str]:
    return {member: str(key.get(column) or "") for member, column in _COLUMNS.items()}


def busiest(accounts: Iterable[Account], count: int) -> tuple[Account, ...]:
    """Return the ``count`` accounts with the most API keys, most first; equal ones in the file's order."""
    return tuple(sorted(accounts, key=lambda account: -len(account.developers))[:count])
