"""One request to come, and what must become of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A batch, dressed for travel."""

    tenant: str
    """Encoded name of the tenant it is for."""
    records: tuple[bytes, ...]
    path: str
    named: bool
    """Whether the body names the tenant; otherwise its scope is the end of the path."""
    body: bytes
    headers: Mapping[str, str]
    chunked: bool = False
    """Send the body in chunks, without a Content-Length."""
    refusal: tuple[int, str] | None = None
    """Status and ``errorCode`` of the answer it must get, when it is wrong on purpose."""

    @property
    def base_path(self) -> str:
        """The path of the route, without a scope."""
        return self.path if self.named else self.path.rpartition("/")[0]

    @property
    def is_zipped(self) -> bool:
        """Whether the body is gzip."""
        return self.headers.get("Content-Encoding") == "gzip"
