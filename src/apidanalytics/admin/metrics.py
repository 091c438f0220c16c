"""Every metric, declared once: its name, what kind it is, what it says, and how it is read off the service's answer.

Names are ``apidanalytics_<what>_<unit>``. Labels are bounded: states, results, statuses and codes are fixed sets, and
tenants have series of their own up to ``apidanalytics_metrics_tenants``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from apidanalytics.admin import readings
from apidanalytics.admin.readings import Facts, Point
from apidanalytics.telemetry.histogram import SECONDS, SIZES


class Kind(StrEnum):
    """What may be done with the numbers of a metric."""

    COUNTER = "counter"
    """Only grows, except when the service starts anew."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Read = Callable[[Facts], Iterable[Point]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """As Prometheus shows it; a counter ends in ``_total``."""
    kind: Kind
    help: str
    read: Read
    labels: tuple[str, ...] = ()


def _one(read: Callable[[Facts], Any]) -> Read:
    """Return a reader of a single number; None is no number."""

    def points(facts: Facts) -> Iterator[Point]:
        value = read(facts)
        if value is not None:
            yield (), value

    return points


def _counter(name: str, help_text: str, read: Callable[[Facts], Any]) -> Metric:
    return Metric(f"apidanalytics_{name}_total", Kind.COUNTER, help_text, _one(read))


def _gauge(name: str, help_text: str, read: Callable[[Facts], Any]) -> Metric:
    return Metric(f"apidanalytics_{name}", Kind.GAUGE, help_text, _one(read))


def _histogram(name: str, help_text: str, read: Callable[[Facts], readings.Distribution | None]) -> Metric:
    return Metric(f"apidanalytics_{name}", Kind.HISTOGRAM, help_text, _one(read))


def _labelled(kind: Kind, name: str, help_text: str, read: Read, *labels: str) -> Metric:
    return Metric(f"apidanalytics_{name}", kind, help_text, read, labels)


METRICS: Final[tuple[Metric, ...]] = (
    # The service
    _labelled(Kind.GAUGE, "build_info", "Always 1; the version is in the label.", readings.version, "version"),
    _gauge("start_time_seconds", "When the service started, in Unix seconds.", lambda f: f["started_at"]),
    _gauge("ready", "1 while batches are accepted, else 0.", lambda f: int(f["ready"])),
    _labelled(
        Kind.GAUGE,
        "findings",
        "What the status page reports at this moment, by severity: trouble, warning or note.",
        readings.findings,
        "severity",
    ),
    # Ingest
    _labelled(
        Kind.COUNTER,
        "requests_total",
        "Requests of the data API by status and errorCode; status 0 is a batch that got no answer.",
        readings.requests,
        "status",
        "code",
    ),
    _histogram(
        "request_duration_seconds",
        "From the last byte of a batch to its 200.",
        readings.distribution("request_seconds"),
    ),
    _histogram("commit_duration_seconds", "Write and sync of one group.", readings.distribution("commit_seconds")),
    _histogram(
        "commit_group_batches",
        "Batches that share one commit.",
        readings.distribution("group_batches", SIZES),
    ),
    _counter("accepted_records", "Records of batches answered 200.", readings.counter("records")),
    _counter("accepted_bytes", "Bytes of these records, as lines.", readings.counter("bytes")),
    _counter(
        "replayed_batches",
        "Batches answered 200 because their Idempotency-Key was stored.",
        readings.counter("replayed"),
    ),
    _gauge("connections", "Open connections of the data API.", readings.of_workers("connections")),
    _gauge("inflight_bytes", "Bodies that are read or wait for their answer.", readings.of_workers("inflight_bytes")),
    _gauge(
        "held_requests",
        "Requests of tenants that flood, held back while others post (apidanalytics_flood_share).",
        readings.of_workers("held_requests"),
    ),
    _labelled(
        Kind.COUNTER,
        "floods_total",
        "How often a tenant began to be held back, by what there was too much of: stored or refused.",
        readings.floods,
        "what",
    ),
    _counter(
        "held_back_requests", "Requests that were held back, however briefly.", readings.counter("held_back_so_far")
    ),
    _counter(
        "express_groups",
        "Commits of the express lane, which serves the others beside a tenant that floods.",
        readings.counter("express_groups"),
    ),
    _gauge("waiting_batches", "Batches in the buffer, that wait for the disk.", readings.of_workers("waiting_batches")),
    _gauge(
        "lined_up_batches",
        "Batches that wait for room in the buffer or on the disk, before they get 503.",
        readings.of_workers("lined_up_batches"),
    ),
    _gauge(
        "waiting_connections",
        "Connections that are not read while bodies take apidanalytics_max_inflight_bytes.",
        readings.of_workers("waiting_connections"),
    ),
    # Workers
    _labelled(Kind.GAUGE, "workers", "Workers by state: running, starting or down.", readings.workers, "state"),
    _counter("worker_restarts", "Workers that died and were replaced.", readings.of_workers("restarts")),
    _counter("worker_cpu_seconds", "CPU time of all workers.", readings.counter("cpu_seconds")),
    _gauge("worker_memory_bytes", "Memory of all workers (resident).", readings.of_workers("memory_bytes")),
    # Where the data is
    _labelled(
        Kind.GAUGE,
        "backlog_records",
        "Records that are not delivered yet, by state: spooled, staged or failed.",
        readings.backlog("records"),
        "state",
    ),
    _labelled(Kind.GAUGE, "backlog_bytes", "Bytes of these records, as lines.", readings.backlog("bytes"), "state"),
    _labelled(Kind.GAUGE, "backlog_files", "Spools and files that hold them.", readings.backlog("files"), "state"),
    _labelled(
        Kind.GAUGE,
        "backlog_age_seconds",
        "Age of the oldest of them, from the start of its interval; 0 when there is none.",
        readings.backlog_age,
        "state",
    ),
    _counter(
        "uploaded_records", "Records that the store has; kept over restarts.", readings.total("uploaded", "records")
    ),
    _counter("uploaded_bytes", "Bytes of these records, as lines.", readings.total("uploaded", "bytes")),
    _counter("uploaded_files", "Files that the store has.", readings.total("uploaded", "files")),
    _gauge("set_aside_records", "Records that could not be read or delivered.", readings.total("set_aside", "records")),
    _gauge("set_aside_files", "Pieces of data ever set aside.", readings.total("set_aside", "files")),
    _counter(
        "dropped_records",
        "Records dropped undelivered to make room, by apidanalytics_full_policy; kept over restarts.",
        readings.total("dropped", "records"),
    ),
    # Delivery
    _labelled(
        Kind.COUNTER,
        "upload_attempts_total",
        "Attempts to deliver a file by result: delivered, refused, faulty, unreachable, throttled, token_refused or "
        "unreadable.",
        readings.attempts,
        "result",
    ),
    _histogram(
        "upload_duration_seconds",
        "A successful delivery, from asking for the URL to the store's answer.",
        lambda f: readings.as_distribution(f["upload_seconds"], SECONDS),
    ),
    _counter("upload_bytes", "Bytes delivered, as sent.", lambda f: f["upload_bytes"]),
    _gauge("uploading_files", "Files on their way.", lambda f: len(f["uploads"]["uploading"])),
    _gauge(
        "uploads_stopped",
        "1 while the endpoint or the store fails for everybody, so that only probes go out.",
        lambda f: int(f["uploads"]["stopped_since"] is not None),
    ),
    _gauge(
        "uploads_paused",
        "1 while somebody has paused all uploads.",
        lambda f: int(f["uploads"]["paused_since"] is not None),
    ),
    _gauge("paused_tenants", "Tenants that somebody has paused.", lambda f: len(f["uploads"]["paused_tenants"])),
    _gauge("trouble_tenants", "Tenants whose last upload failed.", lambda f: f["uploads"]["troubles"]),
    _gauge(
        "last_upload_timestamp_seconds",
        "When a file was delivered last, in Unix seconds; absent before the first.",
        lambda f: f["uploads"]["last_delivered_at"],
    ),
    # Scope data and disk
    _gauge("scope_data_age_seconds", "Age of the scope data in force; absent without any.", readings.scope_age),
    _gauge(
        "scope_source_failing",
        "1 while the source of the scope data cannot be read.",
        lambda f: int(f["scopes"]["trouble"] is not None),
    ),
    _gauge("scope_tenants", "Tenants in the scope data.", lambda f: f["scopes"]["tenants"]),
    _gauge("scope_keys", "API keys in the scope data.", lambda f: f["scopes"]["api_keys"]),
    _gauge("disk_free_bytes", "Room left on the data directory's disk.", readings.disk("free_bytes")),
    _gauge("disk_size_bytes", "Size of that disk.", readings.disk("total_bytes")),
    _gauge(
        "disk_used_bytes", "What the data directory takes; absent until it is measured.", readings.disk("used_bytes")
    ),
    _gauge("disk_full", "1 while a limit of the disk is reached, so that batches wait.", readings.disk_full),
    _gauge("disk_writable", "0 while the disk refuses writes, else 1.", readings.is_writable),
    # Tenants
    _labelled(
        Kind.COUNTER,
        "tenant_accepted_records_total",
        "Records accepted, by tenant; kept over restarts.",
        readings.by_tenant(readings.records_in("accepted")),
        "tenant",
    ),
    _labelled(
        Kind.COUNTER,
        "tenant_uploaded_records_total",
        "Records that the store has, by tenant; kept over restarts.",
        readings.by_tenant(readings.records_in("uploaded")),
        "tenant",
    ),
    _labelled(
        Kind.GAUGE,
        "tenant_backlog_records",
        "Records that are not delivered yet, by tenant.",
        readings.by_tenant(readings.records_in("spooled", "staged", "failed")),
        "tenant",
    ),
)
"""In the order in which they are shown."""
