"""What there is to know about the running service: one source for the page, the API, the metrics and the commands.

Everything is returned as plain JSON values. Instants are Unix seconds.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apidanalytics import __version__
from apidanalytics.config import effective
from apidanalytics.health.facts import Facts
from apidanalytics.health.findings import Finding, verdict
from apidanalytics.health.judge import judge
from apidanalytics.scopes.source import Published
from apidanalytics.service.census import Census, Totals
from apidanalytics.service.facts import gather
from apidanalytics.service.history import History, Sample, size_and_free_bytes
from apidanalytics.service.watched import Watched
from apidanalytics.telemetry.masking import mask_text
from apidanalytics.upload.overview import Uploading, UploadState
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.view import LedgerView

FLOW = ("accepted", "spooled", "staged", "uploading", "uploaded", "failed", "set_aside", "dropped")
"""The states of data in the order of its way."""


class Insight:
    """Answers questions about the service. On the event loop; what blocks runs in a thread."""

    def __init__(self, watched: Watched, census: Census, view: LedgerView) -> None:
        self.watched = watched
        self.census = census
        self.view = view
        self.history = History()

    def __repr__(self) -> str:
        return f"<Insight {self.history!r}, {self.census!r}>"

    async def sample(self) -> None:
        """Add what is so now to the history."""
        totals = await asyncio.to_thread(self.census.totals)
        clock, (_, free) = self.watched.clock, await asyncio.to_thread(size_and_free_bytes, self._directory)
        oldest = [at for at in totals.oldest_at.values() if at is not None]
        self.history.add(
            Sample(
                at=clock.now(),
                monotonic=clock.monotonic(),
                counters=self.watched.crew.counters(),
                totals=totals.counts,
                oldest_at=min(oldest, default=None),
                disk_free_bytes=free,
                restarts={worker["index"]: worker["restarts"] for worker in self.watched.crew.status()},
            )
        )

    async def status(self) -> dict[str, Any]:
        """Return how it is, and why."""
        watched = self.watched
        totals = await asyncio.to_thread(self.census.totals)
        facts = await self.facts(totals)
        findings = judge(facts)
        upload = self._upload()
        return {
            "verdict": verdict(findings),
            "findings": [asdict(finding) for finding in findings],
            "state": facts.state,
            "ready": self.is_ready,
            "version": __version__,
            "pid": os.getpid(),
            "api": watched.crew.url,
            "admin": watched.admin_url(),
            "data_directory": str(watched.settings.data.root.absolute()),
            "started_at": watched.started_at,
            "now": facts.now,
            "rates": self.history.rates(),
            "generation": watched.handover.generation,
            "last_change": watched.handover.last_change,
            "draining": watched.crew.draining(),
            "flow": flow(totals, upload, watched.attempts.last_delivered_at),
            "workers": watched.crew.status(),
            "scopes": self.scopes(),
            "disk": self._disk(facts),
            "uploads": self._uploads(upload),
            "totals": totals.counts,
            "problems": [sentence(finding) for finding in findings],
        }

    async def facts(self, totals: Totals) -> Facts:
        """Return what a judgement of this moment is based on."""
        tenants = None
        if self.watched.attempts.troubles or self.pauses().keys() - {EVERYBODY}:
            tenants = await asyncio.to_thread(self.census.tenants)
        disk = await asyncio.to_thread(size_and_free_bytes, self._directory)
        return gather(
            self.watched,
            totals,
            tenants,
            self._upload(),
            disk=disk,
            refusals=self.history.refusals(),
            restarts=self.history.restarts(),
        )

    @property
    def is_ready(self) -> bool:
        """Whether any worker accepts batches."""
        return self.watched.crew.is_serving

    def scopes(self) -> dict[str, Any]:
        """Return where the scope data comes from, and how old it is."""
        steps, published = self.watched.scopes, self.watched.published()
        trouble = steps.trouble
        return {
            "source": None,
            **_published(published),
            **(steps.status(published) or {}),
            "trouble": mask_text(trouble.reason) if trouble else None,
            "trouble_since": trouble.since if trouble else None,
            "versions_in_use": sorted({str(w["scopes"]) for w in self.watched.crew.everyone() if w.get("scopes")}),
        }

    def settings(self) -> list[dict[str, str]]:
        """Return the effective settings, secrets masked."""
        return [line._asdict() for line in effective(self.watched.settings)]

    def pauses(self) -> Mapping[str, float]:
        """Return since when uploads are paused by hand, by tenant; ``""`` stands for all."""
        uploader = self.watched.uploader()
        return uploader.pausing.in_force if uploader is not None else {}

    async def knows(self, tenant: str) -> bool:
        """Tell whether anything was ever accepted of this tenant."""
        tenants = await asyncio.to_thread(self.census.tenants)
        return tenant in tenants.counts

    def counters(self) -> Mapping[str, Any]:
        """Return what all workers counted since the service started."""
        return self.watched.crew.counters()

    def _disk(self, facts: Facts) -> dict[str, Any]:
        keeper = self.watched.disk()
        return {**(keeper.status() if keeper is not None else {}), **(asdict(facts.disk) if facts.disk else {})}

    def _upload(self) -> UploadState | None:
        uploader = self.watched.uploader()
        return uploader.state() if uploader is not None else None

    def _uploads(self, upload: UploadState | None) -> dict[str, Any]:
        attempts, pauses = self.watched.attempts, self.pauses()
        return {
            "waiting": upload.waiting if upload else 0,
            "uploading": [asdict(one) for one in upload.uploading] if upload else [],
            "stopped_since": upload.stopped_since if upload else None,
            "stopped_reason": upload.stopped_reason if upload else None,
            "throttled_until": upload.throttled_until if upload else None,
            "throttled_reason": upload.throttled_reason if upload else None,
            "paused_since": pauses.get(EVERYBODY),
            "paused_tenants": sorted(pauses.keys() - {EVERYBODY}),
            "attempts": dict(attempts.by_result),
            "last_delivered_at": attempts.last_delivered_at,
            "troubles": len(attempts.troubles),
        }

    @property
    def _directory(self) -> Path:
        return self.watched.settings.data.root


def flow(totals: Totals, upload: UploadState | None, last_delivered_at: float | None) -> list[dict[str, Any]]:
    """Return the states in the order of the way, each with records, bytes, files and when its oldest data began."""
    uploading = upload.uploading if upload else ()
    sums: dict[str, Any] = {**totals.counts, "uploading": _on_their_way(uploading)}
    oldest: dict[str, float | None] = {
        **totals.oldest_at,
        "uploading": min((one.since for one in uploading), default=None),
    }
    return [
        {
            "state": state,
            **sums[state],
            "oldest_at": oldest.get(state),
            "last_at": last_delivered_at if state == "uploaded" else None,
        }
        for state in FLOW
    ]


def _on_their_way(uploading: Sequence[Uploading]) -> dict[str, int]:
    return {
        "records": sum(one.records for one in uploading),
        "bytes": sum(one.bytes for one in uploading),
        "files": len(uploading),
    }


def sentence(finding: Finding) -> str:
    """Return a finding as a line of text."""
    return f"{finding.text} {finding.hint}"


def _published(published: Published | None) -> dict[str, Any]:
    if published is None:
        return {"version": None, "path": None, "tenants": 0, "api_keys": 0, "published_at": None}
    try:
        published_at = published.path.stat().st_mtime
    except OSError:
        published_at = None
    return {
        "version": published.version,
        "path": str(published.path),
        "tenants": published.tenants,
        "api_keys": published.api_keys,
        "published_at": published_at,
    }
