"""What is sent now, and what an outcome changes in that: queue and breaker together, without any input or output.

While the breaker is open, one probe at a time goes out, each with another file, so that one bad file cannot keep it
open. Files of failed probes stand aside until it closes, and then take their old places: the order is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import structlog

from apidanalytics.upload.breaker import Breaker, Open
from apidanalytics.upload.decide import Decision, Hold, Policy, Return, decide
from apidanalytics.upload.outcome import Delivered, Outcome, Refused, Throttled, TokenRefused, Unreadable
from apidanalytics.upload.pace import Pace
from apidanalytics.upload.queue import FairQueue
from apidanalytics.upload.states import Waiting

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A file that was taken."""

    file: Waiting
    is_probe: bool


class Dispatcher:
    """All instants are monotonic seconds; ``random`` returns numbers from [0, 1); ``ahead`` is as in ``FairQueue``."""

    def __init__(self, *, slots: int, policy: Policy, random: Callable[[], float], ahead: int = 0) -> None:
        self.slots = slots
        """Uploads at a time."""
        self._policy = policy
        self._random = random
        self._queue = FairQueue(slots, ahead)
        self._breaker = Breaker()
        self._pace = Pace.full(slots + ahead)
        self._going: set[int] = set()  # numbers of the files that are sent, each in its place
        self._crawling: set[int] = set()  # of those that gave up their places
        self._aside: list[Waiting] = []
        self._in_trouble: set[str] = set()  # those of which the log has said so
        self._probing = False
        self._is_paused = False
        self._is_stopping = False
        self._vain_at = -inf  # when there was nothing to take, last

    def __repr__(self) -> str:
        return f"<Dispatcher {'open' if self._breaker.open else 'closed'}, {len(self)} waiting>"

    def __len__(self) -> int:
        """Return how many files wait."""
        return len(self._queue) + len(self._aside)

    @property
    def wants_more(self) -> bool:
        """Tell whether it is time to take more: all slots are busy meanwhile, and several at once cost less."""
        return self._queue.wants_more

    @property
    def open(self) -> Open | None:
        """Why nothing but probes is sent; None while everything is."""
        return self._breaker.open

    def throttled(self, now: float) -> tuple[float, str] | None:
        """Return for how many seconds nothing is sent because others asked for less, and how they said so."""
        until = self._pace.quiet_until
        return (until - now, self._pace.reason) if until is not None and self._pace.is_quiet(now) else None

    def add(self, file: Waiting, at: float | None = None) -> None:
        """Add a file that may be sent at once, or from ``at`` on."""
        if at is None:
            self._queue.push(file)
        else:
            self._queue.push_later(file, at)

    def set_paused(self, tenants: frozenset[str], *, everybody: bool) -> None:
        """Send nothing of these tenants, or nothing at all, because somebody asked for it."""
        self._is_paused = everybody
        self._queue.pause(tenants)

    def probe_now(self) -> None:
        """Let the next probe go at once."""
        if self._breaker.open is not None:
            self._breaker = replace(self._breaker, open=replace(self._breaker.open, probe_at=0.0))

    def send_now(self, now: float) -> None:
        """Let nothing wait for its time: not what was put off, nor the next probe. Throttling is kept to."""
        self._queue.release_all(now)
        self.probe_now()

    def stop(self) -> None:
        """Send nothing any more; what is being sent is judged as ever."""
        self._is_stopping = True

    def take(self, now: float) -> Sending | None:
        """Take the next file to send, if there is one and a slot for it."""
        sending = self._take(now)
        if sending is None:
            self._vain_at = now
        return sending

    def _take(self, now: float) -> Sending | None:
        if self._is_paused or self._is_stopping:
            return None
        if self._pace.is_quiet(now):
            return None
        if self._pace.quiet_until is not None:
            self._pace = replace(self._pace, quiet_until=None)
        if self._breaker.open is None:
            file = self._queue.take(now) if self._queue.running < self._pace.allowed else None
            return Sending(file=file, is_probe=False) if file else None
        file = None if self._probing else self._take_probe(now)
        if file is None:
            return None
        self._probing = True
        return Sending(file=file, is_probe=True)

    def judge(self, sending: Sending, outcome: Outcome, *, attempts: int, now: float) -> Decision:
        """Decide what follows from an outcome, and free the slot.

        On ``Hold`` and ``Return`` the file waits again already. The others are to be settled first; then a deferred
        file is added again.
        """
        tenant = sending.file.tenant
        before, failures = self._breaker, self._queue.failures(tenant)
        self._breaker = before.after(
            outcome,
            tenant,
            alone=self._queue.tenants == 1,
            was_probe=sending.is_probe,
            now=now,
            random=self._random(),
            policy=self._policy,
        )
        decision = decide(
            outcome,
            attempts=attempts,
            tenant_failures=failures + 1,
            is_open=self._breaker.open is not None,
            random=self._random(),
            policy=self._policy,
        )
        self._keep_pace(before, outcome, tenant, now)
        self._put_back(sending, decision, now, asked=isinstance(outcome, Throttled))
        self._finish(sending, _failed(outcome))
        self._say(before, tenant, failures, outcome, now)
        return decision

    def crawls(self, sending: Sending) -> bool:
        """Let an upload that takes long give its place to others; False while nobody else needs it."""
        number = sending.file.id
        if not self._queue.yields(sending.file.tenant, went=number in self._going):
            return False
        self._going.discard(number)
        self._crawling.add(number)
        return True

    def may_go(self, sending: Sending, now: float) -> bool | None:
        """Tell whether a file that was taken may still be sent, or ``take`` would not hand it out any more.

        None: not now, but it may stay ready until something else of its tenant ends.
        """
        number, tenant = sending.file.id, sending.file.tenant
        if self._is_paused or self._is_stopping or self._queue.waits(tenant, now):
            return False
        if sending.is_probe:
            return True
        if self._breaker.open is not None or self._pace.quiet_until is not None:
            return False
        is_on_its_way = number in self._going or number in self._crawling
        return is_on_its_way or self._queue.may_go(tenant, now)

    def lets_go(self, sending: Sending, now: float) -> bool | None:
        """Let a file go that was taken, if it still may; for another try of the same file it is asked again."""
        may_go, number = self.may_go(sending, now), sending.file.id
        if may_go and number not in self._going and number not in self._crawling:
            self._going.add(number)
            self._queue.goes(sending.file.tenant)
        return may_go

    def postponed(self, sending: Sending) -> None:
        """Put a file back at its place that may not be sent any more; nothing is counted."""
        self._queue.push(sending.file)
        self._finish(sending, None)

    def skipped(self, sending: Sending) -> None:
        """Free the slot of a file that turned out not to be there."""
        self._finish(sending, None)

    def next_at(self) -> float | None:
        """Return when there may be something to take, if nothing else happens; it lies after the last vain ``take``."""
        at = self._next_at()
        return None if at is not None and at <= self._vain_at else at

    def _next_at(self) -> float | None:
        if self._is_paused or self._is_stopping:
            return None
        if self._pace.quiet_until is not None:
            return self._pace.quiet_until if len(self) else None
        if self._breaker.open is None:
            return self._queue.next_at()
        return None if self._probing or not len(self) else self._breaker.open.probe_at

    def has_due(self, now: float) -> bool:
        """Tell whether there is anything that need not wait for its time."""
        if self._is_paused or self._is_stopping or self._pace.is_quiet(now):
            return False
        return self._queue.has_due(now) or bool(self._aside)

    def _take_probe(self, now: float) -> Waiting | None:
        if self._breaker.is_due(now):
            file = self._queue.take(now)
            if file is None and self._aside:
                self._restore()
                file = self._queue.take(now)
            return file
        return self._queue.take(now, unless=self._breaker.suspects) if self._breaker.passes_newcomers else None

    def _keep_pace(self, before: Breaker, outcome: Outcome, tenant: str, now: float) -> None:
        if isinstance(outcome, Throttled):
            was_quiet = self._pace.is_quiet(now)
            self._pace = self._pace.after_throttle(outcome, tenant, now, self._random(), self._policy)
            if self._pace.quiet_until is not None and not was_quiet:
                seconds = round(self._pace.quiet_until - now, 1)
                log.warning(
                    "upload.throttled", reason=outcome.reason, seconds=seconds, hint="Everything waits as asked."
                )
        elif before.open is not None and self._breaker.open is None:
            self._pace = self._pace.resumed()
        elif isinstance(outcome, Delivered):
            self._pace = self._pace.delivered()
        elif isinstance(outcome, Refused):
            self._pace = self._pace.answered()

    def _put_back(self, sending: Sending, decision: Decision, now: float, *, asked: bool) -> None:
        if isinstance(decision, Hold):
            self._queue.push(sending.file)
            self._queue.hold(sending.file.tenant, now + decision.pause_seconds, asked=asked)
        elif isinstance(decision, Return) and sending.is_probe:
            self._aside.append(sending.file)
        elif isinstance(decision, Return):
            self._queue.push(sending.file)

    def _finish(self, sending: Sending, failed: bool | None) -> None:
        number = sending.file.id
        went, crawled = number in self._going, number in self._crawling
        self._going.discard(number)
        self._crawling.discard(number)
        self._queue.finished(sending.file.tenant, failed=failed, went=went, crawled=crawled)
        if sending.is_probe:
            self._probing = False
        if self._breaker.open is None:
            self._restore()

    def _restore(self) -> None:
        aside, self._aside = self._aside, []
        for file in aside:
            self._queue.push(file)

    def _say(self, before: Breaker, tenant: str, failures: int, outcome: Outcome, now: float) -> None:
        """Log what changed; of a single tenant only while it is not everybody's trouble."""
        if before.open is not None or self._breaker.open is not None:
            _say_of_all(before.open, self._breaker.open, now)
        elif not isinstance(outcome, Delivered):
            if tenant not in self._in_trouble:
                self._in_trouble.add(tenant)
                hint = "Its files are kept and tried again with growing pauses; other tenants are not affected."
                log.warning("upload.tenant_trouble", tenant=tenant, reason=outcome.reason, hint=hint)
        elif tenant in self._in_trouble:
            self._in_trouble.discard(tenant)
            log.info("upload.tenant_recovered", tenant=tenant, failures=failures)


def _say_of_all(was: Open | None, opened: Open | None, now: float) -> None:
    if was is None and opened is not None:
        log.warning(
            "upload.breaker_opened",
            reason=opened.reason,
            hint="Everything is kept, and sent once a probe comes through. Check endpoint, store and token.",
        )
    elif was is not None and opened is None:
        log.info("upload.breaker_closed", after_seconds=round(now - was.since, 1), probes=was.probes + 1)


def _failed(outcome: Outcome) -> bool | None:
    """Tell whether the tenant is in trouble; None when the outcome does not say."""
    if isinstance(outcome, TokenRefused | Unreadable):
        return None
    return not isinstance(outcome, Delivered)
