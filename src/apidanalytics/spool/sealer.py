"""Seals spools in a thread of its own: a sync and a rename, for which no batch has to wait."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.spool.file import OpenSpool

log = structlog.get_logger()

RETRY_SECONDS: Final = 1.0


class Sealer:
    """Takes spools that nobody appends to any more. Its methods are for the writer thread."""

    def __init__(self, data: DataDirectory, clock: Clock, on_sealed: Callable[[], None]) -> None:
        """``on_sealed`` is called in the sealing thread for every spool that went to ``sealed/``."""
        self._data = data
        self._clock = clock
        self._on_sealed = on_sealed
        self._pending: deque[OpenSpool] = deque()
        self._retry_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool-seal")

    def __repr__(self) -> str:
        return f"<Sealer {len(self._pending)} pending>"

    def seal(self, spool: OpenSpool) -> None:
        """Seal this spool soon."""
        self._pending.append(spool)
        self._submit()

    def retry(self) -> None:
        """Try again, now and then, what the disk refused; costs next to nothing when there is nothing."""
        if self._pending and self._clock.monotonic() >= self._retry_at:
            self._submit()

    def close(self) -> None:
        """Wait until everything that can be sealed is."""
        self._thread.shutdown(wait=True)

    def _submit(self) -> None:
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        self._thread.submit(self._seal_pending)

    def _seal_pending(self) -> None:
        for _ in range(len(self._pending)):
            spool = self._pending.popleft()
            try:
                path = spool.seal(self._data)
            except OSError as error:
                log.warning(
                    "spool.seal_failed",
                    spool=repr(spool),
                    error=str(error),
                    hint="tried again every second; batches go to the next spool",
                )
                self._pending.append(spool)
                continue
            if path is not None:
                log.info("spool.sealed", spool=f"{spool.header.number:012x}", bytes=spool.end)
                self._on_sealed()
