"""What packing needs from its neighbours."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from apidanalytics.model import Claim, Damage, Entry, SpoolHeader, StagedFile


class SpoolReader(Protocol):
    """A spool, opened for reading. The first four are complete once ``entries()`` is exhausted."""

    @property
    def header(self) -> SpoolHeader | None:
        """What the spool says of itself; None when that is damaged."""

    @property
    def damage(self) -> Sequence[Damage]:
        """Corrupt stretches between good groups."""

    @property
    def torn_bytes(self) -> int:
        """Length of the unfinished write at the end."""

    @property
    def lacks_end(self) -> bool:
        """Whether the mark is missing that it got when it was sealed."""

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of every committed group, checked, in the order of commit."""

    def claims(self) -> Iterator[Claim]:
        """Yield the claims to idempotency keys of all groups that ``entries()`` went through."""

    def read(self, entry: Entry) -> bytes:
        """Return the lines of an entry.

        Raises:
            DamagedError: it no longer is what it was.

        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


OpenSpool = Callable[[Path], SpoolReader]
"""Raises NewerFormatError for the format of a newer version, DamagedError for what is no spool at all."""


SpoolGoes = Callable[[int, Iterator[Claim]], None]
"""Told, before a spool is removed, its number and the claims in it; it raises when the spool must stay."""


class PackLedger(Protocol):
    """The memory that outlives a crash. Every call is one transaction, and saying a thing twice changes nothing."""

    def known(self, directory: str, names: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Return (records, bytes of lines) of those of these files of one bucket directory that were staged before.

        It does not matter what became of them.
        """

    def files_in(self, directory: str) -> Mapping[str, object]:
        """Return what is known of each file of one bucket directory, by name."""

    def is_packed(self, spool_number: int) -> bool:
        """Tell whether every file of this spool was staged."""

    def is_accepted(self, spool_number: int) -> bool:
        """Tell whether this spool's records are in the totals already: an earlier run may have staged some."""

    def made_of(self, spool_number: int) -> Mapping[str, tuple[int, int]]:
        """Return (records, bytes of lines) by tenant of what this spool became, or what was set aside of it."""

    def accepted(self, spool_number: int, counts: Mapping[str, tuple[int, int]]) -> None:
        """Count (records, bytes of lines) by tenant as accepted, once per spool number."""

    def assumed(self, header: SpoolHeader) -> SpoolHeader:
        """Return what was assumed first of this spool, whose own header is damaged: this, if nothing was."""

    def stage(self, files: Sequence[StagedFile], staged_at: float) -> None:
        """Note that these files stand in ``staging/``; one that is known already keeps its state."""

    def packed(self, spool_number: int, at: float) -> None:
        """Note that every file of this spool was staged."""

    def given_up(self, spool_number: int, at: float) -> None:
        """Note that the rest of this spool, if it was accepted, will not be staged."""

    def set_aside(self, name: str, records: int, bytes: int, reason: str, at: float, tenant: str = "") -> None:  # noqa: A002
        """Count what cannot be delivered, once per name and reason; tenant ``""``: nobody can tell whose it was."""
