"""What the uploader is doing, as others see it."""

from dataclasses import dataclass

from apidanalytics.clock import Clock
from apidanalytics.upload.dispatch import Dispatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploading:
    """A file on its way."""

    tenant: str
    name: str
    records: int
    bytes: int
    """Length of the lines, unzipped."""
    size_bytes: int
    since: float
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """What the uploader is doing."""

    waiting: int
    """Staged files that are not being sent."""
    uploading: tuple[Uploading, ...]
    stopped_since: float | None
    """Unix time when the breaker opened."""
    stopped_reason: str | None
    throttled_until: float | None = None
    """Unix time before which nothing is sent, because several tenants were throttled."""
    throttled_reason: str | None = None


def state_of(dispatcher: Dispatcher, uploading: tuple[Uploading, ...], clock: Clock) -> UploadState:
    """Return what is going on now."""
    opened = dispatcher.open
    now, monotonic = clock.now(), clock.monotonic()
    throttled = dispatcher.throttled(monotonic)
    return UploadState(
        waiting=len(dispatcher),
        uploading=uploading,
        stopped_since=None if opened is None else now - (monotonic - opened.since),
        stopped_reason=opened.reason if opened else None,
        throttled_until=now + throttled[0] if throttled else None,
        throttled_reason=throttled[1] if throttled else None,
    )
