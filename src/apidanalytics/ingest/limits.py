"""How much a client may ask of the HTTP server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The bounds of the HTTP server. Sizes in bytes, times in seconds."""

    max_header_bytes: int = 16 * 1024
    """Request line and header lines; also one chunk extension, or the trailers of a chunked body."""
    max_target_bytes: int = 8 * 1024
    """Path and query."""
    max_body_bytes: int = 16 * 1024 * 1024
    """One body, as received."""
    max_inflight_bytes: int = 32 * 1024 * 1024
    """All bodies that are being read or wait for their answer; one larger body alone is let through."""
    max_connections: int = 10_000
    """Above it connections wait in the accept queue, until others close or are closed (``reclaim_after``)."""
    reclaim_after: float = 10.0
    """When there are ``max_connections`` and others wait, those that were quiet for so long are closed."""
    flood_share: float = 0.5
    """Of the time, that goes to requests that are held back while others come (``Listener.hold_back``)."""
    max_unanswered: int = 32
    """Requests of one connection that may wait for their answers; above it the connection is not read."""
    request_timeout: float = 30.0
    """From the first byte of a request to its last; time in which we do not read it does not count."""
    keepalive_timeout: float = 300.0
    """An idle connection is closed after this long."""
    handshake_timeout: float = 10.0
    """For TLS."""
