"""What an earlier run made of a spool that was damaged since: none of it is made twice, and nothing behind it is lost.

So it is of one from whose end something was cut off since, which need not show: all that is left lies before that.

Names count files, and files are cut by size, so damage shifts both. What lies before the first damage is what it was.
Behind it, those entries that cannot be in the files made before, by their sizes, are cut and named anew. Whether the
others are can be told only of a tenant that was staged to its end; else it is said aloud that some may be lost.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, groupby, islice
from pathlib import Path
from typing import Final

from apidanalytics import layout
from apidanalytics.errors import DamagedError
from apidanalytics.layout import DataDirectory, FileName
from apidanalytics.model import Entry, SpoolHeader
from apidanalytics.pack.aside import Aside, Why
from apidanalytics.pack.index import Index
from apidanalytics.pack.plan import PlannedFile, cut
from apidanalytics.pack.ports import PackLedger, SpoolReader

_DOUBT: Final = "damaged after a part of it was staged: what that may hold is not staged again"


class Resumption:
    """Gives the planned files of a damaged spool the names that an earlier run gave them; takes out what it made."""

    def __init__(
        self, data: DataDirectory, ledger: PackLedger, aside: Aside, path: Path, reader: SpoolReader, index: Index
    ) -> None:
        self._data = data
        self._ledger = ledger
        self._aside = aside
        self._path = path
        self._reader = reader
        self._index = index
        self._damaged_at = min((damage.offset for damage in reader.damage), default=sys.maxsize)

    def files(self, planned: Iterable[PlannedFile], header: SpoolHeader) -> Iterator[PlannedFile]:
        """Yield what there is to make, and those that the ledger knows under the names it knows."""
        for directory, files in groupby(planned, key=lambda file: file.directory):
            yield from _Chain(self, directory, list(files), header).files()

    def names(self, directory: str, number: int) -> list[str]:
        """Return the names of all that was made of this spool in one directory, in the order in which it was."""
        published = (path.name for path in (self._data.staging / directory).glob("*"))
        names = {*self._ledger.files_in(directory), *published}
        return sorted((name for name in names if layout.spool_of(name) == number), key=_n)

    def known(self, directory: str, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (records, bytes) of those that need not be made."""
        return dict(self._ledger.known(directory, names))

    def entries(self, files: Sequence[PlannedFile]) -> list[Entry]:
        """Return the entries of files that follow each other."""
        return list(self._index.entries(files[0].key, files[0].part.first, sum(f.part.entries for f in files)))

    def is_as_it_was(self, file: PlannedFile) -> bool:
        """Tell whether a file is what an earlier run planned: nothing before its end is damaged."""
        return self.is_before(self.entries([file])[-1])

    def is_before(self, entry: Entry) -> bool:
        """Tell whether an entry lies before all damage."""
        return entry.offset < self._damaged_at

    def is_readable(self, entry: Entry) -> bool:
        """Tell whether an entry can be read: an earlier run could not count one that cannot."""
        try:
            self._reader.read(entry)
        except DamagedError:
            return False
        return True

    def cut_behind(self, files: Sequence[PlannedFile], entries: int, max_bytes: int) -> list[PlannedFile]:
        """Cut the entries of these files anew, but for the first so many; the names are those of the first."""
        sizes = self._index.sizes(files[0].key)
        first = next(at for at, (number, _, _) in enumerate(sizes) if number == files[0].part.first)
        last = first + sum(file.part.entries for file in files)
        left = islice(self._index.sizes(files[0].key), first + entries, last)
        return [replace(files[0], part=part) for part in cut(left, max_bytes)]

    def doubt(self, file: PlannedFile, entries: Sequence[Entry]) -> None:
        """Say, before anything else is staged, that nobody can tell which of these are delivered."""
        why = Why(reason=f"{file.directory}: {_DOUBT}", amounts={file.key[0]: (0, sum(e.bytes for e in entries))})
        self._aside.copy(self._path, why)


