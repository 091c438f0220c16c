"""Keeps a book of every batch that was sent, and holds the lake against it, read by itself: gzip, lines, names.

What is right: an acknowledged batch is there once, whole, byte for byte, under its tenant, in a bucket in which it can
have arrived. A refused one is not there. One without an answer is there once, whole, or not at all.
"""

import calendar
import gzip
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tests.faults.batches import Batch, batch_of

_NAME = re.compile(r"[0-9a-f]{4}_(\d{14})\.(\d{14})_([\w.-]+)_writer_(\d+)(_recovered_[\d.]+)?\.txt\.gz")
_ID = re.compile(rb'\{"id":"(\d+)\.(\d+)"')
_EXAMPLES = 5
_READ_LATER_SECONDS = 60.0


class Finding(StrEnum):
    LOST = "acknowledged and not there"
    DOUBLED = "there more than once"
    REFUSED = "refused and there"
    HALF = "unanswered and there in part"
    ALTERED = "other bytes than sent"
    MISPLACED = "under another tenant"
    INVENTED = "never sent"
    TORN = "an object that is not whole"
    MISDATED = "in a bucket in which it did not arrive"


@dataclass(slots=True)
class Sent:
    """What is known of one batch: instants are Unix seconds by the clock of the test."""

    first_at: float
    last_at: float = 0.0
    fate: str = "open"
    """``acknowledged``, ``refused``, or ``open``: nobody was told."""
    generation: int = 0
    """The newest generation of the scope data that there was when its last answer came."""


@dataclass
class Judgement:
    records: Counter[str] = field(default_factory=Counter)
    """By fate; ``delivered`` are the lines of the lake."""
    found: Counter[Finding] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    objects: int = 0

    def note(self, finding: Finding, what: str, count: int = 1) -> None:
        self.found[finding] += count
        if sum(example.startswith(finding) for example in self.examples) < _EXAMPLES:
            self.examples.append(f"{finding}: {what}")

    @property
    def holds(self) -> bool:
        return not self.found


class Oracle:
    """One thread writes the book; judging comes after."""

    def __init__(self, seed: int, times: Callable[[float, float], list[tuple[float, float]]] | None = None) -> None:
        """``times`` tells which times of day the service saw between two instants; without it nothing is dated."""
        self._seed = seed
        self._times = times
        self._book: dict[int, Sent] = {}
        self._objects: dict[int, list[str]] = {}
        """By batch, where lines of it are."""

    def sent(self, number: int, at: float) -> None:
        self._book[number] = Sent(first_at=at)

    def answered(self, number: int, fate: str, at: float, generation: int) -> None:
        entry = self._book[number]
        entry.fate, entry.last_at, entry.generation = fate, at, generation

    def judge(self, lake: Path) -> Judgement:
        """Read the whole lake and say all that is wrong with it."""
        judgement = Judgement()
        seen: dict[int, Counter[int]] = {}
        for path in sorted(path for path in lake.rglob("*") if path.is_file()):
            judgement.objects += 1
            self._read(path, lake, judgement, seen)
        for number, entry in self._book.items():
            self._settle(number, entry, seen.get(number, Counter()), judgement)
        return judgement

    def _read(self, path: Path, lake: Path, judgement: Judgement, seen: dict[int, Counter[int]]) -> None:
        place = _Place.parse(path, lake)
        if place is None:
            judgement.note(Finding.TORN, f"{path.relative_to(lake)} is no object's name")
            return
        known: tuple[int, list[list[bytes]]] = (-1, [])
        for line in _lines(path, judgement):
            judgement.records["delivered"] += 1
            match = _ID.match(line)
            number = int(match[1]) if match else -1
            if match is None or number not in self._book:
                judgement.note(Finding.INVENTED, f"{line[:80]!r} in {path.name}")
                continue
            if known[0] != number:
                known = number, self._expected(number, place.tenant)
                self._objects.setdefault(number, []).append(path.name)
                self._date(number, place, judgement)
            index = int(match[2])
            seen.setdefault(number, Counter())[index] += 1
            if not any(index < len(lines) and lines[index] == line for lines in known[1]):
                self._say_why(number, index, line, place, judgement)

    def _expected(self, number: int, tenant: str) -> list[list[bytes]]:
        """Return the lines of a batch, once for each generation in which this tenant may have got it."""
        batch = batch_of(self._seed, number)
        newest = self._book[number].generation if batch.depends_on_generation else 0
        generations = [g for g in range(newest, -1, -1) if batch.whose(g).name == tenant]
        return [batch.lines(batch.whose(generation), generation) for generation in generations]

    def _say_why(self, number: int, index: int, line: bytes, place: "_Place", judgement: Judgement) -> None:
        batch = batch_of(self._seed, number)
        names = {batch.whose(g).name for g in range(self._book[number].generation + 1)}
        finding = Finding.ALTERED if place.tenant in names else Finding.MISPLACED
        judgement.note(finding, f"{number}.{index} of {names} in {place.tenant}: {line[:400]!r}")

    def _date(self, number: int, place: "_Place", judgement: Judgement) -> None:
        entry = self._book[number]
        if self._times is None:
            return
        # Who gave up waiting does not know when it is read: by a worker that was frozen, or had no processor, later.
        later = _READ_LATER_SECONDS if entry.fate == "open" else 0.0
        times = self._times(entry.first_at, (entry.last_at or time.time()) + later)
        if not any(place.start_at <= last and first < place.end_at for first, last in times):
            judgement.note(Finding.MISDATED, f"{number} arrived within {times}, and is in {place.start_at}")

    def _settle(self, number: int, entry: Sent, seen: Counter[int], judgement: Judgement) -> None:
        batch = batch_of(self._seed, number)
        judgement.records[entry.fate] += len(batch.records)
        doubled = sum(count - 1 for count in seen.values() if count > 1)
        if doubled:
            where = f"{_name(batch, entry)}, {entry.fate}, in {self._objects[number]}"
            judgement.note(Finding.DOUBLED, where, doubled)
        missing = len(batch.records) - len(seen)
        if entry.fate == "refused" and seen:
            judgement.note(Finding.REFUSED, _name(batch, entry), len(seen))
        elif entry.fate == "acknowledged" and missing:
            judgement.note(Finding.LOST, _name(batch, entry), missing)
        elif entry.fate == "open" and seen and missing:
            judgement.note(Finding.HALF, _name(batch, entry), missing)


def _name(batch: Batch, entry: Sent) -> str:
    return f"batch {batch.number} of {len(batch.records)} records to {batch.path}, sent {entry.first_at:.3f}"


@dataclass(frozen=True)
class _Place:
    """What the key of an object says."""

    tenant: str
    start_at: int
    end_at: int

    @classmethod
    def parse(cls, path: Path, lake: Path) -> "_Place | None":
        parts = path.relative_to(lake).parts
        match = _NAME.fullmatch(parts[-1])
        if len(parts) != 4 or match is None:
            return None
        start_at, end_at = (calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S")) for text in match.group(1, 2))
        day = time.strftime("date=%Y-%m-%d", time.gmtime(start_at))
        minute = time.strftime("time=%H-%M", time.gmtime(start_at))
        return cls(parts[0], start_at, end_at) if parts[1:3] == (day, minute) else None


def _lines(path: Path, judgement: Judgement) -> Iterator[bytes]:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        judgement.note(Finding.TORN, f"{path.name}: {error}")
        return
    *lines, rest = content.split(b"\n")
    if rest or not lines:
        judgement.note(Finding.TORN, f"{path.name} ends with {rest[:60]!r}")
    yield from lines
