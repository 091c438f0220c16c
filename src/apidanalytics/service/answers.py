"""The answers to the questions of ``commands``: each a function of what there is to know and the parameters."""

import asyncio
import sqlite3
from dataclasses import asdict
from typing import Annotated, Any, Literal

import msgspec

from apidanalytics.control.server import Answer
from apidanalytics.health.judge import judge
from apidanalytics.layout import parse_tenant
from apidanalytics.service import tenant_rows
from apidanalytics.service.insight import Insight
from apidanalytics.service.queries import Limit, Name, Number, Offset, Query
from apidanalytics.upload.states import State
from apidanalytics.upload.view import LedgerView

NOT_READY_CODES = frozenset({"starting", "draining", "no_worker", "no_scopes", "disk_refuses", "disk_limit"})
"""The findings that explain why no batch is accepted."""


class StatusQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``status``."""

    tenants: bool = True
    """Whether to list every tenant's counts, too."""


class TenantsQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``tenants``."""

    search: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """A part of the name, in any case."""
    only: Literal["all", "trouble", "waiting"] = "all"
    sort: Literal["name", "accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "oldest"] = "name"
    descending: bool = False
    offset: Offset = 0
    limit: Limit = 50


class TenantQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``tenant``."""

    tenant: Name


class FilesQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``files``."""

    tenant: Name | None = None
    state: Literal["staged", "failed", "uploaded", "set_aside", "dropped"] | None = None
    order: Literal["newest", "oldest"] = "newest"
    offset: Offset = 0
    limit: Limit = 50


class NamedFilesQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``files.named``."""

    name: Name
    """A file's name, or its beginning."""
    tenant: Name | None = None
    limit: Limit = 50


class FileQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``file``."""

    id: Number


class FailedQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``failed``."""

    tenant: Name | None = None
    offset: Offset = 0
    limit: Limit = 50


class EventsQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``events``."""

    after: Number = 0
    """Only what came after the event of this number."""
    level: Literal["debug", "info", "warning", "error"] = "debug"
    """The least level."""
    tenant: Name | None = None
    limit: Limit = 200


async def status(insight: Insight, query: StatusQuery) -> Answer:
    """Return how it is, and why."""
    answer = await insight.status()
    if query.tenants:
        tenants = await asyncio.to_thread(insight.census.tenants)
        answer["tenants"] = tenants.counts
    return answer


async def ready(insight: Insight, _query: Query) -> Answer:
    """Return whether batches are accepted, and if not, why."""
    if insight.is_ready:
        return {"ready": True, "reasons": []}
    totals = await asyncio.to_thread(insight.census.totals)
    findings = judge(await insight.facts(totals))
    reasons = [finding.text for finding in findings if finding.code in NOT_READY_CODES]
    return {"ready": False, "reasons": reasons or ["No worker accepts batches yet."]}


async def history(insight: Insight, _query: Query) -> Answer:
    """Return the last hour."""
    return {"series": insight.history.series()}


async def metrics(insight: Insight, _query: Query) -> Answer:
    """Return what the metrics are made from."""
    answer = await insight.status()
    tenants = await asyncio.to_thread(insight.census.tenants) if insight.watched.settings.metrics_tenants else None
    attempts = insight.watched.attempts
    return {
        **answer,
        "counters": insight.counters(),
        "upload_seconds": attempts.seconds.as_counters(),
        "upload_bytes": attempts.bytes,
        "tenants": tenants.counts if tenants else {},
    }


async def tenants(insight: Insight, query: TenantsQuery) -> Answer:
    """Return a page of the tenants."""
    census = await asyncio.to_thread(insight.census.tenants)
    rows = tenant_rows.rows(census, insight.watched.attempts.troubles, insight.pauses())
    return await asyncio.to_thread(tenants_page, rows, insight.view, query)


def tenants_page(rows: list[tenant_rows.Row], view: LedgerView, query: TenantsQuery) -> Answer:
    """Return the rows that are wanted, with each one's last error. It blocks."""
    found = tenant_rows.select(rows, query.search, query.only)
    ordered = tenant_rows.ordered(found, query.sort, descending=query.descending)
    page = tenant_rows.explained(ordered[query.offset : query.offset + query.limit], view.reasons)
    return {"all": len(rows), "found": len(found), "offset": query.offset, "tenants": page}


