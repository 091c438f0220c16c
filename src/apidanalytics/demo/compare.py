"""Hold a lake against what was sent, object by object and line by line."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Final

from isal import isal_zlib

from apidanalytics.demo import expect
from apidanalytics.demo.lake import LakeFile, UnreadableError
from apidanalytics.demo.report import Fault, Finding, Report, TenantCount

EXAMPLES: Final = 5
"""Findings of each fault that a report quotes."""


class Verdict(Enum):
    """What the service said about a batch."""

    UNKNOWN = "unknown"
    """Nothing (yet)."""
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass(slots=True, kw_only=True)
class SentBatch:
    """One batch, kept small: the oracle holds every batch of a run."""

    tenant: str
    ids: tuple[str, ...]
    archive: bytes
    """The records as sent, each on a line of its own without white space, compressed."""
    verdict: Verdict = Verdict.UNKNOWN

    def record(self, record_id: str) -> bytes:
        """Return one record as it was sent, without white space between its tokens."""
        return isal_zlib.decompress(self.archive).split(b"\n")[self.ids.index(record_id)]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is kept of one record, to know it again when it arrives."""

    batch: SentBatch
    length: int
    """Of the record as sent, without its closing brace; 0 when only a look at the members can tell."""
    digest: bytes
    added: Mapping[str, str]
    """What enrichment must add; records that get the same share one mapping."""


def digest(text: bytes) -> bytes:
    """Return 64 bits of a hash: enough to see any accident."""
    return blake2b(text, digest_size=8).digest()


@dataclass(slots=True)
class _Seen:
    """Copies of each record in the lake, by its id."""

    whole: Counter[str] = field(default_factory=Counter)
    altered: Counter[str] = field(default_factory=Counter)
    misplaced: Counter[str] = field(default_factory=Counter)

    def copies(self, record_id: str) -> int:
        return self.whole[record_id] + self.altered[record_id] + self.misplaced[record_id]


class Comparison:
    """Takes in the objects of a lake one by one, then judges."""

    def __init__(
        self, id_member: str, tenants: Iterable[str], batches: Sequence[SentBatch], sent: Mapping[str, Expectation]
    ) -> None:
        self._id = re.compile(rb'"%s"[ \t]*:[ \t]*"([^"\\]+)"' % re.escape(id_member.encode()))
        self._batches = batches
        self._sent = sent
        self._seen = _Seen()
        self._tails: dict[tuple[int, bytes], bool] = {}
        self._tenants = {name: TenantCount() for name in tenants}
        self._faults: dict[str, Counter[Fault]] = {name: Counter() for name in self._tenants}
        self._examples: dict[Fault, list[Finding]] = {fault: [] for fault in Fault}

    def add(self, file: LakeFile) -> None:
        """Take in one object."""
        count = self._tenants.setdefault(file.tenant, TenantCount())
        count.files += 1
        count.size_bytes += file.size_bytes
        try:
            for line in file.lines():
                count.lines_bytes += len(line) + 1
                self._add_line(line, file)
        except UnreadableError as error:
            self._found(Fault.UNREADABLE, file.tenant, file.path.name, str(error))

    def _add_line(self, line: bytes, file: LakeFile) -> None:
        match = self._id.search(line)
        record_id = match[1].decode(errors="replace") if match else ""
        expected = self._sent.get(record_id)
        if expected is None:
            detail = f"{file.path.name}: {line[:200].decode(errors='replace')}"
            self._found(Fault.STRAY, file.tenant, record_id or "a line without an id", detail)
        elif file.tenant != expected.batch.tenant:
            self._seen.misplaced[record_id] += 1
            self._found(Fault.MISPLACED, expected.batch.tenant, record_id, f"lies under {file.tenant}")
        else:
            self._add_copy(line, record_id, expected)

    def _add_copy(self, line: bytes, record_id: str, expected: Expectation) -> None:
        if self._is_whole(line, expected) or self._is_whole(expect.compact(line), expected):
            self._seen.whole[record_id] += 1
            return
        what = expect.difference(expected.batch.record(record_id), line, expected.added)
        if what is None:
            self._seen.whole[record_id] += 1
            return
        self._seen.altered[record_id] += 1
        self._found(Fault.ALTERED, expected.batch.tenant, record_id, what)

    def _is_whole(self, line: bytes, expected: Expectation) -> bool:
        """Say whether a line is what was sent and then what is added: quickly, and False when in doubt."""
        head, tail = line[: expected.length], line[expected.length :]
        return bool(head) and digest(head) == expected.digest and self._is_added(tail, expected.added)

    def _is_added(self, tail: bytes, added: Mapping[str, str]) -> bool:
        key = (id(added), tail)
        if key not in self._tails:
            closes = tail == b"}" or tail.startswith(b",")
            self._tails[key] = closes and expect.difference(b"{}", b"{" + tail.removeprefix(b","), added) is None
        return self._tails[key]

    def report(self) -> Report:
        """Judge every batch that was sent. To be called once, after the last ``add``."""
        for batch in self._batches:
            self._judge(batch)
        return Report(
            tenants=self._tenants,
            faults=self._faults,
            examples=tuple(finding for findings in self._examples.values() for finding in findings),
        )

    def _judge(self, batch: SentBatch) -> None:
        judge = {
            Verdict.ACKNOWLEDGED: self._judge_acknowledged,
            Verdict.REFUSED: self._judge_refused,
            Verdict.UNKNOWN: self._judge_unknown,
        }[batch.verdict]
        judge(batch, self._tenants.setdefault(batch.tenant, TenantCount()))

    def _judge_acknowledged(self, batch: SentBatch, count: TenantCount) -> None:
        count.accepted += len(batch.ids)
        for record_id in batch.ids:
            count.delivered += bool(self._seen.whole[record_id])
            if not self._seen.whole[record_id] + self._seen.altered[record_id]:
                self._found(Fault.LOST, batch.tenant, record_id)
        self._look_for_copies(batch)

    def _judge_refused(self, batch: SentBatch, count: TenantCount) -> None:
        count.refused += len(batch.ids)
        for record_id in filter(self._seen.copies, batch.ids):
            self._found(Fault.REFUSED, batch.tenant, record_id)

    def _judge_unknown(self, batch: SentBatch, count: TenantCount) -> None:
        arrived = sum(bool(self._seen.copies(record_id)) for record_id in batch.ids)
        count.unanswered += len(batch.ids)
        count.unanswered_delivered += arrived
        if 0 < arrived < len(batch.ids):
            detail = f"{arrived} of {len(batch.ids)} records arrived"
            self._found(Fault.TORN, batch.tenant, f"the batch of {batch.ids[0]}", detail)
        self._look_for_copies(batch)

    def _look_for_copies(self, batch: SentBatch) -> None:
        for record_id in batch.ids:
            if (copies := self._seen.whole[record_id] + self._seen.altered[record_id]) > 1:
                self._found(Fault.DOUBLED, batch.tenant, record_id, f"{copies} copies")

    def _found(self, fault: Fault, tenant: str, subject: str, detail: str = "") -> None:
        self._faults.setdefault(tenant, Counter())[fault] += 1
        if len(self._examples[fault]) < EXAMPLES:
            self._examples[fault].append(Finding(fault=fault, tenant=tenant, subject=subject, detail=detail))
