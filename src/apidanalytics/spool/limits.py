"""When a group is committed and a spool is sealed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolLimits:
    """When a group is committed and a spool is sealed."""

    durability: str
    """``disk``: acks after the sync; ``os``: after the write; ``memory``: at once."""
    capacity: int
    """Batches that may wait for the disk (``apidanalytics_buffer_channel_size``)."""
    linger_seconds: float
    """How long a group waits for more batches after its first one."""
    interval_seconds: int
    """Collection interval: a spool is sealed at its end."""
    max_bytes: int
    """A spool over this size is sealed at once."""
    max_file_bytes: int
    """Largest staged file, written into the spool's header."""
    instance_id: str
    owner: int = 0
    """Random number of this worker, written into the header: claims to idempotency keys name their owner."""
