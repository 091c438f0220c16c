"""Which keys the spools know: the claims in all that are not packed yet."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

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


def known_keys(data: DataDirectory, open_spool: OpenSpool) -> Iterator[KnownKey]:
    """Yield every key that a spool holds, with what is known of it.

    Of an open spool the last group may still be refused by the disk: its claims are in doubt about that spool.
    """
    for place in (data.tmp, data.sealed, data.recovered):
        for path in sorted(place.glob("*.spool")):
            yield from _known_of(path, open_spool, is_open=place == data.tmp)


def claims_of(
    data: DataDirectory, open_spool: OpenSpool, owner: int
) -> tuple[list[Claim], dict[Path, OSError | NewerFormatError]]:
    """Return the claims in all spools of a worker that is dead, and why others, which may be its, cannot be read."""
    found: list[Claim] = []
    unreadable: dict[Path, OSError | NewerFormatError] = {}
    for _, path in data.spools():
        try:
            found += _claims_in(path, open_spool, owner)
        except (OSError, NewerFormatError) as error:
            unreadable[path] = error
    return found, unreadable


def _known_of(path: Path, open_spool: OpenSpool, *, is_open: bool) -> Iterable[KnownKey]:
    try:
        name = SpoolName.parse(path.name)
        with open_spool(path) as spool:
            durable.sync_file(path)
            for _ in spool.entries():
                pass
            doubtful = {claim.ticket for claim in spool.last_claims()} if is_open else set()
            return [(claim, -name.number if claim.ticket in doubtful else None) for claim in spool.claims()]
    except (ValueError, DamagedError, NewerFormatError, FileNotFoundError):
        return []


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
