"""Which keys the spools know: the claims in all that are not packed yet."""

import errno
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from apidanalytics import durable
from apidanalytics.errors import DamagedError, NewerFormatError
from apidanalytics.idempotency.index import KnownKey
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import Claim, Entry, SpoolHeader


class ClaimedSpool(Protocol):
    """A spool, opened for reading."""

    @property
    def header(self) -> SpoolHeader | None:
        """What the spool says of itself; None when that is damaged."""

    @property
    def fixed_bytes(self) -> int:
        """How much nobody changes any more: all before the last group that was gone through."""

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
Trouble = OSError | NewerFormatError | ValueError | struct.error

_PASSES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR}
"""Trouble of this process, not of a spool: it can be read a moment later."""


@dataclass(slots=True)
class Known:
    """What spools tell of keys."""

    keys: list[KnownKey] = field(default_factory=list)
    unread: dict[Path, Trouble] = field(default_factory=dict)
    """Why some spools, the rest of them, or whole directories could not be read: they may hold more keys."""


def known_keys(data: DataDirectory, open_spool: OpenSpool) -> Known:
    """Return every key that a spool holds, with what is known of it, and which spools could not be asked.

    Of an open spool the last group may still be refused by the disk: its claims are in doubt about that spool. So are
    all of one that cannot be synced, whose end a power cut may take.

    Raises:
        OSError: this process has no memory or descriptors for that now.

    """
    known = Known()
    for number, path in _spools(data, known.unread):
        try:
            _add_known(known.keys, number, path, open_spool, is_open=path.parent == data.tmp)
        except (OSError, NewerFormatError, ValueError, struct.error) as error:
            known.unread[path] = error
    for trouble in known.unread.values():
        if _passes(trouble):
            raise trouble
    return known


def claims_of(data: DataDirectory, open_spool: OpenSpool, owner: int) -> tuple[list[Claim], dict[Path, Trouble]]:
    """Return the claims in all spools of a worker that is dead, and why others, which may be its, cannot be read."""
    found: list[Claim] = []
    unreadable: dict[Path, Trouble] = {}
    for _, path in _spools(data, unreadable):
        try:
            found += _claims_in(path, open_spool, owner)
        except (OSError, NewerFormatError, struct.error) as error:
            unreadable[path] = error
    return found, unreadable


def is_spool_there(data: DataDirectory, number: int) -> bool:
    """Tell whether a spool is not packed yet.

    Raises:
        OSError: it may be in a directory that cannot be listed.

    """
    # A spool moves on in this order only, and leaves by our hand only.
    places = data.tmp, data.sealed, data.recovered
    return any(_number(path.name) == number for place in places for path in place.iterdir())


def _spools(data: DataDirectory, unread: dict[Path, Trouble]) -> Iterator[tuple[int, Path]]:
    """Yield what ``DataDirectory.spools`` does, and note where that cannot be found out."""
    for directory in (data.tmp, data.sealed, data.recovered):
        try:
            paths = list(directory.iterdir())
        except OSError as error:
            unread[directory] = error
            continue
        for path in paths:
            number = _number(path.name)
            if number is not None and _is_file(path, unread):
                yield number, path


def _is_file(path: Path, unread: dict[Path, Trouble]) -> bool:
    try:
        return durable.is_plain_file(path)
    except OSError as error:
        unread[path] = error
        return False


def _number(name: str) -> int | None:
    try:
        return SpoolName.parse(name).number
    except ValueError:
        return None


def _add_known(keys: list[KnownKey], number: int, path: Path, open_spool: OpenSpool, *, is_open: bool) -> None:
    try:
        with open_spool(path) as spool:
            is_synced = _is_synced(path, spool, is_open=is_open)
            try:
                for _ in spool.entries():
                    pass
            finally:  # of one that can be read in part, that part
                doubtful = {claim.ticket for claim in spool.last_claims()} if is_open else set()
                sure = None if is_synced else -number
                keys += ((claim, -number if claim.ticket in doubtful else sure) for claim in spool.claims())
    except (DamagedError, FileNotFoundError):
        return  # set aside when it is packed, so that nothing of it is delivered; or just now moved on


def _is_synced(path: Path, spool: ClaimedSpool, *, is_open: bool) -> bool:
    try:
        _sync(path, spool, is_open=is_open)
    except FileNotFoundError:
        raise
    except OSError as error:
        if _passes(error):
            raise
        return False
    return True


def _sync(path: Path, spool: ClaimedSpool, *, is_open: bool) -> None:
    """Make durable what a spool holds; what failed once is not believed the next time, whoever asks then."""
    if not is_open:
        durable.sync_ended_file(path)
        return
    try:
        durable.sync_file(path)
    except OSError:
        with suppress(OSError, ValueError, struct.error):  # of one that can be read in part, that part
            for _ in spool.entries():
                pass
        durable.write_again(path, spool.fixed_bytes)
        raise


def _passes(error: Exception) -> bool:
    return getattr(error, "errno", None) in _PASSES


def _claims_in(path: Path, open_spool: OpenSpool, owner: int) -> list[Claim]:
    try:
        with open_spool(path) as spool:
            if spool.header is not None and spool.header.owner != owner:
                return []
            # Its tail may be in the page cache only: after a power cut it would not have been stored. Whose it is
            # cannot be told without a header: one in ``tmp/`` may be written to.
            is_ended = spool.header is not None or path.parent.name != "tmp"
            _sync(path, spool, is_open=not is_ended)
            for _ in spool.entries():
                pass
            return list(spool.claims())
    except (ValueError, DamagedError, FileNotFoundError):
        # No spool; or set aside when it is packed, so that nothing of it is delivered; or just now sealed by its
        # worker, which then is not dead.
        return []
