"""Where a worker claims keys: one thread that takes all wishes that wait in one transaction, and tells the loop.

::

    loop thread                                  desk thread
    claim(wish, done) --> queue  ------------->  take all; one transaction, synced once
    done(verdict, claim)         <-------------  tell the loop
    settle(claim, fate) --> queue, with the next wishes, or after a moment

The thread, and this worker's place among the owners, come with the first wish: without keys there is neither.
"""

import asyncio
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from apidanalytics import failpoints
from apidanalytics.clock import Clock
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.current import CurrentIndex
from apidanalytics.idempotency.index import KeyIndex, Settlement
from apidanalytics.idempotency.owner import Owner
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Claim, Fate, Verdict, Wish

log = structlog.get_logger()

SETTLE_SECONDS: Final = 0.01
"""How long a settlement waits for wishes to go with: other workers see a key as in use until then."""
RETRY_SECONDS: Final = 1.0
"""How often settlements are tried again that the disk refused, and whether the index can be used again."""
HINT: Final = "batches with an Idempotency-Key get 503 until the index in keys/ can be used; others are not concerned"

Told = Callable[[Verdict, Claim | None], None]


class KeyDesk:
    """Claims keys for one worker. All methods are for the loop thread."""

    def __init__(self, data: DataDirectory, owner: int, current: CurrentIndex, clock: Clock) -> None:
        self._directory = data.keys
        self._number = owner
        self._current = current
        self._clock = clock
        self._wishes: deque[tuple[Wish, Told]] = deque()
        self._settlements: deque[Settlement] = deque()
        self._wake = threading.Event()
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._starting: asyncio.TimerHandle | None = None
        # The desk thread's own.
        self._owner: Owner | None = None
        self._index: KeyIndex | None = None  # the one in which all that is granted has its rows
        self._granted: dict[int, tuple[Wish, Claim]] = {}  # by ticket, until it is settled
        self.trouble: str | None = None
        """Why the index cannot be used, by the last attempt, a moment ago at most. Any thread may look."""

    def __repr__(self) -> str:
        state = "failing" if self.trouble else "open" if self._thread else "never used"
        return f"<KeyDesk {state}: {len(self._wishes)} wishes, {len(self._settlements)} settlements>"

    def claim(self, wish: Wish, done: Told) -> None:
        """Call ``done``, once and later, with the verdict, and with the claim if it was granted."""
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._start()
            if self._thread is None:
                self._loop.call_soon(done, Verdict.FAILED, None)
                return
        self._wishes.append((wish, done))
        self._wake.set()

    def _start(self) -> None:
        """Start the thread, if this process may have one more now; otherwise with the next wish, or in a while."""
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        thread = threading.Thread(target=self._run, name="keys", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._failed(error)
            assert self._loop is not None  # there was a wish
            self._starting = self._loop.call_later(RETRY_SECONDS, self._start)
            return
        self._thread = thread

    def settle(self, claim: Claim, fate: Fate) -> None:
        """Say what became of the batch of a claim."""
        self._settlements.append((claim, fate))
        if self._settling is None:
            assert self._loop is not None  # there was a claim
            self._settling = self._loop.call_later(SETTLE_SECONDS, self._kick)

    def _kick(self) -> None:
        self._settling = None
        self._wake.set()

    async def stop(self) -> None:
        """Settle what is to be settled, and end. Nothing may be asked any more."""
        self._is_stopping = True
        if self._starting is not None:
            self._starting.cancel()
        self._wake.set()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # In the desk thread.

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                # The time limit is for refused settlements, and for trouble that is over though nobody has a wish.
                self._wake.wait(RETRY_SECONDS if self._settlements or self.trouble is not None else None)
                self._wake.clear()
                self._serve()
            self._serve()
            self._leave()
        except BaseException:
            # Without this thread no wish would ever be answered; dying is safe at any moment.
            log.exception("keys.desk_died", hint="the worker ends and is replaced")
            os._exit(1)

    def _serve(self) -> None:
        # Taken one by one: the loop thread may be adding some.
        wishes = [self._wishes.popleft() for _ in range(len(self._wishes))]
        settlements = [self._settlements.popleft() for _ in range(len(self._settlements))]
        if not wishes and not settlements and self.trouble is None:
            return
        try:
            answers = self._ask([wish for wish, _ in wishes], settlements)
        except (sqlite3.Error, OSError, NewerFormatError, DamagedError) as error:
            self._failed(error)
            self._settlements.extendleft(reversed(settlements))
            answers = [(Verdict.FAILED, None)] * len(wishes)
        else:
            self._works(is_claim=bool(wishes), is_settlement=bool(settlements))
        if wishes:
            self._tell([(done, *answer) for (_, done), answer in zip(wishes, answers, strict=True)])

    def _ask(self, wishes: Sequence[Wish], settlements: Sequence[Settlement]) -> list[tuple[Verdict, Claim | None]]:
        if self._owner is None:
            self._owner = Owner.enter(self._directory, self._number)
        if wishes:
            failpoints.hit("keys.before_claim")
        if settlements:
            failpoints.hit("keys.before_settle")
        answers = self._current.use(lambda index: self._ask_index(index, wishes, settlements))
        for claim, _ in settlements:
            self._granted.pop(claim.ticket, None)
        for wish, (_, granted) in zip(wishes, answers, strict=True):
            if granted is not None:
                self._granted[granted.ticket] = (wish, granted)
        return answers

    def _ask_index(
        self, index: KeyIndex, wishes: Sequence[Wish], settlements: Sequence[Settlement]
    ) -> list[tuple[Verdict, Claim | None]]:
        now = self._clock.now()
        if index is not self._index and self._granted:
            index.claim_again(self._granted.values(), self._number, now)  # the one before was lost
        self._index = index
        return index.claim(wishes, settlements, self._number, now)

    def _tell(self, answers: list[tuple[Told, Verdict, Claim | None]]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_tell_all, answers)
        except RuntimeError:
            return  # the loop is closed: nobody is left who could be told

    def _failed(self, error: Exception) -> None:
        if self.trouble is None:
            log.error("keys.failed", error=str(error), directory=str(self._directory), hint=HINT)
        self.trouble = str(error)

    def _works(self, *, is_claim: bool, is_settlement: bool) -> None:
        if is_settlement:
            failpoints.hit("keys.after_settle")
        if is_claim:
            failpoints.hit("keys.after_claim")
        if self.trouble is not None:
            self.trouble = None
            log.info("keys.works_again")

    def _leave(self) -> None:
        self._current.close()
        if self._owner is not None and not self._settlements:
            self._owner.leave()


def _tell_all(answers: list[tuple[Told, Verdict, Claim | None]]) -> None:
    for done, verdict, claim in answers:
        done(verdict, claim)