async def tenant(insight: Insight, query: TenantQuery) -> Answer:
    """Return one tenant."""
    census = await asyncio.to_thread(insight.census.tenants)
    rows = tenant_rows.rows(census, insight.watched.attempts.troubles, insight.pauses())
    found = [row for row in rows if row["tenant"] == query.tenant]
    if not found:
        return no_such("tenant", query.tenant)
    (row,) = await asyncio.to_thread(tenant_rows.explained, found, insight.view.reasons)
    org, env = _org_and_env(query.tenant)
    return {**row, "org": org, "env": env}


async def files(insight: Insight, query: FilesQuery) -> Answer:
    """Return a page of the ledger's files."""
    return await _list_files(
        insight,
        tenant=query.tenant,
        state=query.state,
        order=query.order,
        offset=query.offset,
        limit=query.limit,
    )


async def files_named(insight: Insight, query: NamedFilesQuery) -> Answer:
    """Return the files of this name, or whose names begin so, newest first."""
    return await _list_files(insight, tenant=query.tenant, name=query.name, offset=0, limit=query.limit)


async def failed(insight: Insight, query: FailedQuery) -> Answer:
    """Return what gave up for now, oldest first, and what could not be read or delivered at all."""
    answer = await _list_files(
        insight, tenant=query.tenant, state=State.FAILED.value, order="oldest", offset=query.offset, limit=query.limit
    )
    if "error" not in answer:
        aside = await asyncio.to_thread(insight.view.set_aside, query.limit)
        answer["set_aside"] = [row for row in aside if query.tenant in (None, row["tenant"])]
    return answer


async def file(insight: Insight, query: FileQuery) -> Answer:
    """Return all that is known of one file: where it is, its attempts, its last error."""
    found = await asyncio.to_thread(insight.view.file, query.id)
    if found is None:
        return no_such("file", str(query.id))
    attempts = insight.watched.attempts.of_file(found["name"])
    return {**found, "recent_attempts": [asdict(attempt) for attempt in attempts]}


async def scopes(insight: Insight, _query: Query) -> Answer:
    """Return where the scope data comes from, and how old it is."""
    return insight.scopes()


async def settings(insight: Insight, _query: Query) -> Answer:
    """Return the effective settings, secrets masked."""
    return {"settings": insight.settings()}


async def events(insight: Insight, query: EventsQuery) -> Answer:
    """Return the last log lines, oldest first."""
    levels = ["debug", "info", "warning", "error", "critical"]
    wanted = frozenset(levels[levels.index(query.level) :])
    lines = [{"number": number, **line} for number, line in insight.watched.recent.after(query.after)]
    found = [line for line in lines if line.get("level") in wanted and query.tenant in (None, line.get("tenant"))]
    last = lines[-1]["number"] if lines else query.after
    return {"last": last, "events": found[-query.limit :]}


async def _list_files(insight: Insight, **wanted: Any) -> Answer:
    try:
        return await asyncio.to_thread(files_page, insight.view, **wanted)
    except sqlite3.Error as error:
        return {"error": f"the ledger cannot be read: {error}", "kind": "unavailable"}


def files_page(view: LedgerView, *, limit: int, **wanted: Any) -> Answer:
    """Return a page of files. It blocks."""
    # One more than asked for tells whether there are more; counting them all could take long.
    found = view.files(**wanted, limit=limit + 1)
    return {"offset": wanted["offset"], "more": len(found) > limit, "files": found[:limit]}


def no_such(what: str, name: str) -> Answer:
    """Say that there is none of this name."""
    return {"error": f"no such {what}: {name}", "kind": "not_found"}


def not_started() -> Answer:
    """Say that there is no uploader yet."""
    return {"error": "the service is starting; try again in a moment", "kind": "unavailable"}


def _org_and_env(name: str) -> tuple[str | None, str | None]:
    try:
        return parse_tenant(name)
    except ValueError:
        return None, None  # of a directory of the Go original, or what nobody can tell
