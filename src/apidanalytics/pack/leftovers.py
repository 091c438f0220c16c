"""Buckets that a dead process left half-written, as the Go original does: their complete lines are delivered.

::

    tmp/<bucket>/ --rename--> recovered/<bucket>~recoveredTS~<now>/<file>
                                 | complete lines, into a new gzip file
                                 v
                              staging/<bucket>~recoveredTS~<now>/<file>_recovered_<now>  --> ledger --> original removed

The rename fixes the time, so that doing it again after a crash gives the same names. A file that was merely cut loses
its incomplete last line, which nobody can use; of one that is damaged a copy is kept in ``damaged/``.
"""

from pathlib import Path
from typing import Final

import structlog

from apidanalytics import durable, failpoints
from apidanalytics.clock import Clock
from apidanalytics.instants import format_recovery_time
from apidanalytics.layout import DataDirectory, FileName
from apidanalytics.pack.aside import Aside, Why
from apidanalytics.pack.buckets import Bucket
from apidanalytics.pack.compress import write_gzip
from apidanalytics.pack.ports import PackLedger
from apidanalytics.pack.publish import Publisher
from apidanalytics.pack.salvage import Salvage
from apidanalytics.pack.stager import NOTHING, Staged
from apidanalytics.pack.strangers import Strangers

log = structlog.get_logger()

_EXTENSION: Final = ".txt.gz"


def recovered_name(name: str, time: str) -> str:
    """Return the name under which the lines of a recovered file are delivered; one that has a mark keeps it."""
    if FileName.parse(name).recovered:
        return name
    return f"{name.removesuffix(_EXTENSION)}_recovered_{time}{_EXTENSION}"


def find_begun_copies(names: set[str], time: str) -> set[str]:
    """Return the files that are copies of others beside them: the Go original died between copy and delete.

    Such a copy may be cut; the file it was made from has all of it.
    """
    return {copy for name in names if (copy := recovered_name(name, time)) != name and copy in names}


class Leftovers:
    """Moves such buckets to ``recovered/``, and from there into ``staging/``."""

    def __init__(
        self,
        data: DataDirectory,
        ledger: PackLedger,
        aside: Aside,
        publisher: Publisher,
        *,
        clock: Clock,
        strangers: Strangers,
    ) -> None:
        self._data = data
        self._ledger = ledger
        self._aside = aside
        self._publisher = publisher
        self._clock = clock
        self._strangers = strangers

    def take_over(self, bucket: Bucket) -> None:
        """Move a bucket directory to ``recovered/``, or mark one there with the time."""
        target = self._marked(bucket)
        if target != bucket.path:
            _move(bucket.path, target)

    def take_over_file(self, bucket: Bucket, name: str) -> None:
        """Move one torn or damaged file of a bucket to ``recovered/``."""
        target = self._marked(bucket) / name
        if target.exists():
            raise FileExistsError(f"{target} is there already")
        durable.make_private_directory(target.parent)
        durable.sync_directory(self._data.recovered)
        _move(bucket.path / name, target)

    def deliver(self, bucket: Bucket) -> Staged:
        """Stage the complete lines of every file of a bucket in ``recovered/``, and remove the files."""
        time = bucket.name.recovered
        assert time is not None
        names = bucket.files(self._strangers)
        begun = find_begun_copies(set(names), time)
        staged = NOTHING
        for name in names:
            if name in begun:
                self._set_begun_copy_aside(bucket, name)
            else:
                staged += self._deliver(bucket, name, recovered_name(name, time))
        bucket.remove_if_empty()
        return staged

    def _marked(self, bucket: Bucket) -> Path:
        mark = "" if bucket.name.recovered else f"~recoveredTS~{format_recovery_time(self._clock.now())}"
        return self._data.recovered / f"{bucket.path.name}{mark}"

    def _set_begun_copy_aside(self, bucket: Bucket, name: str) -> None:
        reason = "a copy that a crash interrupted; the file it was made from is delivered"
        self._aside.move(bucket.path / name, Why(reason=reason, amounts={bucket.name.tenant: (0, 0)}))

    def _deliver(self, bucket: Bucket, name: str, target: str) -> Staged:
        path = bucket.path / name
        if self._ledger.known(bucket.path.name, [target]):
            durable.remove(path)
            return NOTHING
        content = Salvage(path)
        try:
            written = write_gzip(self._publisher.part(target), content.lines())
            self._keep_damaged(bucket, path, content)
            published = self._publisher.publish([bucket.staged(target, content, written)] if content.records else [])
        finally:
            self._publisher.discard([target])
        durable.remove(path)
        _report(bucket, name, content)
        return Staged.of(published)

    def _keep_damaged(self, bucket: Bucket, path: Path, content: Salvage) -> None:
        if content.fault or content.bad_lines:
            reason = content.fault or f"{content.bad_lines} lines are no records"
            size = content.bad_bytes or path.stat().st_size
            self._aside.copy(path, Why(reason=reason, amounts={bucket.name.tenant: (0, size)}))


def _move(source: Path, target: Path) -> None:
    failpoints.hit("recover.before_rename")
    durable.rename(source, target)
    failpoints.hit("recover.after_rename")
    hint = "a process left it half-written; its complete lines are delivered"
    log.warning("recover.bucket", path=str(target), was_in=source.parent.name, hint=hint)


def _report(bucket: Bucket, name: str, content: Salvage) -> None:
    log.info(
        "recover.file",
        bucket=bucket.path.name,
        file=name,
        records=content.records,
        bytes=content.bytes,
        cut_bytes=content.cut_bytes,
        hint="cut_bytes: an unfinished last line, expected after a crash",
    )
