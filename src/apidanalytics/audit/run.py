"""An audit: everything is compared with the ledger as of one moment.

While the service runs, a file is on its way between two looks at it. So what does not fit is looked at again, with a
newer ledger, and only what never fits is a difference.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from apidanalytics.audit import books as bookkeeping
from apidanalytics.audit import content, lake, places, spools
from apidanalytics.audit.difference import Difference, Kind
from apidanalytics.idempotency.lost import find_lost
from apidanalytics.layout import DataDirectory
from apidanalytics.upload.snapshot import KnownFile, LedgerSnapshot
from apidanalytics.upload.states import State

PAUSES: Final = (0.3, 1.0, 3.0)
"""Seconds before each further look. The last is longer than a step between two places takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What to look at."""

    data: DataDirectory
    lake: Path | None = None
    """The folder of the objects, if they can be read."""
    instance_id: str | None = None
    """Of this collector: objects of others are not its ledger's business."""
    deep: bool = False
    """Read every file to its end."""
    since: float = 0.0
    """Unix time: of what is uploaded, and of what is read to its end, only what changed since then."""


@dataclass(slots=True, kw_only=True)
class Checked:
    """How much was looked at."""

    spools: int = 0
    files: int = 0
    objects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of an audit."""

    at: float
    """Unix time of the ledger that everything was compared with."""
    books: dict[str, bookkeeping.Book] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    checked: Checked = field(default_factory=Checked)
    notes: tuple[str, ...] = ()
    """What is no difference, but good to know."""


def audit(extent: Extent, *, is_running: bool, sleep: Callable[[float], None] = time.sleep) -> Report:
    """Look, and look again at what does not fit as long as somebody may be at work there.

    Raises:
        OSError: a directory cannot be listed, or a spool not be opened: an audit that has not seen all says nothing.

    """
    report = look(extent)
    for pause in PAUSES if is_running else ():
        if not report.differences:
            break
        sleep(pause)
        before = {difference.key for difference in report.differences}
        report = look(extent, frozenset(subject for _, _, subject in before))
        report = replace(report, differences=tuple(d for d in report.differences if d.key in before))
    return report


def look(extent: Extent, only: frozenset[str] | None = None) -> Report:
    """Compare everything once; of what is read to its end only these subjects, if any are given."""
    read = spools.verify if extent.deep else spools.skim
    found = dict(extent.data.spools())
    contents = {number: read(path) for number, path in found.items()}
    at = time.time()
    try:
        with LedgerSnapshot.open(extent.data.ledger) as ledger:
            return _Look(extent, ledger, found, contents, read, only).report(at)
    except sqlite3.DatabaseError as error:
        sentence = f"{extent.data.ledger.name} cannot be read: {error}."
        return Report(at=at, differences=(Difference(kind=Kind.LEDGER, tenant="", subject="", sentence=sentence),))


class _Look:
    def __init__(
        self,
        extent: Extent,
        ledger: LedgerSnapshot,
        found: dict[int, Path],
        contents: dict[int, spools.SpoolContent],
        read: spools.ReadSpool,
        only: frozenset[str] | None,
    ) -> None:
        self._extent = extent
        self._ledger = ledger
        self._found = found
        self._contents = contents
        self._read = read
        self._only = only
        self._counted = ledger.spools()
        self._checked = Checked(spools=len(found))

    def report(self, at: float) -> Report:
        """Compare."""
        ledger = bookkeeping.Ledger(
            totals=self._ledger.totals(),
            sums=self._ledger.sums(),
            unreadable_bytes=self._ledger.unreadable_bytes(),
        )
        half_staged = [number for number, is_packed in self._counted.items() if not is_packed]
        unstaged = [self._unstaged(number) for number in half_staged]
        uncounted = [c.amounts for number, c in self._contents.items() if number not in self._counted]
        made = bookkeeping.books(ledger, uncounted, unstaged)
        differences = (
            *self._of_ledger(),
            *bookkeeping.differences(made, ledger),
            *self._of_spools(half_staged),
            *self._of_files(),
            *self._of_objects(),
        )
        notes = tuple(lost.sentence for lost in find_lost(self._extent.data.damaged) if lost.at >= self._extent.since)
        return Report(at=at, books=made, differences=differences, checked=self._checked, notes=notes)

    def _unstaged(self, number: int) -> spools.Amounts:
        """Return what is still missing of a spool that is being packed. It is sealed: read it, as it is now."""
        path = next((path for n, path in self._extent.data.spools() if n == number), None)
        if path is None:
            return {}
        self._found[number], self._contents[number] = path, self._read(path)
        return bookkeeping.missing(self._contents[number].amounts, self._ledger.made_of(number))

    def _of_ledger(self) -> Iterator[Difference]:
        for problem in self._ledger.problems() if self._extent.deep else ():
            yield Difference(
                kind=Kind.LEDGER, tenant="", subject=problem, sentence=f"The ledger is damaged: {problem}."
            )

    def _of_spools(self, half_staged: Iterable[int]) -> Iterator[Difference]:
        for number, read in self._contents.items():
            yield from spools.differences(self._extent.data, self._found[number], read)
        for number in half_staged:
            if number not in self._found:
                sentence = f"The spool {number:012x} was counted, not all of it was staged, and it is gone."
                yield Difference(kind=Kind.SPOOL_GONE, tenant="", subject=f"{number:012x}", sentence=sentence)

    def _of_files(self) -> Iterator[Difference]:
        found = places.list_files(self._extent.data)
        self._checked.files = sum(map(len, found.values()))
        waiting = {number for number in self._found if not self._counted.get(number, False)}
        yield from places.differences(self._ledger, found, waiting)
        if self._extent.deep:
            yield from self._of_contents(found)

    def _of_contents(self, found: dict[places.Key, list[places.Found]]) -> Iterator[Difference]:
        for known in self._ledger.files(State.STAGED, State.FAILED, since=self._extent.since):
            subject = f"{known.directory}/{known.name}"
            for file in found.get((known.directory, known.name), ()) if self._is_deep(subject) else ():
                problem = _read_to_its_end(file, known)
                if problem:
                    sentence = f"{file} {problem}."
                    yield Difference(kind=Kind.CHANGED, tenant=known.tenant, subject=subject, sentence=sentence)

    def _of_objects(self) -> Iterator[Difference]:
        extent = self._extent
        if extent.lake is None:
            return
        yield from lake.missing_or_changed(extent.lake, self._counting(), self._is_deep)
        yield from lake.unknown(extent.lake, self._ledger, extent.instance_id, extent.since)

    def _is_deep(self, subject: str) -> bool:
        return self._extent.deep and (self._only is None or subject in self._only)

    def _counting(self) -> Iterator[KnownFile]:
        for known in self._ledger.files(State.UPLOADED, since=self._extent.since):
            self._checked.objects += 1
            yield known


def _read_to_its_end(file: places.Found, known: KnownFile) -> str | None:
    if file.size_bytes != known.size_bytes:
        return None  # said already
    try:
        return content.problem(file.path, known)
    except FileNotFoundError:
        return None  # delivered while we read others; the next look, if there is one, sees it
