"""What stands in the directories and the ledger does not know: the Go original's files, and ours after a lost ledger.

====================================  ==============================================================================
``tmp/<bucket>/``                     moved to ``recovered/``, and then as there
``staging/<bucket>/``, ``failed/``    a whole file is counted and staged (from ``failed/`` it moves to ``staging/``);
                                      one of the Go original that is torn or damaged is moved to ``recovered/``, and
                                      then as there; one of ours is set aside: it was whole when it was published, and
                                      one checksum covers it, so nobody can tell which of its lines are as they were
``recovered/<bucket>/``               complete lines are written to a new file in ``staging/``, see ``leftovers``
====================================  ==============================================================================
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog

from apidanalytics import durable, layout
from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory, SpoolName
from apidanalytics.model import StagedFile
from apidanalytics.pack.aside import Aside, Why
from apidanalytics.pack.buckets import Bucket, buckets
from apidanalytics.pack.compress import describe
from apidanalytics.pack.leftovers import Leftovers
from apidanalytics.pack.ports import PackLedger
from apidanalytics.pack.publish import Publisher
from apidanalytics.pack.recover import waiting_spools
from apidanalytics.pack.salvage import Salvage
from apidanalytics.pack.stager import NOTHING, Staged
from apidanalytics.pack.strangers import Strangers

log = structlog.get_logger()


class Adoption:
    """Makes the ledger know what the directories hold.

    Call ``run`` once at start: after ``Recovery.clear``, before the first spool is packed and before the uploader
    looks into the directories. It may take as long as reading all that is unknown.
    """

    def __init__(
        self,
        data: DataDirectory,
        ledger: PackLedger,
        adopt: Callable[[StagedFile], None],
        *,
        clock: Clock,
        strangers: Strangers,
    ) -> None:
        """Join the parts; ``adopt`` tells the ledger that a file stands in ``staging/`` and was never counted."""
        self._data = data
        self._ledger = ledger
        self._adopt = adopt
        self._strangers = strangers
        self._aside = Aside(data, ledger, clock)
        publisher = Publisher(data, self._aside, self._adopt_all)
        self._leftovers = Leftovers(data, ledger, self._aside, publisher, clock=clock, strangers=strangers)

    def run(self) -> Staged:
        """Adopt everything and return how much was staged. What the disk refuses waits for the next start."""
        data = self._data
        for bucket in _buckets_among(data.tmp):
            self._try(self._take_over, bucket)
        spools = {SpoolName.parse(path.name).number for path in waiting_spools(data, self._strangers)}
        staged = NOTHING
        for place in (data.staging, data.failed):
            for bucket in buckets(place, self._strangers):
                staged += self._try(lambda bucket: self._register(bucket, spools), bucket)
        for bucket in _buckets_among(data.recovered):
            self._try(self._take_over, bucket)
        for bucket in _buckets_among(data.recovered):
            staged += self._try(self._leftovers.deliver, bucket)
        if staged.files:
            log.info("adopt.staged", files=staged.files, records=staged.records, bytes=staged.bytes)
        return staged

    def _try(self, step: Callable[[Bucket], Staged], bucket: Bucket) -> Staged:
        try:
            return step(bucket)
        except Exception as error:  # noqa: BLE001 - one odd directory must not keep the others waiting
            _report_failure(bucket.path, error)
            return NOTHING

    def _take_over(self, bucket: Bucket) -> Staged:
        self._leftovers.take_over(bucket)
        return NOTHING

    def _register(self, bucket: Bucket, spools: set[int]) -> Staged:
        """Stage the unknown files of a bucket, but for those whose spool waits: packing will stage them."""
        names = bucket.files(self._strangers)
        known = self._ledger.known(bucket.path.name, list(names))
        staged = NOTHING
        for name, parsed in names.items():
            if name not in known and parsed.n // layout.FILES_PER_SPOOL not in spools:
                staged += self._try_file(bucket, name, is_ours=parsed.n >= layout.FILES_PER_SPOOL)
        bucket.remove_if_empty()
        return staged

    def _try_file(self, bucket: Bucket, name: str, *, is_ours: bool) -> Staged:
        try:
            return self._register_file(bucket, name, is_ours=is_ours)
        except OSError as error:  # such as a bad sector in it
            _report_failure(bucket.path / name, error)
            return NOTHING

    def _register_file(self, bucket: Bucket, name: str, *, is_ours: bool) -> Staged:
        path = bucket.path / name
        content = Salvage(path)
        for _ in content.lines():
            pass
        if is_ours and not content.is_whole:
            return self._set_aside(bucket, path, content)
        if not content.is_whole:
            self._leftovers.take_over_file(bucket, name)
            return NOTHING
        if not content.records:
            durable.remove(path)
            log.info("adopt.empty", path=str(path), hint="a file without records, removed")
            return NOTHING
        target = self._data.staging / bucket.path.name / name
        if not self._bring(path, target):
            return NOTHING
        file = bucket.staged(name, content, describe(target))
        self._adopt(file)
        return Staged.of([file])

    def _set_aside(self, bucket: Bucket, path: Path, content: Salvage) -> Staged:
        what = content.fault or (
            "its end is missing" if content.is_torn else f"{content.bad_lines} lines are no records"
        )
        reason = f"damaged after it was published: {what}"
        self._aside.move(path, Why(reason=reason, amounts={bucket.name.tenant: (0, path.stat().st_size)}))
        return NOTHING

    def _bring(self, path: Path, target: Path) -> bool:
        """Make a whole file durable, in ``staging/``; False when its place is taken."""
        durable.sync_file(path)
        if path == target:
            durable.sync_directories((path.parent, self._data.staging))
            return True
        if target.exists():
            self._strangers.report(path)
            return False
        durable.make_private_directory(target.parent)
        durable.rename(path, target)
        durable.sync_directory(self._data.staging)
        return True

    def _adopt_all(self, files: Sequence[StagedFile]) -> None:
        for file in files:
            self._adopt(file)


def _report_failure(path: Path, error: Exception) -> None:
    # An error of the disk explains itself; anything else is a defect, and its place matters.
    trace = None if isinstance(error, OSError) else error
    hint = "it stays where it is and is tried again at the next start"
    log.error("adopt.failed", path=str(path), error=str(error), hint=hint, exc_info=trace)


def _buckets_among(place: Path) -> Iterable[Bucket]:
    """Yield the bucket directories in a place that holds other things too."""
    return filter(None, map(Bucket.at, sorted(place.iterdir())))
