"""From the parts of the agent to the facts that a judgement is based on."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from apidanalytics.config.kinds import OFF
from apidanalytics.health.facts import (
    AccessFacts,
    Backlog,
    DiskFacts,
    Facts,
    KeyFacts,
    PackFacts,
    Refusals,
    ScopeFacts,
    TenantPause,
    TenantTrouble,
    UploadFacts,
    WorkerFacts,
)
from apidanalytics.service.census import Tenants, Totals
from apidanalytics.service.watched import Watched
from apidanalytics.upload.attempts import Trouble
from apidanalytics.upload.overview import UploadState
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.view import Backlog as Staged


def gather(
    watched: Watched,
    totals: Totals,
    tenants: Tenants | None,
    upload: UploadState | None,
    *,
    disk: tuple[int, int],
    refusals: Refusals,
    restarts: Mapping[int, int],
) -> Facts:
    """Return the facts of this moment; ``tenants`` is needed only while some are in trouble or paused."""
    keeper = watched.disk()
    backlogs = {state: _backlog(totals, state) for state in ("spooled", "staged", "failed", "set_aside", "dropped")}
    return Facts(
        now=watched.clock.now(),
        state=watched.agent.state.value,
        interval_seconds=watched.settings.collection_interval,
        workers=_workers(watched.crew.status(), restarts),
        scopes=_scopes(watched),
        access=_access(watched),
        certificates=watched.certificates,
        admin_taken=_admin_taken(watched),
        disk=DiskFacts(
            total_bytes=disk[0],
            free_bytes=disk[1],
            limits_reached=keeper.status()["problems"] if keeper is not None else (),
            drops_oldest=watched.settings.full_policy == "drop_oldest",
        ),
        uploads=_uploads(watched, tenants, upload),
        packing=_packing(watched),
        keys=_keys(watched),
        damaged=totals.damaged,
        refusals=refusals,
        **backlogs,
    )


def _backlog(totals: Totals, state: str) -> Backlog:
    counts = totals.counts[state]
    return Backlog(
        records=counts["records"],
        files=counts["files"],
        oldest_at=totals.oldest_at.get(state),
        last_at=totals.last_at.get(state),
    )


def _workers(status: Sequence[Mapping[str, Any]], restarts: Mapping[int, int]) -> list[WorkerFacts]:
    return [
        WorkerFacts(
            index=worker["index"],
            state=worker["state"],
            restarts=restarts.get(worker["index"], 0),
            is_writable=worker.get("writable", True),
            keys_trouble=worker.get("keys_trouble"),
            scopes_trouble=worker.get("scopes_trouble"),
        )
        for worker in status
    ]


def _scopes(watched: Watched) -> ScopeFacts:
    published, trouble = watched.published(), watched.scopes.trouble
    return ScopeFacts(
        version=published.version if published else None,
        is_configured=watched.scopes.is_configured,
        trouble=trouble.reason if trouble else None,
        trouble_since=trouble.since if trouble else None,
    )


def _access(watched: Watched) -> AccessFacts:
    settings, access = watched.settings, watched.access
    is_exposed = watched.crew.is_exposed
    return AccessFacts(
        is_open=is_exposed and settings.api_tokens_file is None and settings.api_client_ca is None,
        tokens_in_clear=is_exposed and settings.api_tokens_file is not None and settings.api_tls_cert is None,
        trouble=access.trouble,
        trouble_since=access.trouble_since,
    )


def _admin_taken(watched: Watched) -> str | None:
    listen = watched.settings.admin_listen
    return listen if listen != OFF and watched.admin_url() is None else None


def _uploads(watched: Watched, tenants: Tenants | None, upload: UploadState | None) -> UploadFacts:
    uploader = watched.uploader()
    pauses = uploader.pausing.in_force if uploader is not None else {}
    return UploadFacts(
        stopped_since=upload.stopped_since if upload else None,
        stopped_reason=upload.stopped_reason if upload else None,
        throttled_until=upload.throttled_until if upload else None,
        throttled_reason=upload.throttled_reason if upload else None,
        troubles=[_trouble(trouble, tenants) for trouble in watched.attempts.troubles.values()],
        paused_since=pauses.get(EVERYBODY),
        paused_tenants=[
            TenantPause(tenant=tenant, since=since, waiting=_waiting(tenant, tenants))
            for tenant, since in pauses.items()
            if tenant != EVERYBODY
        ],
        others=_others(tenants, watched.attempts.troubles.keys() | pauses.keys()),
    )


def _packing(watched: Watched) -> PackFacts:
    packing = watched.packing
    blocked = packing.blocked if packing is not None else None
    facts = PackFacts(blocked_since=blocked.since, blocked_reason=blocked.error) if blocked else PackFacts()
    put_off = dict(packing.put_off) if packing is not None else {}
    if not put_off:
        return facts
    first = min(put_off, key=lambda name: put_off[name].since)
    found = put_off[first]
    return replace(facts, put_off=len(put_off), first=first, since=found.since, reason=found.error)


def _keys(watched: Watched) -> KeyFacts:
    lost = watched.keys.lost if watched.keys is not None else None
    if lost is None:
        return KeyFacts()
    return KeyFacts(lost=lost.sentence, lost_at=lost.at, unread_spools=len(lost.unread))


def _trouble(trouble: Trouble, tenants: Tenants | None) -> TenantTrouble:
    waiting = _waiting(trouble.tenant, tenants)
    return TenantTrouble(tenant=trouble.tenant, since=trouble.since, reason=trouble.reason, waiting=waiting)


def _waiting(tenant: str, tenants: Tenants | None) -> Backlog:
    parts = [] if tenants is None else [tenants.staged.get(tenant), tenants.failed.get(tenant)]
    return _together([part for part in parts if part is not None])


def _others(tenants: Tenants | None, reported: AbstractSet[str]) -> Backlog:
    """Return what is staged of all tenants but these."""
    staged = {} if tenants is None else tenants.staged
    return _together([backlog for tenant, backlog in staged.items() if tenant not in reported])


def _together(parts: Sequence[Staged]) -> Backlog:
    return Backlog(
        records=sum(part.records for part in parts),
        files=sum(part.files for part in parts),
        oldest_at=min((part.oldest_start_at for part in parts), default=None),
    )
