"""The list of tenants: one row each, searched, ordered and cut on this side, for there may be thousands."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from apidanalytics.service.census import Tenants
from apidanalytics.service.counts import STATES
from apidanalytics.upload.attempts import Trouble

Row = dict[str, Any]

_NEVER: Final = float("inf")


def rows(census: Tenants, troubles: Mapping[str, Trouble], pauses: Mapping[str, float]) -> list[Row]:
    """Return one row for every tenant that is known, in no particular order."""
    return [
        _row(tenant, census, troubles.get(tenant), pauses.get(tenant)) for tenant in {**census.counts, **_real(pauses)}
    ]


def _real(pauses: Mapping[str, float]) -> Mapping[str, float]:
    return {tenant: since for tenant, since in pauses.items() if tenant}


def _row(tenant: str, census: Tenants, trouble: Trouble | None, paused_since: float | None) -> Row:
    counts = census.counts.get(tenant)
    waiting = [part for part in (census.staged.get(tenant), census.failed.get(tenant)) if part is not None]
    return {
        "tenant": tenant,
        "counts": counts or {state: {"records": 0, "bytes": 0, "files": 0} for state in STATES},
        "oldest_at": min((part.oldest_start_at for part in waiting), default=None),
        "trouble": trouble.reason if trouble else None,
        "trouble_since": trouble.since if trouble else None,
        "failures": trouble.failures if trouble else 0,
        "paused_since": paused_since,
        "last_error": trouble.reason if trouble else None,
        "last_error_id": max((part.last_error_id for part in waiting if part.last_error_id), default=None),
    }


def explained(page: Sequence[Row], reasons: Callable[[Sequence[int]], Mapping[int, str]]) -> list[Row]:
    """Return the rows with the last error of what waits; ``reasons`` gives that of each file, by number.

    It is looked up where the trouble began before the service did.
    """
    known = reasons([row["last_error_id"] for row in page if not row["last_error"] and row["last_error_id"]])
    return [
        {name: value for name, value in row.items() if name != "last_error_id"}
        | {"last_error": row["last_error"] or known.get(row["last_error_id"])}
        for row in page
    ]


def select(rows: Iterable[Row], search: str, only: str) -> list[Row]:
    """Return those whose name holds ``search`` (in any case), and that are in trouble or wait, if that is wanted."""
    wanted = search.casefold()
    return [row for row in rows if wanted in row["tenant"].casefold() and _ONLY[only](row)]


def ordered(rows: Sequence[Row], sort: str, *, descending: bool) -> list[Row]:
    """Return rows in order; equal ones by name. Rows without an oldest file come last."""
    by_name = sorted(rows, key=lambda row: row["tenant"], reverse=sort == "name" and descending)
    if sort == "name":
        return by_name
    if sort == "oldest":
        return sorted(by_name, key=lambda row: _age_key(row, descending=descending))
    return sorted(by_name, key=lambda row: row["counts"][sort]["records"], reverse=descending)


def _age_key(row: Row, *, descending: bool) -> float:
    # Descending age is ascending start.
    oldest_at = row["oldest_at"]
    if oldest_at is None:
        return _NEVER
    return float(oldest_at if descending else -oldest_at)


_ONLY: Final[Mapping[str, Callable[[Row], bool]]] = {
    "all": lambda _: True,
    "trouble": lambda row: row["trouble"] is not None or row["counts"]["failed"]["files"] > 0,
    "waiting": lambda row: row["oldest_at"] is not None or row["counts"]["spooled"]["records"] > 0,
}
