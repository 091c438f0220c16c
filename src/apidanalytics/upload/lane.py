"""What the queue knows of a tenant with something to send."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Lane:
    """The files of one tenant, and how its uploads have gone."""

    tenant: str
    due: list[tuple[int, int]] = field(default_factory=list)
    """Heap of (start, number) of what may be sent."""
    deferred: int = 0
    """Files that wait for a time of their own."""
    running: int = 0
    """In slots, or got ready for one."""
    sending: int = 0
    """Those of them that may not be called back any more."""
    crawling: int = 0
    """Uploads that gave up their slots."""
    is_slow: bool = False
    """The last upload crawled."""
    failures: int = 0
    """Failed attempts since the last success."""
    held_until: float | None = None
    asked_until: float = 0.0
    """Held so long because somebody asked for it."""

    @property
    def is_gone(self) -> bool:
        """Tell whether nothing of it waits or is on its way."""
        return not (self.due or self.deferred or self.running or self.crawling)

    @property
    def is_troubled(self) -> bool:
        """Tell whether its last attempt failed, or crawled."""
        return self.is_slow or self.failures > 0