class _Chain:
    """The files of one tenant and start."""

    def __init__(
        self, resumption: Resumption, directory: str, files: Sequence[PlannedFile], header: SpoolHeader
    ) -> None:
        self._resumption = resumption
        self._planned = files
        self._header = header
        names = resumption.names(directory, header.number)
        self._known = resumption.known(directory, names)
        self._held = [name for name in names if name in self._known]
        self._free = [name for name in names if name not in self._known]
        self._given: set[str] = set()

    def files(self) -> Iterator[PlannedFile]:
        for at, file in enumerate(self._planned):
            if not self._held:
                yield self._named(file)
            elif self._resumption.is_as_it_was(file):
                yield self._as_held(file)
            else:
                yield from self._shifted(self._planned[at:])
                return

    def _as_held(self, file: PlannedFile) -> PlannedFile:
        for name in _alike(file, self._held):
            self._held.remove(name)
            return replace(file, name=name)
        return self._named(file)

    def _shifted(self, files: Sequence[PlannedFile]) -> Iterator[PlannedFile]:
        """Yield what the files that are held cannot hold."""
        entries = self._resumption.entries(files)
        covered = self._covered(entries)
        if covered == len(entries) and not self._is_cut(self._held[-1]):
            # All of it is in there. They are known, so nothing is made: what could not be read is counted.
            yield from (replace(file, name=name) for file, name in zip(files, self._held, strict=False))
            return
        # A file that was made begins as it does now.
        doubtful = [
            e for e in entries[:covered] if not (_alike(files[0], self._held) and self._resumption.is_before(e))
        ]
        if doubtful:
            self._resumption.doubt(files[0], doubtful)
        if covered < len(entries):
            for file in self._resumption.cut_behind(files, covered, self._header.max_file_bytes):
                yield replace(file, name=self._new_name(file))

    def _covered(self, entries: Sequence[Entry]) -> int:
        """Return how many of these, which follow each other, may be in the files that are held.

        Those hold the first ones, and others that are damaged now; so the sum of what they hold is not above theirs.
        """
        records, size = (sum(amounts) for amounts in zip(*map(self._known.__getitem__, self._held), strict=True))
        for at, entry in enumerate(entries):
            if self._resumption.is_readable(entry):
                records, size = records - entry.records, size - entry.bytes
            if records < 0 or size < 0:
                return at
        return len(entries)

    def _is_cut(self, name: str) -> bool:
        """Tell whether more may have followed a file: the last one of a tenant and start is seldom so large."""
        return 2 * self._known[name][1] > self._header.max_file_bytes

    def _named(self, file: PlannedFile) -> PlannedFile:
        """Return a file that is to be made, under the name it was published by, or had before it was lost."""
        free = [name for name in _alike(file, self._free) if name not in self._given]
        is_taken = file.name in self._given or file.name in self._known
        name = free[0] if free else self._new_name(file) if is_taken else file.name
        self._given.add(name)
        return replace(file, name=name)

    def _new_name(self, file: PlannedFile) -> str:
        """Return a name that nothing of this spool has; the same, whenever the ledger knows the same."""
        tenant, start_at = file.key
        base = max(map(_n, self._known), default=self._header.number * layout.FILES_PER_SPOOL)
        for more in count():
            digits = layout.name_hash(self._header.number, tenant, start_at, len(self._known) + more)
            name = str(replace(FileName.parse(file.name), hash=digits, n=base + 1 + more))
            if name not in self._given and name not in self._known:
                break
        self._given.add(name)
        return name


def _n(name: str) -> int:
    return FileName.parse(name).n


def _alike(file: PlannedFile, names: Sequence[str]) -> list[str]:
    """Return those of the names that a file may have had: its own first."""
    beginning, _, _ = file.name.partition("_")
    found = [name for name in names if name.startswith(f"{beginning}_")]
    return sorted(found, key=lambda name: name != file.name)
