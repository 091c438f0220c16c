"""The oracle: what was sent, what was answered, and whether the lake agrees.

::

    oracle = Oracle(accounts)
    batch = oracle.sent("acme~prod", records)      before the request leaves
    oracle.acknowledged(batch)                     it was answered 200; or
    oracle.refused(batch)                          answered 4xx or 5xx, or it never left; or
    oracle.unknown(batch)                          the connection ended without an answer (as if nothing was said)
    report = oracle.compare(lake.files(path))      after the last file is there
    report.holds

The promise it checks: an acknowledged record is in the lake once, under its own tenant, as ``expect`` says; a refused
one is not there; one without an answer is there once or not at all, and so is its whole batch. Records are told apart
by a member whose value is unique (``gateway_flow_id``). It keeps about 400 bytes for each record.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from isal import isal_zlib

from apidanalytics.demo import expect
from apidanalytics.demo.accounts import Account
from apidanalytics.demo.compare import Comparison, Expectation, SentBatch, Verdict, digest
from apidanalytics.demo.lake import LakeFile
from apidanalytics.demo.report import Report

ID_MEMBER: Final = "gateway_flow_id"


class Oracle:
    """Remembers every record that was sent, in little memory, and judges the lake.

    Not thread-safe: ``sent`` and the three verdicts are for one thread, ``compare`` may run in another after them.
    """

    def __init__(self, accounts: Iterable[Account], id_member: str = ID_MEMBER) -> None:
        self._accounts = {account.name: account for account in accounts}
        self._id_member = id_member
        self._id = re.compile(rb'"%s"\s*:\s*"([^"\\]+)"' % re.escape(id_member.encode()))
        self._batches: list[SentBatch] = []
        self._records: dict[str, Expectation] = {}
        self._shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    @property
    def records(self) -> int:
        """How many records were sent."""
        return len(self._records)

    def sent(self, tenant: str, records: Sequence[bytes]) -> SentBatch:
        """Remember a batch that is about to leave, with the encoded name of the tenant it is for.

        Raises:
            ValueError: a record without an id, or with one that was used before.

        """
        ids = tuple(map(self._id_of, records))
        texts = [expect.compact(record) for record in records]
        batch = SentBatch(tenant=tenant, ids=ids, archive=isal_zlib.compress(b"\n".join(texts), 1))
        for record_id, text in zip(ids, texts, strict=True):
            if record_id in self._records:
                raise ValueError(f"the id {record_id} was used before")
            self._records[record_id] = self._expectation(batch, text)
        self._batches.append(batch)
        return batch

    def acknowledged(self, batch: SentBatch) -> None:
        """Remember that the batch was answered 200."""
        batch.verdict = Verdict.ACKNOWLEDGED

    def refused(self, batch: SentBatch) -> None:
        """Remember that the batch was answered 4xx or 5xx, or that not a byte of it left."""
        batch.verdict = Verdict.REFUSED

    def unknown(self, batch: SentBatch) -> None:
        """Remember that the connection ended without an answer."""
        batch.verdict = Verdict.UNKNOWN

    def compare(self, lake: Iterable[LakeFile]) -> Report:
        """Hold these objects, all there are, against all that was sent."""
        comparison = Comparison(self._id_member, self._accounts, self._batches, self._records)
        for file in lake:
            comparison.add(file)
        return comparison.report()

    def _id_of(self, record: bytes) -> str:
        match = self._id.search(record)
        if match is None:
            raise ValueError(f"a record without {self._id_member}: {record[:200]!r}")
        return match[1].decode()

    def _expectation(self, batch: SentBatch, text: bytes) -> Expectation:
        added = self._additions(batch.tenant, text)
        # A member that is filled in stands in the middle: then the beginning of the line is not the record as sent.
        filled = any(name in added and b'"%s":' % name.encode() in text for name in ("organization", "environment"))
        head = b"" if filled else text[:-1]
        return Expectation(batch, len(head), digest(head), added)

    def _additions(self, tenant: str, text: bytes) -> Mapping[str, str]:
        try:
            added = expect.additions(text, self._accounts[tenant])
        except ValueError:
            added = {}  # no JSON object: it will be refused, and then only its id matters
        return self._shared.setdefault(tuple(sorted(added.items())), added)
