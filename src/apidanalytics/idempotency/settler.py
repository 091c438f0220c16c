"""What the agent does for the index of keys: settles what workers left open, before their spools go.

A worker settles its own claims a moment after the commit. What it could not is found out here, by looking into the
spools: a batch that is in one is stored, one that is in none of its worker's is not. That is sure when the worker is
dead, so that nothing is added any more, and as long as no spool has gone without ``spool_goes``.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import structlog

from apidanalytics import failpoints
from apidanalytics.clock import Clock
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.claimed import OpenSpool, claims_of, is_spool_there
from apidanalytics.idempotency.current import CurrentIndex
from apidanalytics.idempotency.index import KeyIndex
from apidanalytics.idempotency.lost import Lost, find_lost
from apidanalytics.idempotency.owner import bury_dead, is_alive
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Claim

log = structlog.get_logger()

T = TypeVar("T")

_LATER: Final = "tried again in a few seconds; until then these keys are answered 503"
_UNREADABLE: Final = (
    "keys of dead workers that are in no other spool are answered 503 until it can be read, or their window is over: "
    "look at its owner, the disk, and which version wrote it"
)
_AGAIN: Final = "they were forgotten with an index that was lost, so their batches may be stored twice"
_CHUNK: Final = 5000
"""So many claims are looked up in one turn: a few tens of milliseconds."""
CHECKED_BYTES: Final = 64 << 20
"""An index up to this size is read whole at start."""


class Settler:
    """Settles open claims. All methods may wait for the disk, and are for the thread that packs and removes spools."""

    def __init__(
        self,
        data: DataDirectory,
        current: CurrentIndex,
        open_spool: OpenSpool,
        clock: Clock,
        on_lost: Callable[[Lost], None],
    ) -> None:
        """``on_lost`` is told of every index that was set aside: at start of all, and then of new ones."""
        self._data = data
        self._current = current
        self._open_spool = open_spool
        self._clock = clock
        self._on_lost = on_lost
        self._index: KeyIndex | None = None  # of which it is known what was lost before
        self._told: set[str] = set()
        self._lost: Lost | None = None
        self._unreadable: set[Path] = set()

    def __repr__(self) -> str:
        return f"<Settler: {self._current!r}, {len(self._told)} lost>"

    def spool_goes(self, number: int, claims: Iterable[Claim]) -> None:
        """Make durable that what this spool holds is stored; to be called before the spool is removed.

        Raises:
            sqlite3.Error | OSError: the disk refuses; the spool must stay.

        """
        claims = list(claims)
        if not claims and not (self._current.is_there() and -number in self._use(KeyIndex.owners)):
            return
        failpoints.hit("keys.before_spool_goes")
        self._make_known(number, claims)
        self._use(lambda index: index.spool_goes(number, claims))
        failpoints.hit("keys.after_spool_goes")

    def settle_the_dead(self) -> None:
        """Settle the claims of workers that are gone, and doubts about spools that are. With none it costs nothing.

        A batch that is in no spool may be in one that cannot be read: then its claim stays open for its window.

        To be called after the spools of dead workers were taken over; what fails is tried again next time.
        """
        try:
            if self._current.is_there():
                for owner in self._use(KeyIndex.owners):
                    if not self._may_change(owner):
                        self._close(owner)
            for _ in bury_dead(self._data.keys):
                pass
        except (sqlite3.Error, OSError, NewerFormatError, DamagedError) as error:
            log.warning("keys.settle_failed", error=str(error), hint=_LATER)

    def is_used(self) -> bool:
        """Tell whether anybody ever used a key."""
        return self._current.is_there()

    def close(self) -> None:
        """Let go of the index."""
        self._current.close()

    def _use(self, call: Callable[[KeyIndex], T]) -> T:
        """Call with the index, and take note when it is not the one of before."""
        used: list[KeyIndex] = []

        def noting(index: KeyIndex) -> T:
            used.append(index)
            if self._index is None:
                self._check(index)
            return call(index)

        result = self._current.use(noting)
        if used[-1] is not self._index:
            self._index = used[-1]
            self._look_for_lost()
        return result

    def _check(self, index: KeyIndex) -> None:
        """Read it all at start, if that takes only a moment: damage is better found now than by a batch."""
        if self._current.size_bytes() <= CHECKED_BYTES:
            index.check()

    def _look_for_lost(self) -> None:
        for lost in find_lost(self._data.damaged):
            self._lost = lost
            if lost.name not in self._told:
                self._on_lost(lost)
                self._told.add(lost.name)

    @property
    def lost(self) -> Lost | None:
        """The last index that was lost, as long as a repeat of a key in it may come."""
        lost = self._lost
        return lost if lost is not None and self._clock.now() < lost.until else None

    def _make_known(self, number: int, claims: Iterable[Claim]) -> None:
        """Add those that an index knew which was lost meanwhile: who set it aside could not find them in a spool."""
        self._use(lambda _: None)  # it may be lost just now
        lost = self.lost
        if lost is None:
            return
        again, left = Counter[str](), iter(claims)
        while chunk := list(islice(left, _CHUNK)):
            found = self._use(lambda index, chunk=chunk: index.know_stored(chunk, lost.at))  # type: ignore[misc]
            again.update(claim.tenant for claim in found)
        if again:
            log.warning("keys.used_again", spool=f"{number:012x}", keys=again.total(), tenants=again, hint=_AGAIN)

    def _may_change(self, owner: int) -> bool:
        """Tell whether the worker, or the spool in doubt, is still there."""
        if owner > 0:
            return is_alive(self._data.keys, owner)
        return is_spool_there(self._data, -owner)

    def _close(self, owner: int) -> None:
        failpoints.hit("keys.before_close")
        found, unreadable = claims_of(self._data, self._open_spool, owner) if owner > 0 else ([], {})
        if unreadable:
            self._report(unreadable)
            stored, released = self._use(lambda index: index.close_old_claims(owner, found, self._clock.now()))
        else:
            stored, released = self._use(lambda index: index.close_claims(owner, found))
        failpoints.hit("keys.after_close")
        if stored or released or not unreadable:
            log.info("keys.settled", owner=f"{abs(owner):012x}", stored=stored, released=released)

    def _report(self, unreadable: Mapping[Path, Exception]) -> None:
        for path in unreadable.keys() - self._unreadable:
            log.warning("keys.spool_unreadable", path=str(path), error=str(unreadable[path]), hint=_UNREADABLE)
        self._unreadable = set(unreadable)
