"""What may be ordered: to retry what failed, to pause and to resume uploads. Each order is logged."""

import sqlite3
from collections.abc import Awaitable, Callable
from functools import wraps

import structlog

from apidanalytics.control.server import Answer
from apidanalytics.service.answers import no_such, not_started
from apidanalytics.service.insight import Insight
from apidanalytics.service.queries import Name, Query
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.states import Chosen
from apidanalytics.upload.uploader import Uploader

log = structlog.get_logger()


class Target(Query, frozen=True, kw_only=True):
    """Whom an order is about."""

    tenant: Name | None = None
    """None: all tenants."""


Order = Callable[[Uploader, Target], Awaitable[Answer]]


def _order(carry_out: Order) -> Callable[[Insight, Target], Awaitable[Answer]]:
    """Say what is missing or failing instead of raising it."""

    @wraps(carry_out)
    async def run(insight: Insight, target: Target) -> Answer:
        uploader = insight.watched.uploader()
        if uploader is None:
            return not_started()
        if target.tenant is not None and not await _is_known(insight, target.tenant):
            return no_such("tenant", target.tenant)
        try:
            return await carry_out(uploader, target)
        except (OSError, sqlite3.Error) as error:
            hint = "what was not changed stays as it was; try again once the disk takes writes"
            log.warning(
                "control.order_failed", order=carry_out.__name__, tenant=target.tenant, error=str(error), hint=hint
            )
            return {"error": f"the disk did not take it: {error}", "kind": "unavailable"}

    return run


async def _is_known(insight: Insight, tenant: str) -> bool:
    return tenant in insight.pauses() or await insight.knows(tenant)


@_order
async def retry(uploader: Uploader, target: Target) -> Answer:
    """Bring back from ``failed/`` what gave up, with all its attempts anew."""
    files = await uploader.retry_failed(Chosen(tenant=target.tenant))
    log.info("upload.retried_by_hand", tenant=target.tenant, files=files)
    return {"tenant": target.tenant, "files": files}


@_order
async def pause(uploader: Uploader, target: Target) -> Answer:
    """Send nothing of this tenant, or nothing at all, until it is resumed."""
    await uploader.pausing.pause(target.tenant or EVERYBODY)
    return {"tenant": target.tenant, "paused": True}


@_order
async def resume(uploader: Uploader, target: Target) -> Answer:
    """End such a pause."""
    await uploader.pausing.resume(target.tenant or EVERYBODY)
    return {"tenant": target.tenant, "paused": False}
