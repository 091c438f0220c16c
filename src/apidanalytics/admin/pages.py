"""The files of the status page, as they stand in the package: read once, served from memory."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import yaml

_STATIC: Final = files("apidanalytics.admin") / "static"
_TYPES: Final = {
    "index.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "api.js": "text/javascript",
    "charts.js": "text/javascript",
    "dom.js": "text/javascript",
    "overview.js": "text/javascript",
    "tenants.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
}
PATHS: Final = frozenset("/" if name == "index.html" else f"/{name}" for name in _TYPES)
"""Where they are served. There is no data in them, so they need no token."""


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    path: str
    """Where it is served."""
    body: bytes
    content_type: str


def pages() -> list[Page]:
    """Return every file of the page."""
    return [
        Page("/" if name == "index.html" else f"/{name}", (_STATIC / name).read_bytes(), content_type)
        for name, content_type in _TYPES.items()
    ]


def description() -> dict[str, Any]:
    """Return the OpenAPI description."""
    text = (files("apidanalytics.admin") / "openapi.yaml").read_text(encoding="utf-8")
    described: dict[str, Any] = yaml.safe_load(text)
    return json.loads(json.dumps(described, default=str))  # type: ignore[no-any-return]
