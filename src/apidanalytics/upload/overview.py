"""What the uploader is doing, as others see it."""

from dataclasses import dataclass


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
    paused_since: float | None
    """Unix time when the breaker opened."""
    paused_reason: str | None
    throttled_until: float | None = None
    """Unix time before which nothing is sent, because several tenants were throttled."""
    throttled_reason: str | None = None
