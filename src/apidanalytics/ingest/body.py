"""An incomplete body against its limits, and against what it costs to keep."""

from typing import Final

from apidanalytics.ingest import refusals
from apidanalytics.ingest.limits import HttpLimits

FRAMING_FACTOR: Final = 8
"""Bytes on the wire per byte of a chunked body; chunks of one byte need 6."""
FRAMING_BYTES: Final = 16 * 1024
"""Bytes on the wire beside that; a piece may hold the end of another request, too."""
MANY_PARTS: Final = 256
"""So many parts of a body are joined into one: tiny objects take far more memory than they hold."""


class BodyMeter:
    """Measures the parts of one body as they come in; they are collected in ``parts`` by someone else."""

    __slots__ = ("_counted", "_joined", "_limits", "_parts", "_stalled_bytes", "_wire_bytes", "size")

    def __init__(self, limits: HttpLimits, parts: list[bytes]) -> None:
        self._limits = limits
        self._parts = parts
        self.size = 0
        """Bytes of the body so far."""
        self._counted = 0  # parts that are in size
        self._joined = 0  # parts that are many joined into one
        self._wire_bytes = 0
        self._stalled_bytes = 0  # on the wire since the last byte of the body

    def reset(self) -> None:
        """Begin with another body."""
        self.size = self._counted = self._joined = self._wire_bytes = self._stalled_bytes = 0

    def measure(self) -> int:
        """Take the parts that are new, and return their bytes.

        Raises:
            Refusal: The body is too large.

        """
        parts = self._parts
        fresh_bytes = sum(map(len, parts[self._counted :]))
        self.size += fresh_bytes
        if self.size > self._limits.max_body_bytes:
            raise refusals.too_large()
        if len(parts) - self._joined > MANY_PARTS:
            parts[self._joined :] = [b"".join(parts[self._joined :])]
            self._joined += 1
        self._counted = len(parts)
        return fresh_bytes

    def measure_chunked(self, piece_bytes: int) -> None:
        """As ``measure``, and hold chunk extensions and trailers in ``piece_bytes`` on the wire against their limits.

        Raises:
            Refusal: The body, or what is around it, is too large.

        """
        fresh_bytes = self.measure()
        self._wire_bytes += piece_bytes
        self._stalled_bytes = 0 if fresh_bytes else self._stalled_bytes + piece_bytes
        allowed_bytes = self._limits.max_header_bytes + FRAMING_BYTES
        if self._stalled_bytes > allowed_bytes or self._wire_bytes > FRAMING_FACTOR * self.size + 2 * allowed_bytes:
            raise refusals.framing_too_large()
