"""How delivery goes: outages, tenants in trouble, pauses, backlogs and what was left behind."""

from collections.abc import Iterator, Sequence
from typing import Final

from apidanalytics.health.facts import LATELY_SECONDS, Backlog, Facts, TenantPause, TenantTrouble
from apidanalytics.health.findings import Finding, Severity
from apidanalytics.health.words import how_long, how_many, listed

MOST_TENANTS: Final = 5
"""Tenants in trouble that get a sentence of their own."""
FORGOTTEN_SECONDS: Final = 3600.0
"""A tenant's files that wait since a pause of this length are worth a warning."""
LATE_SECONDS: Final = 600.0
"""A backlog older than this, beside the interval it had to wait for, is late."""


def everybody(facts: Facts) -> Iterator[Finding]:
    """Judge an outage of the endpoint or the store."""
    uploads = facts.uploads
    if uploads.stopped_since is None:
        return
    lasted = how_long(facts.now - uploads.stopped_since)
    yield Finding(
        code="uploads_stopped",
        severity=Severity.TROUBLE,
        text=f"Uploads of all tenants have failed for {lasted}: {_plain(uploads.stopped_reason)}; "
        f"{_waiting(facts.staged, facts.now)}.",
        hint=f"{_kept(facts)}, and sent once a probe comes through. Check endpoint, store and token.",
        since=uploads.stopped_since,
    )


def throttling(facts: Facts) -> Iterator[Finding]:
    """Report that everybody waits because the endpoint or the store asked for less."""
    uploads = facts.uploads
    if uploads.throttled_until is None or uploads.stopped_since is not None:
        return
    yield Finding(
        code="uploads_throttled",
        severity=Severity.WARNING,
        text=f"Nothing is sent for another {how_long(max(uploads.throttled_until - facts.now, 0))}, as asked: "
        f"{_plain(uploads.throttled_reason)}; {_waiting(facts.staged, facts.now)}.",
        hint="It goes on by itself, slowly at first. If it comes back again and again, ask for a larger share there.",
    )


def tenants(facts: Facts) -> Iterator[Finding]:
    """Judge the tenants whose uploads fail; while everybody's do, only the outage is reported."""
    if facts.uploads.stopped_since is not None:
        return
    troubles = sorted(facts.uploads.troubles, key=lambda trouble: trouble.since)
    for trouble in troubles[:MOST_TENANTS]:
        yield _of_tenant(trouble, facts)
    rest = troubles[MOST_TENANTS:]
    if rest:
        names = [trouble.tenant for trouble in rest]
        yield Finding(
            code="tenant_uploads_fail",
            severity=Severity.WARNING,
            text=f"Uploads fail for {how_many(len(rest), 'more tenant')}: {listed(names)}.",
            hint="The list of tenants shows the reason of each.",
            since=rest[0].since,
        )


def _of_tenant(trouble: TenantTrouble, facts: Facts) -> Finding:
    lasted = facts.now - trouble.since
    return Finding(
        code="tenant_uploads_fail",
        severity=Severity.WARNING,
        text=f"Uploads for {trouble.tenant} have failed for {how_long(lasted)}: {_plain(trouble.reason)}; "
        f"{_waiting(trouble.waiting, facts.now)}.",
        hint=f"{_kept(facts)} and tried again. Other tenants are not affected.",
        since=trouble.since,
        tenant=trouble.tenant,
    )


def pauses(facts: Facts) -> Iterator[Finding]:
    """Report what somebody paused."""
    uploads = facts.uploads
    if uploads.paused_since is not None:
        yield Finding(
            code="uploads_paused",
            severity=Severity.WARNING,
            text=f"All uploads have been paused by hand for {how_long(facts.now - uploads.paused_since)}; "
            f"{_waiting(facts.staged, facts.now)}.",
            hint=f"{_kept(facts)} until somebody resumes them.",
            since=uploads.paused_since,
        )
    if uploads.paused_tenants:
        yield _paused(sorted(uploads.paused_tenants, key=lambda pause: pause.since), facts.now)


def _paused(pauses: Sequence[TenantPause], now: float) -> Finding:
    """Report tenants that are paused, since longest first; what somebody may have forgotten is a warning."""
    waiting = [pause.waiting for pause in pauses]
    all_of_it = Backlog(
        records=sum(one.records for one in waiting),
        files=sum(one.files for one in waiting),
        oldest_at=min((one.oldest_at for one in waiting if one.oldest_at is not None), default=None),
    )
    lasted = now - pauses[0].since
    first = ", the first" if len(pauses) > 1 else ""
    is_forgotten = lasted > FORGOTTEN_SECONDS and all_of_it.files
    return Finding(
        code="tenants_paused",
        severity=Severity.WARNING if is_forgotten else Severity.NOTE,
        text=f"Uploads of {listed([pause.tenant for pause in pauses])} have been paused by hand{first} for "
        f"{how_long(lasted)}; {_waiting(all_of_it, now)}.",
        hint="Their files are kept until somebody resumes them.",
        since=pauses[0].since,
    )


