"""What a watched file can be: a scopes file, or a database as apid makes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apidanalytics.scopes.compile import compile_database, compile_entries
from apidanalytics.scopes.scopes_yaml import parse
from apidanalytics.scopes.source import SourceError
from apidanalytics.scopes.tenants import Flaws

MAX_YAML_BYTES: Final = 64 * 1024 * 1024
"""A scopes file over this is refused: reading it would take minutes and gigabytes."""

EXAMPLE: Final = Path(__file__).with_name("example.yaml")
"""The scopes of the embedded default; ``examples/scopes.yaml`` is a link to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlForm:
    """A scopes file, see ``scopes_yaml``."""

    path: Path

    def beside(self) -> Sequence[Path]:
        """Return nothing: it is one file."""
        return ()

    def compile(self, target: Path) -> Flaws:
        """Read it whole, and write it for the workers."""
        return compile_entries(target, parse(self._content()))

    def _content(self) -> bytes:
        with self.path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise SourceError([f"over {MAX_YAML_BYTES} bytes: use a database instead"])
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseForm:
    """An SQLite database with the tables of ``tables``, written by somebody else. It is never written to."""

    path: Path

    def beside(self) -> Sequence[Path]:
        """Return its write-ahead log, where commits appear first."""
        return (self.path.with_name(f"{self.path.name}-wal"),)

    def compile(self, target: Path) -> Flaws:
        """Copy what stands in it now, for the workers."""
        return compile_database(target, self.path)
