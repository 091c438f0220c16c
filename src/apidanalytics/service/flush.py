"""Closing all buckets and uploading them now, and how far that is.

A flush seals the open spools, tries at once what was put off, and names the spools that hold what was accepted until
then. Once these are packed, whatever is staged is among the files up to a certain number, so the question ``flushed``
needs no state of its own on this side, and ends although new batches come all the time.
"""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
import structlog

from apidanalytics.control.server import Answer
from apidanalytics.layout import DataDirectory
from apidanalytics.service.answers import not_started
from apidanalytics.service.insight import Insight
from apidanalytics.service.queries import Number, Query
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.states import Count, State

log = structlog.get_logger()


class FlushedQuery(Query, frozen=True, kw_only=True):
    """Parameters of ``flushed``: what the last answer said."""

    spools: Annotated[list[Number], msgspec.Meta(max_length=100_000)]
    """Spools that were not packed yet."""
    last: Number | None = None
    """The file that was staged last when all of them were packed; None: they were not."""


async def flush(insight: Insight, _query: Query) -> Answer:
    """Close all buckets, try at once what was put off, and say which spools hold what was accepted until now."""
    uploader = insight.watched.uploader()
    if uploader is None:
        return not_started()
    insight.watched.crew.broadcast({"type": "seal"})
    spools = await asyncio.to_thread(lambda: sorted(_numbers(insight.watched.settings.data)))
    uploader.send_now()
    log.info("upload.flushed_by_hand", spools=len(spools), hint="open buckets are closed, and uploaded at once")
    return {"spools": spools, "last": None}


async def flushed(insight: Insight, query: FlushedQuery) -> Answer:
    """Say what is left of a flush: spools to be packed, then files to be uploaded, unless all of these are paused."""
    there = await asyncio.to_thread(_numbers, insight.watched.settings.data)
    spools = [number for number in query.spools if number in there]
    last = query.last
    if last is None and not spools:
        last = await asyncio.to_thread(insight.view.last_id)
    paused = insight.pauses()
    count = partial(insight.view.standing, up_to=2**53 if last is None else last)
    staged = await asyncio.to_thread(count, State.STAGED)
    failed = await asyncio.to_thread(count, State.FAILED)
    held = staged if EVERYBODY in paused else await asyncio.to_thread(count, State.STAGED, tenants=list(paused))
    return {
        "spools": spools,
        "last": last,
        "staged": _shown(staged),
        "failed": _shown(failed),
        "is_through": not spools and not staged.files,
        "is_held": not spools and staged.files == held.files > 0,
    }


def _shown(count: Count) -> dict[str, int]:
    return {"files": count.files, "records": count.records}


def _numbers(data: DataDirectory) -> set[int]:
    return {number for number, _ in data.spools()}
