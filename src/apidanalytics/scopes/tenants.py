"""From rows of ``data_scope`` to the tenants that may send records. Pure: no database, no log, no clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, TypeVar

from apidanalytics import layout
from apidanalytics.errors import quote
from apidanalytics.model import Tenant

Row: TypeAlias = Sequence[bytes | None]
"""``id, scope, org, env`` as UTF-8 bytes; None for NULL."""

K = TypeVar("K")

Scope: TypeAlias = tuple[str, Tenant]
"""A scope uuid and the tenant behind it."""

MAX_NAMED: Final = 5
"""How many tenants a log line on flaws names; the rest is counted."""


class Flaw(Enum):
    """Why a row of ``data_scope`` is no tenant."""

    INCOMPLETE = "id, org or env is NULL or empty"
    NOT_TEXT = "not valid UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaws:
    """What was wrong with the rows, for one log line each."""

    incomplete: int = 0
    """Rows without id, org or env."""
    not_text: int = 0
    """Rows that are not valid UTF-8."""
    too_long: tuple[str, ...] = ()
    """Tenants whose encoded ``<org>~<env>`` is over ``layout.MAX_TENANT_BYTES``."""
    ambiguous: tuple[str, ...] = ()
    """Tenants with several tenant ids: the row with the lowest id counts where only org and env are given."""
    alike: tuple[tuple[str, ...], ...] = ()
    """Tenants that uploads name with the same ``<org>~<env>``, since one of the two has a ``~`` in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantTable:
    """All tenants, by either way of naming one."""

    by_uuid: dict[str, Tenant]
    by_name: dict[tuple[str, str], Tenant]
    flaws: Flaws


def tabulate(rows: Iterable[Row]) -> TenantTable:
    """Make tenants of the good rows, and count the others.

    Rows that contradict each other never depend on the order in which they come: of several with one id, the one
    with the lowest (org, env, tenant id) counts, and of several with one org and env, the one with the lowest id.
    """
    scopes, flaws = sort_out(rows)
    by_uuid: dict[str, Tenant] = {}
    by_name: dict[tuple[str, str], Tenant] = {}
    for uuid, tenant in scopes:
        by_uuid.setdefault(uuid, tenant)
        by_name.setdefault((tenant.org, tenant.env), tenant)
    return TenantTable(by_uuid=by_uuid, by_name=by_name, flaws=flaws)


def adjust(
    table: TenantTable,
    uuids: Iterable[str],
    read: Callable[[str], TenantTable],
    read_name: Callable[[str, str], TenantTable],
) -> None:
    """Renew these scopes in the table, and the orgs and envs they had or have now. Asks first, then changes.

    ``read`` gives the table of one scope, ``read_name`` that of one org and env.
    """
    by_uuid = {uuid: read(uuid).by_uuid.get(uuid) for uuid in uuids}
    concerned = [*by_uuid.values(), *(table.by_uuid.get(uuid) for uuid in by_uuid)]
    names = {(tenant.org, tenant.env) for tenant in concerned if tenant is not None}
    by_name = {name: read_name(*name).by_name.get(name) for name in names}
    _put(table.by_uuid, by_uuid)
    _put(table.by_name, by_name)


def sort_out(rows: Iterable[Row]) -> tuple[list[Scope], Flaws]:
    """Return the good rows, ordered by (id, org, env, tenant id), and what was wrong with the others."""
    good: list[Scope] = []
    counted: Counter[Flaw] = Counter()
    too_long: set[str] = set()
    for row in rows:
        scope = read_row(row)
        if isinstance(scope, Flaw):
            counted[scope] += 1
        elif len(scope[1].name) > layout.MAX_TENANT_BYTES:
            too_long.add(scope[1].name)
        else:
            good.append(scope)
    good.sort(key=lambda scope: (scope[0], scope[1].org, scope[1].env, scope[1].tenant_id))
    return good, Flaws(
        incomplete=counted[Flaw.INCOMPLETE],
        not_text=counted[Flaw.NOT_TEXT],
        too_long=tuple(sorted(too_long)),
        ambiguous=_ambiguous(good),
        alike=_alike(good),
    )


def read_row(row: Row) -> Scope | Flaw:
    """Return the scope uuid and its tenant, or why the row is none. A NULL tenant id is an empty one."""
    try:
        uuid, tenant_id, org, env = [(value or b"").decode() for value in row]
    except UnicodeDecodeError:
        return Flaw.NOT_TEXT
    if not (uuid and org and env):
        return Flaw.INCOMPLETE
    return uuid, Tenant(org=org, env=env, tenant_id=tenant_id)


def name_some(names: Sequence[str]) -> str:
    """Return the first few names, cut, for a log line."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(quote(name) for name in names[:MAX_NAMED]) + more


def _put(target: dict[K, Tenant], values: Mapping[K, Tenant | None]) -> None:
    for key, tenant in values.items():
        if tenant is None:
            target.pop(key, None)
        else:
            target[key] = tenant


def _ambiguous(scopes: Iterable[Scope]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    several = {t.name for _, t in scopes if first.setdefault(t.name, t.tenant_id) != t.tenant_id}
    return tuple(sorted(several))


def _alike(scopes: Iterable[Scope]) -> tuple[tuple[str, ...], ...]:
    names: dict[str, set[str]] = {}
    for _, tenant in scopes:
        if "~" in tenant.org or "~" in tenant.env:
            names.setdefault(f"{tenant.org}~{tenant.env}", set()).add(tenant.name)
    return tuple(sorted(tuple(sorted(same)) for same in names.values() if len(same) > 1))