def packing(facts: Facts) -> Iterator[Finding]:
    """Judge spools that cannot be packed; which records are in them may not be known."""
    pack = facts.packing
    if pack.blocked_since is not None:
        yield Finding(
            code="packing_blocked",
            severity=Severity.TROUBLE,
            text="The directories of the spools cannot be looked through for "
            f"{how_long(facts.now - pack.blocked_since)}: {_plain(pack.blocked_reason)}.",
            hint="Nothing is packed before, and how much is spooled is as of then. It is tried every few seconds: "
            "look at the disk, and whether the service's user may read them.",
            since=pack.blocked_since,
        )
    if pack.put_off:
        since = how_long(facts.now - (pack.since or facts.now))
        others = f" and {how_many(pack.put_off - 1, 'other spool')}" if pack.put_off > 1 else ""
        yield Finding(
            code="packing_failed",
            severity=Severity.WARNING,
            text=f"Spool {pack.first}{others} could not be packed for {since}: {_plain(pack.reason)}.",
            hint="It stays where it is and is tried again; its records are not delivered before. Look at the disk, and "
            "whether the service's user may read it.",
            since=pack.since,
        )


def backlog(facts: Facts) -> Iterator[Finding]:
    """Judge data that gets old although nothing fails."""
    uploads = facts.uploads
    told = uploads.stopped_since, uploads.paused_since, uploads.throttled_until
    if facts.state != "running" or any(reason is not None for reason in told):
        return
    late = facts.interval_seconds + LATE_SECONDS
    if _age(facts.spooled, facts.now) > late:
        yield Finding(
            code="packing_late",
            severity=Severity.WARNING,
            text=f"{how_many(facts.spooled.records, 'record')} wait to be packed, the oldest for "
            f"{how_long(_age(facts.spooled, facts.now))}.",
            hint="The events named pack.failed say whether a spool cannot be packed; otherwise it is too busy.",
        )
    # What waits for a tenant in trouble, or a paused one, has been reported already.
    staged = uploads.others if uploads.troubles or uploads.paused_tenants else facts.staged
    if _age(staged, facts.now) > late:
        yield Finding(
            code="uploads_late",
            severity=Severity.WARNING,
            text=f"Uploads go through but do not keep up: {_waiting(staged, facts.now)}.",
            hint="Raise apidanalytics_upload_concurrency, or look at the way to the store.",
        )


def leftovers(facts: Facts) -> Iterator[Finding]:
    """Report what gave up for now, and what could not be read."""
    if facts.failed.files:
        yield Finding(
            code="failed_files",
            severity=Severity.WARNING,
            text=f"{_files(facts.failed)} gave up for now and "
            f"{'is' if facts.failed.files == 1 else 'are'} in failed/"
            f"{_oldest(facts.failed, facts.now)}.",
            hint="They are tried again after the next success, by the clock, or when asked to.",
        )
    if _is_recent(facts.dropped, facts.now):
        yield Finding(
            code="dropped",
            severity=Severity.WARNING,
            text=f"Records were dropped undelivered to make room, the last of them {_ago(facts.dropped, facts.now)}; "
            f"{how_many(facts.dropped.records, 'record')} so far.",
            hint="That was chosen by apidanalytics_full_policy: drop_oldest.",
        )
    yield from _set_aside(facts)


def _set_aside(facts: Facts) -> Iterator[Finding]:
    if facts.damaged:
        stand = "stands" if facts.damaged == 1 else "stand"
        yield Finding(
            code="set_aside",
            severity=Severity.WARNING,
            text=f"{how_many(facts.damaged, 'piece')} of data that could not be read or delivered {stand} in damaged/.",
            hint="Each has the reason beside it. Look at the disk, and delete both when it is over.",
        )
    elif facts.damaged is None and facts.set_aside.files:
        yield Finding(
            code="set_aside",
            severity=Severity.WARNING,
            text="Data could not be read or delivered, and damaged/, where it was put, cannot be read.",
            hint="Look at the disk, and whose damaged/ is.",
        )
    elif _is_recent(facts.set_aside, facts.now):
        yield Finding(
            code="set_aside",
            severity=Severity.WARNING,
            text=f"Data could not be delivered, the last of it {_ago(facts.set_aside, facts.now)}; "
            "nothing of it stands in damaged/.",
            hint="Somebody removed it. The list of files in the state set_aside has the reason of each.",
        )


def _is_recent(amount: Backlog, now: float) -> bool:
    return amount.last_at is not None and now - amount.last_at < LATELY_SECONDS


def _ago(amount: Backlog, now: float) -> str:
    return f"{how_long(now - (amount.last_at or now))} ago"


def _kept(facts: Facts) -> str:
    drops = facts.disk is not None and facts.disk.drops_oldest
    return "What apidanalytics_full_policy does not drop is kept" if drops else "Everything is kept"


def _waiting(waiting: Backlog, now: float) -> str:
    if not waiting.files:
        return "no file waits"
    verb = "waits" if waiting.files == 1 else "wait"
    return f"{_files(waiting)} {verb}{_oldest(waiting, now)}"


def _files(waiting: Backlog) -> str:
    return f"{how_many(waiting.files, 'file')} with {how_many(waiting.records, 'record')}"


def _oldest(waiting: Backlog, now: float) -> str:
    return "" if waiting.oldest_at is None else f"; the oldest is {how_long(_age(waiting, now))} old"


def _age(waiting: Backlog, now: float) -> float:
    return 0.0 if waiting.oldest_at is None else now - waiting.oldest_at


def _plain(reason: str | None) -> str:
    return (reason or "the reason is not known").rstrip(". ")
