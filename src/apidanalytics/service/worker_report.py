"""What a worker tells the agent with each heartbeat: its state, its counters, and what it logged since the last one."""

import os
import resource
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from apidanalytics.errors import ErrorCode
from apidanalytics.idempotency.desk import KeyDesk
from apidanalytics.ingest.accept import Acceptor
from apidanalytics.ingest.listener import Listener
from apidanalytics.service.scope_feed import ScopeFeed
from apidanalytics.spool.writer import SpoolWriter
from apidanalytics.telemetry.recent import Recent

EVENTS_A_BEAT: Final = 20
"""Log lines that go with one heartbeat; of more, the newest."""

_REFUSED_EARLY: Final = {
    400: ErrorCode.BAD_REQUEST,
    403: ErrorCode.CLIENT_NOT_ALLOWED,
    408: ErrorCode.REQUEST_TIMEOUT,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    414: ErrorCode.URI_TOO_LONG,
    417: ErrorCode.EXPECTATION_FAILED,
    431: ErrorCode.HEADERS_TOO_LARGE,
    501: ErrorCode.UNSUPPORTED_TRANSFER_ENCODING,
    505: ErrorCode.HTTP_VERSION_NOT_SUPPORTED,
}
"""The codes of what the HTTP server refuses by itself, which it counts by status."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class WorkerReport:
    """Makes the reports of one worker."""

    def __init__(
        self,
        acceptor: Acceptor,
        listener: Listener,
        writer: SpoolWriter,
        desk: KeyDesk,
        recent: Recent,
        *,
        scopes: ScopeFeed,
        floods: Mapping[str, int],
    ) -> None:
        self._acceptor = acceptor
        self._listener = listener
        self._writer = writer
        self._desk = desk
        self._recent = recent
        self._scopes = scopes
        self._floods = floods
        self._told = 0
        self._memory = _Memory()

    def __call__(self) -> dict[str, Any]:
        """Return the report of this moment."""
        acceptor, listener, writer = self._acceptor, self._listener, self._writer
        version = self._scopes.version
        return {
            "ready": version is not None and writer.is_writable and not (acceptor.draining or acceptor.lease.is_full),
            "writable": writer.is_writable,
            "keys_trouble": self._desk.trouble,
            "taken": acceptor.lease.taken,
            "scopes": version,
            "sequence": self._scopes.sequence,
            "scopes_trouble": self._scopes.trouble,
            "connections": listener.connections,
            "requests": listener.requests,
            "records": acceptor.counters.records,
            "bytes": acceptor.counters.bytes,
            "replayed": acceptor.counters.replayed,
            "groups": writer.groups,
            "held_requests": listener.held_back,
            "holds_back": listener.holds_back,
            "waiting_batches": writer.waiting,
            "lined_up_batches": len(acceptor.entrance),
            "waiting_connections": listener.waiting_connections,
            "inflight_bytes": listener.inflight_bytes,
            "memory_bytes": self._memory.bytes(),
            "counters": self._counters(),
            "events": self._news(),
        }

    def _counters(self) -> dict[str, Any]:
        """Return what only grows. The agent adds up all workers, those that are gone too."""
        counters = self._acceptor.counters
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "requests": self._outcomes(),
            "records": counters.records,
            "bytes": counters.bytes,
            "replayed": counters.replayed,
            "request_seconds": counters.seconds.as_counters(),
            "held_back_so_far": self._listener.held_back_so_far,
            "floods": dict(self._floods),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            **self._writer.counters(),
        }

    def _outcomes(self) -> dict[str, int]:
        """Return the number of answers by ``<status> <errorCode>``."""
        outcomes: Counter[str] = Counter()
        for (status, code), number in self._acceptor.counters.answers().items():
            outcomes[f"{status} {code}".rstrip()] += number
        for status, number in self._listener.refusals.items():
            outcomes[f"{status} {_REFUSED_EARLY.get(status, '')}".rstrip()] += number
        return outcomes

    def _news(self) -> list[dict[str, Any]]:
        news = self._recent.after(self._told, EVENTS_A_BEAT)
        if news:
            self._told = news[-1][0]
        return [dict(line) for _, line in news]


class _Memory:
    """What this process has in memory. The file stays open: a worker without a free descriptor has to report, too."""

    def __init__(self) -> None:
        self._statm = open("/proc/self/statm", "rb", buffering=0)  # noqa: PTH123, SIM115 - as long as this lives

    def bytes(self) -> int:
        return int(os.pread(self._statm.fileno(), 200, 0).split()[1]) * _PAGE_BYTES
