"""From facts to findings, worst first. Every judge looks at one thing; all of them are pure."""

from collections.abc import Callable, Iterator
from typing import Final

from apidanalytics.health import addresses, delivery
from apidanalytics.health.facts import Facts
from apidanalytics.health.findings import Finding, Severity
from apidanalytics.health.words import how_long, how_many, how_much, listed

LOW_SHARE: Final = 0.10
"""Of the disk free: below it a warning."""
SCARCE_SHARE: Final = 0.03
"""Of the disk free: below it trouble, for the next batches may not fit."""
MANY_RESTARTS: Final = 3
"""Of one worker, lately: a warning."""

_NOTHING_LOST: Final = "Nothing acknowledged is lost"
_ORDER: Final = list(Severity)


def judge(facts: Facts) -> list[Finding]:
    """Return every finding, worst first."""
    found = [finding for look in JUDGES for finding in look(facts)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _life(facts: Facts) -> Iterator[Finding]:
    if facts.state == "starting":
        yield Finding(
            code="starting",
            severity=Severity.NOTE,
            text="The service is starting.",
            hint="It is ready once a worker serves.",
        )
    elif facts.state == "draining":
        yield Finding(
            code="draining",
            severity=Severity.NOTE,
            text="The service is stopping: it finishes what is in hand.",
            hint="What is not uploaded by then is uploaded after the next start.",
        )


def _workers(facts: Facts) -> Iterator[Finding]:
    if facts.state != "running":
        return
    down = [str(worker.index) for worker in facts.workers if worker.state == "down"]
    if down and len(down) == len(facts.workers):
        yield Finding(
            code="no_worker",
            severity=Severity.TROUBLE,
            text="No worker is running: batches are not answered.",
            hint="They are started again with growing pauses; the log says why they end.",
        )
    elif down:
        yield Finding(
            code="worker_down",
            severity=Severity.WARNING,
            text=f"Worker {listed(down)} is down; the others serve its share.",
            hint="It is started again with growing pauses; the log says why it ends.",
        )
    often = [worker for worker in facts.workers if worker.restarts >= MANY_RESTARTS]
    if often:
        restarts = sum(worker.restarts for worker in often)
        yield Finding(
            code="worker_restarts",
            severity=Severity.WARNING,
            text=f"Workers were replaced {restarts} times within the last hour.",
            hint="Nothing acknowledged is lost by that. The events worker.died and worker.start_failed say why.",
        )


def _scopes(facts: Facts) -> Iterator[Finding]:
    scopes = facts.scopes
    if facts.state == "running" and scopes.version is None:
        why = f": {scopes.trouble}" if scopes.trouble else ""
        hint = (
            "Mend the source of the scope data; it is tried again by itself."
            if scopes.is_configured
            else "Set apidanalytics_scopes_file, apidanalytics_scopes_database, or apigeesync_proxy_server_base."
        )
        yield Finding(
            code="no_scopes",
            severity=Severity.TROUBLE,
            text=f"There is no scope data{why}. Every batch gets 500.",
            hint=hint,
        )
    elif scopes.trouble:
        since = facts.now - (scopes.trouble_since or facts.now)
        yield Finding(
            code="scopes_stale",
            severity=Severity.WARNING,
            text=f"The scope data could not be read for {how_long(since)}: {scopes.trouble}.",
            hint="The last good version stays in force; tenants and API keys added since are not known.",
            since=scopes.trouble_since,
        )


def _behind(facts: Facts) -> Iterator[Finding]:
    behind = [worker for worker in facts.workers if worker.scopes_trouble]
    if behind:
        yield Finding(
            code="worker_behind",
            severity=Severity.TROUBLE,
            text=f"Worker {listed([str(worker.index) for worker in behind])} cannot open the scope data that count: "
            f"{behind[0].scopes_trouble}.",
            hint="It goes on with those of before (500 if it has none) and tries again every second. "
            "Look at the disk, and how many files the service may open.",
        )


def _disk(facts: Facts) -> Iterator[Finding]:
    if any(not worker.is_writable for worker in facts.workers):
        yield Finding(
            code="disk_refuses",
            severity=Severity.TROUBLE,
            text="The disk refuses writes: new batches get 503.",
            hint="Nothing acknowledged is lost. Free some space, or look at the disk's health.",
        )
        return
    disk = facts.disk
    if disk is None or not disk.total_bytes:
        return
    lost = "The oldest files are dropped, as apidanalytics_full_policy says" if disk.drops_oldest else _NOTHING_LOST
    for text in disk.limits_reached:
        yield Finding(
            code="disk_limit",
            severity=Severity.TROUBLE,
            text=text,
            hint=f"{lost}. Mend what keeps the backlog from being delivered, or raise the limit.",
        )
    share = disk.free_bytes / disk.total_bytes
    if share < LOW_SHARE:
        yield Finding(
            code="disk_low",
            severity=Severity.TROUBLE if share < SCARCE_SHARE else Severity.WARNING,
            text=f"The disk has {how_much(disk.free_bytes)} left, {share:.0%} of it.",
            hint="When it is full, new batches get 503; what is stored stays. Free some space.",
        )


def _refusals(facts: Facts) -> Iterator[Finding]:
    refusals = facts.refusals
    if refusals.overloaded:
        yield Finding(
            code="overloaded",
            severity=Severity.TROUBLE,
            text=f"{how_many(refusals.overloaded, 'batch', 'batches')} of the last minute found the buffer full for "
            "too long and were refused with OVERLOADED.",
            hint="The disk or the cores are too slow for what comes. Add workers or machines, or make batches larger.",
        )
    if refusals.other_5xx:
        yield Finding(
            code="server_errors",
            severity=Severity.WARNING,
            text=f"{how_many(refusals.other_5xx, 'batch', 'batches')} of the last minute got another 5xx answer.",
            hint="The log says why; docs/errors.md explains each code.",
        )
    if refusals.unanswered:
        yield Finding(
            code="unanswered",
            severity=Severity.WARNING,
            text=f"{how_many(refusals.unanswered, 'batch', 'batches')} of the last minute got no answer: "
            "the disk failed in a way that leaves open whether they are kept.",
            hint="Look at the disk's health. Each of them is delivered once, whole, or not at all.",
        )


def _keys(facts: Facts) -> Iterator[Finding]:
    refusing = [worker for worker in facts.workers if worker.keys_trouble]
    if refusing:
        yield Finding(
            code="keys_refused",
            severity=Severity.TROUBLE,
            text=f"Batches with an Idempotency-Key get 503: {refusing[0].keys_trouble}.",
            hint="Others are taken. Nothing acknowledged is lost. Look at the disk, and whose the files in keys/ are.",
        )
    if facts.keys.lost:
        unread = (
            "; look at the spools that cannot be read, for they wait undelivered" if facts.keys.unread_spools else ""
        )
        yield Finding(
            code="keys_lost",
            severity=Severity.WARNING,
            text=facts.keys.lost,
            hint=f"A new index has taken its place, and no record is lost. Look at the disk{unread}.",
            since=facts.keys.lost_at,
        )


JUDGES: Final[tuple[Callable[[Facts], Iterator[Finding]], ...]] = (
    _life,
    _workers,
    _scopes,
    _behind,
    addresses.access,
    addresses.certificates,
    addresses.administration,
    _disk,
    _refusals,
    _keys,
    delivery.packing,
    delivery.everybody,
    delivery.throttling,
    delivery.tenants,
    delivery.pauses,
    delivery.backlog,
    delivery.leftovers,
)
