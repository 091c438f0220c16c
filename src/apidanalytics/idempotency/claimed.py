"""Which keys the spools know: the claims in all that are not packed yet."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from apidanalytics import durable
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.index import KnownKey
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Claim, Entry, SpoolHeader


class ClaimedSpool(Protocol):
    """A spool, opened for reading."""

    @property
    def header(self) -> SpoolHeader | None:
        """What the spool says of itself; None when that is damaged."""

    def entries(self) -> Iterator[Entry]:
        """Go through all groups."""

    def claims(self) -> Iterator[Claim]:
        """Yield the claims of all groups that were gone through."""

    def last_claims(self) -> Iterator[Claim]:
        """Yield, of these, the claims of the last group that has some."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


OpenSpool = Callable[[Path], ClaimedSpool]
Trouble = OSError | NewerFormatError | ValueError

_PASSES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
"""Trouble of this process, not of a spool: it can be read a moment later."""


@dataclass(slots=True)
class Known:
    """What spools tell of keys."""

    keys: list[KnownKey] = field(default_factory=list)
    unread: dict[Path, Trouble] = field(default_factory=dict)
    """Why some spools, or the rest of them, could not be read: they may hold more keys."""


def known_keys(data: DataDirectory, open_spool: OpenSpool) -> Known:
    """Return every key that a spool holds, with what is known of it, and which spools could not be asked.

    Of an open spool the last group may still be refused by the disk: its claims are in doubt about that spool.

    Raises:
        OSError: this process has no memory or descriptors for that now.

    """
    known = Known()
    for number, path in data.spools():
        try:
            _add_known(known.keys, number, path, open_spool, is_open=path.parent == data.tmp)
        except (OSError, NewerFormatError, ValueError) as error:
            if getattr(error, "errno", None) in _PASSES:
                raise
            known.unread[path] = error
    return known


def claims_of(data: DataDirectory, open_spool: OpenSpool, owner: int) -> tuple[list[Claim], dict[Path, Trouble]]:
    """Return the claims in all spools of a worker that is dead, and why others, which may be its, cannot be read."""
    found: list[Claim] = []
    unreadable: dict[Path, Trouble] = {}
    for _, path in data.spools():
        try:
            found += _claims_in(path, open_spool, owner)
        except (OSError, NewerFormatError) as error:
            unreadable[path] = error
    return found, unreadable


def _add_known(keys: list[KnownKey], number: int, path: Path, open_spool: OpenSpool, *, is_open: bool) -> None:
    try:
        with open_spool(path) as spool:
            durable.sync_file(path)
            try:
                for _ in spool.entries():
                    pass
            finally:  # of one that can be read in part, that part
                doubtful = {claim.ticket for claim in spool.last_claims()} if is_open else set()
                keys += ((claim, -number if claim.ticket in doubtful else None) for claim in spool.claims())
    except (DamagedError, FileNotFoundError):
        return  # set aside when it is packed, so that nothing of it is delivered; or just now moved on


def _claims_in(path: Path, open_spool: OpenSpool, owner: int) -> list[Claim]:
    try:
        with open_spool(path) as spool:
            if spool.header is not None and spool.header.owner != owner:
                return []
            # Its tail may be in the page cache only: after a power cut it would not have been stored.
            durable.sync_file(path)
            for _ in spool.entries():
                pass
            return list(spool.claims())
    except (ValueError, DamagedError, FileNotFoundError):
        # No spool; or set aside when it is packed, so that nothing of it is delivered; or just now sealed by its
        # worker, which then is not dead.
        return []
