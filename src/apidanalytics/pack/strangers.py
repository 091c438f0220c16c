"""Names in the data directory that nobody here gave: reported once, left alone, never deleted."""

from pathlib import Path

import structlog

log = structlog.get_logger()


class Strangers:
    """Remembers which names were reported."""

    def __init__(self) -> None:
        self._reported: set[Path] = set()

    def __repr__(self) -> str:
        return f"<Strangers: {len(self._reported)} reported>"

    def report(self, path: Path) -> None:
        """Say, once, that something is there that cannot be delivered because of its name."""
        if path not in self._reported:
            self._reported.add(path)
            hint = (
                "it is left alone and not delivered; move it elsewhere, or give it a name as in docs/on-disk-format.md"
            )
            if path.is_symlink():
                hint = "symbolic links are not followed; it is left alone and not delivered"
            log.warning("pack.unknown_name", path=str(path), hint=hint)
