"""Closing all buckets and uploading them now, and how far that is.

A flush seals the open spools, tries at once what was put off, and names the spools that hold what was accepted until
then. Once these are packed, whatever is staged is among the files up to a certain number, so the question ``flushed``
needs no state of its own on this side, and ends although new batches come all the time.
"""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import structlog

from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.service.insight import Insight
from apidanalytics.service.queries import Number, Query
from apidanalytics.service.status import spool_files
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.states import State

log = structlog.get_logger()

Answer = dict[str, Any]


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
        return {"error": "the service is starting; try again in a moment", "kind": "unavailable"}
    insight.watched.crew.broadcast({"type": "seal"})
    spools = await asyncio.to_thread(lambda: sorted(set(_numbers(insight.watched.settings.data))))
    uploader.send_now()
    log.info("upload.flushed_by_hand", spools=len(spools), hint="open buckets are closed, and uploaded at once")
    return {"spools": spools, "last": None, "paused_since": insight.pauses().get(EVERYBODY)}


async def flushed(insight: Insight, query: FlushedQuery) -> Answer:
    """Say what is left of a flush: spools to be packed, then files to be uploaded."""
    there = await asyncio.to_thread(lambda: set(_numbers(insight.watched.settings.data)))
    spools = [number for number in query.spools if number in there]
    last = query.last
    if last is None and not spools:
        last = await asyncio.to_thread(insight.view.last_id)
    left = {}
    for state in (State.STAGED, State.FAILED):
        count = await asyncio.to_thread(insight.view.standing, state, 2**53 if last is None else last)
        left[state.value] = {"files": count.files, "records": count.records}
    return {"spools": spools, "last": last, "is_through": not spools and not left["staged"]["files"], **left}


def _numbers(data: DataDirectory) -> Iterator[int]:
    for path in spool_files(data):
        try:
            yield SpoolName.parse(path.name).number
        except ValueError:
            continue  # not ours; packing reports it
