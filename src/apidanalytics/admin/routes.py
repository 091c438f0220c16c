"""The paths of the administration API: each leads to one command of the service."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Route:
    """One path and the command behind it. Names in braces, and query parameters, become the command's parameters."""

    method: str
    path: str
    command: str


ROUTES: Final = (
    Route("GET", "/api/status", "status"),
    Route("GET", "/api/history", "history"),
    Route("GET", "/api/tenants", "tenants"),
    Route("GET", "/api/tenants/{tenant}", "tenant"),
    Route("POST", "/api/tenants/{tenant}/pause", "pause"),
    Route("POST", "/api/tenants/{tenant}/resume", "resume"),
    Route("GET", "/api/files", "files"),
    Route("GET", "/api/files/{id}", "file"),
    Route("GET", "/api/failed", "failed"),
    Route("GET", "/api/failed/{tenant}", "failed"),
    Route("POST", "/api/failed/retry", "retry"),
    Route("POST", "/api/failed/{tenant}/retry", "retry"),
    Route("POST", "/api/uploads/pause", "pause"),
    Route("POST", "/api/uploads/resume", "resume"),
    Route("GET", "/api/scopes", "scopes"),
    Route("GET", "/api/settings", "settings"),
    Route("GET", "/api/events", "events"),
)
"""In the order of the description."""

STATUSES: Final = {"bad_request": 400, "not_found": 404, "unavailable": 503}
"""By the kind of an answer's error."""
