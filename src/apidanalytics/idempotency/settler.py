"""What the agent does for the index of keys: settles what workers left open, before their spools go.

A worker settles its own claims a moment after the commit. What it could not is found out here, by looking into the
spools: a batch that is in one is stored, one that is in none of its worker's is not. That is sure when the worker is
dead, so that nothing is added any more, and as long as no spool has gone without ``spool_goes``.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from apidanalytics import durable, failpoints
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.index import IndexLimits, KeyIndex
from apidanalytics.idempotency.owner import bury_dead, is_alive
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, Entry, SpoolHeader

log = structlog.get_logger()

_LATER: Final = "tried again in a few seconds; until then these keys are answered 503"


class ClaimedSpool(Protocol):
    """A spool, opened for reading."""

    @property
    def header(self) -> SpoolHeader | None:
        """What the spool says of itself; None when that is damaged."""

    def entries(self) -> Iterator[Entry]:
        """Go through all groups."""

    def claims(self) -> Iterator[Claim]:
        """Yield the claims of all groups that were gone through."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Settler:
    """Settles open claims. All methods may wait for the disk, and are for the thread that packs and removes spools."""

    def __init__(self, data: DataDirectory, limits: IndexLimits, open_spool: Callable[[Path], ClaimedSpool]) -> None:
        self._data = data
        self._limits = limits
        self._open_spool = open_spool
        self._index: KeyIndex | None = None

    def __repr__(self) -> str:
        return f"<Settler: {'open' if self._index else 'no index'}>"

    def spool_goes(self, number: int, claims: Iterable[Claim]) -> None:
        """Make durable that what this spool holds is stored; to be called before the spool is removed.

        Raises:
            sqlite3.Error | OSError: the disk refuses; the spool must stay.

        """
        claims = list(claims)
        index = self._opened()
        if index is None or not (claims or -number in index.owners()):
            return
        failpoints.hit("keys.before_spool_goes")
        index.spool_goes(number, claims)
        failpoints.hit("keys.after_spool_goes")

    def settle_the_dead(self) -> None:
        """Settle the claims of workers that are gone, and doubts about spools that are. With none it costs nothing.

        To be called after the spools of dead workers were taken over; what fails is tried again next time.
        """
        try:
            if (index := self._opened()) is not None:
                for owner in index.owners():
                    if not self._may_change(owner):
                        self._close(index, owner)
            for _ in bury_dead(self._data.keys):
                pass
        except (sqlite3.Error, OSError, NewerFormatError) as error:
            log.warning("keys.settle_failed", error=str(error), hint=_LATER)

    def close(self) -> None:
        """Let go of the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def _opened(self) -> KeyIndex | None:
        path = self._data.keys / "index.db"
        if self._index is None and path.exists():
            self._index = KeyIndex.open(path, self._limits)
        return self._index

    def _may_change(self, owner: int) -> bool:
        """Tell whether the worker, or the spool in doubt, is still there."""
        if owner > 0:
            return is_alive(self._data.keys, owner)
        # A spool moves on in this order only, and leaves by our hand only.
        name = f"{-owner:012x}*.spool"
        return any(any(place.glob(name)) for place in (self._data.tmp, self._data.sealed, self._data.recovered))

    def _close(self, index: KeyIndex, owner: int) -> None:
        failpoints.hit("keys.before_close")
        stored, released = index.close_claims(owner, self._found(owner) if owner > 0 else [])
        failpoints.hit("keys.after_close")
        log.info("keys.settled", owner=f"{abs(owner):012x}", stored=stored, released=released)

    def _found(self, owner: int) -> list[Claim]:
        return [
            claim
            for place in (self._data.tmp, self._data.sealed, self._data.recovered)
            for path in sorted(place.glob("*.spool"))
            for claim in self._claims_in(path, owner)
        ]

    def _claims_in(self, path: Path, owner: int) -> list[Claim]:
        try:
            SpoolName.parse(path.name)
            with self._open_spool(path) as spool:
                if spool.header is not None and spool.header.owner != owner:
                    return []
                # Its tail may be in the page cache only: after a power cut it would not have been stored.
                durable.sync_file(path)
                for _ in spool.entries():
                    pass
                return list(spool.claims())
        except (ValueError, DamagedError, FileNotFoundError):
            # Not ours; or set aside when it is packed, so that nothing of it is delivered; or just now sealed by its
            # worker, which then is not dead.
            return []
