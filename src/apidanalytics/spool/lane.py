"""A way to the disk: a queue, a thread that commits one group after another, and an open spool of its own.

::

    loop thread                             the lane's thread                       sealing thread
    queue.append(...), wake()  ---------->  take a group
                                            join by tenant and start, write, sync
    on_acks(group, outcome)    <----------  tell the loop
                                            seal due? hand it over  ------------->  sync, rename to sealed/
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from apidanalytics.model import Batch, Outcome
from apidanalytics.spool.committer import Committer
from apidanalytics.spool.fair import FairGroups

log = structlog.get_logger()

LITTLE_BYTES: Final = 32 << 10
"""A tenant of which no more than this waits goes first when the others' do not fit into one group."""
Done = Callable[[Outcome], None]
Waiting = tuple[Batch, Done]


class Lane:
    """Makes the batches of one queue durable. The loop thread adds to the queue, the lane's own takes from it."""

    def __init__(
        self,
        name: str,
        committer: Committer,
        take: Callable[["Lane"], list[Waiting]],
        on_acks: Callable[[list[Waiting], Outcome], None],
    ) -> None:
        """``take`` returns the next group, possibly none, in the lane's thread; ``on_acks`` is called on the loop."""
        self.committer = committer
        self.queue: deque[Waiting] = deque()
        self.is_committing = False
        """Whether a group is on its way to the disk, or it is tried whether the disk takes anything."""
        self.leaving = 0
        """Batches in the queue that the thread was woken for, and has not taken yet."""
        self.cut_out = 0
        """Batches that are out of the queue for a moment, to be cut into a group and the rest."""
        self.has_left_some = False
        """Of what waited, when the last group was taken."""
        self._take = take
        self._on_acks = on_acks
        self._groups = FairGroups[Waiting](lambda waiting: waiting[0], little_bytes=LITTLE_BYTES)
        self._wake = threading.Lock()  # a binary semaphore: released to wake the thread
        self._wake.acquire()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __repr__(self) -> str:
        return f"<Lane {self._thread.name} {len(self.queue)} waiting, {self.committer}>"

    @property
    def is_started(self) -> bool:
        """Whether its thread runs, or ran."""
        return self._loop is not None

    @property
    def thread_id(self) -> int:
        """The system's number of its thread; 0 before it is started."""
        return self._thread.native_id or 0

    def start(self) -> None:
        """Start the thread; acks go to the running event loop.

        Raises:
            RuntimeError: the system has no thread to give; it may be tried again.

        """
        self._loop = asyncio.get_running_loop()  # first: the thread may have acks at once
        try:
            self._thread.start()
        except RuntimeError:
            self._loop = None
            raise

    async def stop(self) -> None:
        """Commit what waits, seal the open spool, and end. Nothing may be added any more."""
        self._stopping = True
        self.wake()
        if self.is_started:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def wake(self) -> None:
        """Wake the thread: what is in the queue does not wait for the disk any more."""
        self.leaving = 0 if self.has_left_some or self.is_committing else len(self.queue)
        if self._wake.locked():
            self._wake.release()

    def call(self, on_loop: Callable[[], None]) -> None:
        """Have this called on the loop, if that is still there."""
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(on_loop)
        except RuntimeError:
            return  # the loop is closed: nobody is left who could be told

    # For ``take``.

    def gather(self, max_bytes: int) -> list[Waiting]:
        """Take batches in the order in which they came until there are so many bytes of lines, or none is left."""
        queue = self.queue
        group: list[Waiting] = []
        size = 0
        self.leaving = 0
        while queue and size < max_bytes:
            waiting = queue.popleft()
            size += len(waiting[0].lines)
            group.append(waiting)
        return group

    def cut(self, group: list[Waiting], max_bytes: int) -> list[Waiting]:
        """Return of what was gathered, and of the queue, the group in which tenants take turns; put back the rest."""
        queue = self.queue
        if queue or sum(len(batch.lines) for batch, _ in group) > max_bytes:
            self.cut_out = len(group) + len(queue)  # the buffer must not look empty meanwhile
            group += [queue.popleft() for _ in range(len(queue))]  # the loop may be adding some
            group, left = self._groups.cut(group, max_bytes)
            queue.extendleft(reversed(left))
            self.cut_out = 0
        self.has_left_some = bool(queue)
        return group

    # The thread.

    def _run(self) -> None:
        try:
            self._write_groups()
        except BaseException:
            # Without this thread no batch would ever be answered. Dying is safe at any moment, going on is not.
            log.exception("spool.writer_died", hint="the worker ends and is replaced")
            os._exit(1)

    def _write_groups(self) -> None:
        committer = self.committer
        while not (self._stopping and not self.queue):
            is_wanted = self._stopping or self.has_left_some
            is_wanted = is_wanted or self._wake.acquire(timeout=committer.seconds_to_look())
            group = self._take(self) if is_wanted else []
            if group:
                self.is_committing = True
                outcome = committer.commit([batch for batch, _ in group])
                self.is_committing = False
                self._tell(group, outcome)
            elif not committer.is_writable:
                self.is_committing = True
                committer.probe()
                self.is_committing = False
            committer.seal_if_due()
        committer.close()

    def _tell(self, group: list[Waiting], outcome: Outcome) -> None:
        self.call(lambda: self._on_acks(group, outcome))
