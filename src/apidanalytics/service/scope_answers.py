"""What `apidanalytics scopes` says: which scope data counts, and what it answers, running or stopped."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apidanalytics.apigeesync.store import FILE_NAME, read_state
from apidanalytics.config import Settings
from apidanalytics.errors import NotRunningError
from apidanalytics.model import Tenant
from apidanalytics.scopes.database import ScopeDatabase
from apidanalytics.scopes.versions import read_current
from apidanalytics.service.overview import ask_status

_NO_SOURCE: Final = (
    "No source is configured: set apidanalytics_scopes_file, apidanalytics_scopes_database, or the apigeesync_* keys "
    "(docs/scopes.md)."
)
_ASKS_NOBODY: Final = (
    "Apigee Sync is not asked, as apigeesync_diagnostic_mode says, and no snapshot of before is stored: turn that off."
)
_TRIED_AGAIN: Final = "Mend that; it is tried again by itself, and `apidanalytics doctor` says more."
_EVENTS: Final = (
    "If that was configured since it was started: `apidanalytics reload`; otherwise `apidanalytics events` says how "
    "far it is, and `apidanalytics doctor` what is wrong."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The scope data that counts."""

    path: Path
    known: dict[str, Any]
    """What the status says of it; of a stopped service, what its directory does."""


def in_force(settings: Settings) -> InForce | None:
    """Return what a running service answers from, or a stopped one would begin with; None: there is none."""
    try:
        known = ask_status(settings)["scopes"]
    except NotRunningError:
        return _stored(settings)
    if not known or not known.get("path"):
        return None
    return InForce(path=Path(known["path"]), known=known)


def why_none(settings: Settings) -> str:
    """Return why there is nothing in force, and what to do: sentences."""
    try:
        known = ask_status(settings)["scopes"]
    except NotRunningError:
        return _why_none_stored(settings)
    if known["trouble"]:
        return f"The service cannot take up any: {known['trouble'].rstrip('.')}. {_TRIED_AGAIN}"
    source = _source(settings)
    if source is None:
        return _NO_SOURCE
    if _asks_nobody(settings):
        return _ASKS_NOBODY
    return f"The service has had none of {source} yet. {_EVENTS}"


def list_scopes(found: InForce) -> dict[str, Any]:
    """Return every scope, with where the answer comes from.

    Raises:
        LookupFailedError: the file cannot be read.

    """
    with closing(ScopeDatabase(found.path)) as database:
        by_uuid = database.tenants().by_uuid
        scopes = [{"id": uuid, **_named(tenant)} for uuid, tenant in sorted(by_uuid.items())]
        return {**_origin(found, database), "scopes": scopes}


def check(found: InForce, names: Sequence[str]) -> dict[str, Any]:
    """Return who a scope uuid, an org and env, or an API key is, with where the answer comes from.

    Raises:
        LookupFailedError: the file cannot be read.

    """
    with closing(ScopeDatabase(found.path)) as database:
        return {**_origin(found, database), "answers": list(_answers(database, names))}


def _answers(database: ScopeDatabase, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    if len(names) > 1:
        tenants = database.tenant_of(names[0], names[1]).by_name.values()
        yield from ({"kind": "org and env", **_named(tenant)} for tenant in tenants)
        return
    (name,) = names
    yield from ({"kind": "scope", **_named(tenant)} for tenant in database.tenant(name).by_uuid.values())
    for tenant_id in database.tenant_ids_of(name):
        developer = database.developer(tenant_id, name).developer
        members = ("api_product", "developer_app", "developer", "developer_email")
        known = None if developer is None else {member: getattr(developer, member) for member in members}
        yield {"kind": "API key", "tenant_id": tenant_id, "developer": known}


def _stored(settings: Settings) -> InForce | None:
    if settings.apigeesync_consumer_key is not None:
        state = read_state(settings.sync_directory)
        if state is None:
            return None
        path = settings.sync_directory / state.version / FILE_NAME
        return InForce(path=path, known={"source": "apigee-sync", "version": state.version, "state": "stopped"})
    current = read_current(settings.scopes_directory)
    if current is None:
        return None
    version, source, path = current
    return InForce(path=path, known={"source": source, "version": version, "state": "stopped"})


def _why_none_stored(settings: Settings) -> str:
    source = _source(settings)
    if source is None:
        return _NO_SOURCE
    if _asks_nobody(settings):
        return _ASKS_NOBODY
    if isinstance(source, str):
        return f"No service runs, and none has had a snapshot of {source} yet: the first one comes after a start."
    if not source.exists():
        return f"{source}, which is to hold them, is not there, and no service runs that has read it before."
    if not os.access(source, os.R_OK):
        return f"{source}, which is to hold them, may not be read by this user, and no service runs that has read it."
    return f"No service has taken up {source} yet: a start does, and `apidanalytics doctor` tries it."


def _source(settings: Settings) -> Path | str | None:
    """Return the file that is configured, or the words for Apigee Sync; None: neither is."""
    if settings.apigeesync_consumer_key is not None:
        return "Apigee Sync"
    return settings.scopes_file or settings.scopes_database


def _asks_nobody(settings: Settings) -> bool:
    return settings.apigeesync_consumer_key is not None and settings.apigeesync_diagnostic_mode


def _origin(found: InForce, database: ScopeDatabase) -> dict[str, Any]:
    return {**found.known, "path": str(found.path), "sequence": database.sequence or None}


def _named(tenant: Tenant) -> dict[str, str]:
    return {"org": tenant.org, "env": tenant.env, "tenant_id": tenant.tenant_id}
