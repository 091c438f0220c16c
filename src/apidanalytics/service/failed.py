"""What ``apidanalytics failed`` asks of a running service, and does itself in the data directory of a stopped one.

=================  ==========================================  =========================================================
command            with                                        answers
=================  ==========================================  =========================================================
``failed.list``    ``tenant``, ``after`` (a number), ``limit``  ``files``, those of the lowest numbers first
``failed.count``   ``tenant``                                  ``files``, how many there are
``failed.find``    ``name``: a file name, or its beginning      ``files``
``failed.retry``   ``tenant``, ``name``, ``before``; ``again``  ``files`` that went back to ``staging/``, in the next
                   after the first time                        ten directories; 0: none that failed before is left,
                                                               or with ``stuck`` why those that are cannot be moved
=================  ==========================================  =========================================================
"""

import asyncio
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, Request
from apidanalytics.service.answers import not_started
from apidanalytics.service.parts import own
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.revive import DIRECTORIES_A_PASS, revive, revive_past
from apidanalytics.upload.shelves import Shelves, is_of_this_directory
from apidanalytics.upload.states import Chosen, Count, LedgerFile, State, Waiting
from apidanalytics.upload.uploader import Uploader

_FOUND_AT_MOST: Final = 100


class FailedFiles:
    """What may be asked about the failed files of one data directory. It blocks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def look(self, request: Request) -> Answer | None:
        """Answer what only reads; None when the request is none of these."""
        match request.get("command"):
            case "failed.list":
                after, limit = int(request.get("after", 0)), int(request.get("limit", 1000))
                return _answer(self._ledger.failed_files(after=after, limit=limit, tenant=request.get("tenant")))
            case "failed.count":
                totals = self._ledger.totals()
                tenants = [request["tenant"]] if request.get("tenant") else list(totals)
                return {"files": sum(totals.get(name, {}).get(State.FAILED, Count()).files for name in tenants)}
            case "failed.find":
                return _answer(self._ledger.failed_named(str(request.get("name", "")), _FOUND_AT_MOST))
        return None


async def answer(request: Request, ledger: Ledger, uploader: Uploader | None) -> Answer:
    """Answer one of these commands for a running service; one that starts has no uploader yet."""
    if uploader is None:
        return not_started()
    if request.get("command") == "failed.retry":
        again = bool(request.get("again"))
        return await _retried(uploader.retry_failed(_chosen(request), limit=DIRECTORIES_A_PASS, again=again))
    found = await asyncio.to_thread(FailedFiles(ledger).look, request)
    return found if found is not None else {"error": f"unknown command: {request.get('command')}"}


async def _retried(files: Awaitable[int]) -> Answer:
    try:
        return {"files": await files}
    except OSError as error:
        if not is_of_this_directory(error):
            raise
        return {"files": 0, "stuck": str(error)}


@contextmanager
def stopped(settings: Settings) -> Iterator["HeldDirectory"]:
    """Work in the data directory of a service that does not run, under its lock.

    Raises:
        DataDirectoryLocked: it does run, or somebody else works there.

    """
    lock = own(settings.data)
    try:
        with Ledger.open(settings.data.ledger, settings.data.damaged, time.time()) as ledger:
            yield HeldDirectory(settings, ledger)
    finally:
        lock.release()


class HeldDirectory:
    """The data directory of a stopped service, under its lock: what may be changed in it, as a running one would."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._ledger = ledger
        self._shelves = Shelves(settings.data)
        self._files = FailedFiles(ledger)
        self._stuck: dict[str, OSError] = {}

    def pause(self, tenant: str | None, since: float | None) -> None:
        """Keep a pause of a tenant, or with None of all; with ``since`` None end it. It counts from the next start.

        Raises:
            sqlite3.OperationalError: the disk is full or failing.

        """
        self._ledger.pause(tenant or EVERYBODY, since)

    def knows(self, tenant: str) -> bool:
        """Tell whether anything of this tenant was ever packed, or is paused."""
        return tenant in self._ledger.totals() or tenant in self._ledger.pauses()

    def ask(self, request: Request) -> Answer:
        """Return the answer."""
        if request.get("command") != "failed.retry":
            return self._files.look(request) or {}
        chosen = _chosen(request)
        look = partial(self._ledger.failed_directories, chosen=chosen, now=time.time())
        move = partial(self._move, chosen)
        return asyncio.run(_retried(revive_past(self._stuck, look, move, DIRECTORIES_A_PASS)))

    async def _move(self, chosen: Chosen, directories: Sequence[str]) -> list[Waiting]:
        back: list[Waiting] = []
        at, stuck = time.time(), self._stuck
        revive(self._ledger, self._shelves, directories, back, chosen=chosen, attempts=0, at=at, stuck=stuck)
        return back


def _chosen(request: Request) -> Chosen:
    before = request.get("before")
    return Chosen(
        tenant=request.get("tenant"), name=request.get("name"), before=float(before) if before is not None else None
    )


def _answer(files: list[LedgerFile]) -> Answer:
    return {"files": [_described(known) for known in files]}


def _described(known: LedgerFile) -> dict[str, Any]:
    file = known.file
    return {
        "id": known.id,
        "tenant": file.tenant,
        "directory": file.directory,
        "name": file.name,
        "start_at": file.start_at,
        "records": file.records,
        "bytes": file.bytes,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
        "attempts": known.attempts,
        "staged_at": known.staged_at,
        "failed_at": known.settled_at,
        "reason": known.reason,
    }
