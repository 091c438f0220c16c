"""Files whose keys stand in tables: each key is read by its kind, and all problems are gathered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from apidanalytics.config.document import Listing, Node, Section, Value
from apidanalytics.config.kinds import Kind
from apidanalytics.errors import quote
from apidanalytics.telemetry.masking import MASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the file."""

    name: str
    kind: Kind[Any]
    help: str
    default: Any = None
    """None: it may be left out, and then there is none."""
    required: bool = False
    secret: bool = False
    many: bool = False
    """A list of such values; a single one may stand without the list."""


class TableReader:
    """Reads the values of one file; it goes on past every problem."""

    def __init__(self, path: Path, *, lists: Sequence[str]) -> None:
        """Know the file; ``lists`` are those of its keys that hold tables, and may be what an unknown key means."""
        self._path = path
        self._lists = tuple(lists)
        self.problems: list[str] = []

    def entries(self, root: Section, name: str) -> Iterator[tuple[int, Section]]:
        """Yield the mappings of a list, counted from 1; anything else in its place is a problem."""
        node = root.members.get(name)
        if not isinstance(node, Listing) or not node.items:
            self.add(name, "should be a list of mappings, with at least one", node)
            return
        for number, item in enumerate(node.items, start=1):
            if isinstance(item, Section):
                yield number, item
            else:
                self.add(f"{name}[{number}]", "should be a mapping", item)

    def values(self, section: Section, table: Sequence[Key], where: str) -> dict[str, Any]:
        """Return the value of each key that is good: a missing one has its default."""
        known = {key.name: key for key in table}
        for name, node in section.members.items():
            if name not in known:
                self._unknown(name, known, where, node)
        values: dict[str, Any] = {}
        for key in table:
            given = section.members.get(key.name)
            if given is not None and given != Value(given.line, ""):
                read = self._read(key, given, join(where, key.name))
                values |= {} if read is None else {key.name: read}
            elif key.required:
                self.add(join(where, key.name), "is required", section)
            else:
                values[key.name] = self._placed(key.default)
        return values

    def _read(self, key: Key, node: Node, where: str) -> Any:
        items = node.items if key.many and isinstance(node, Listing) else (node,)
        read = [self.read_one(key, item, where) for item in items]
        if None in read:
            return None
        return tuple(read) if key.many else read[0]

    def read_one(self, key: Key, item: Node, where: str) -> Any:
        """Return the one value, or None: it is not good, which is a problem."""
        if not isinstance(item, Value):
            self.add(where, f"should be a single value, {key.kind.expected}", item)
            return None
        try:
            return self._placed(key.kind.parse(item.text))
        except ValueError:
            given = MASK if key.secret else repr(quote(item.text))
            self.add(where, f"{given} should be {key.kind.expected}", item)
            return None

    def _placed(self, value: Any) -> Any:
        """Return a relative path as one that starts at the folder of the file."""
        return self._path.parent / value if isinstance(value, Path) else value

    def _unknown(self, name: str, known: Mapping[str, Key], where: str, node: Node) -> None:
        (nearest,) = get_close_matches(name, [*known, *(() if where else self._lists)], n=1, cutoff=0.0)
        self.add(join(where, quote(name)), f"there is no such key; the nearest is {nearest}", node)

    def add(self, where: str, what: str, node: Node | None = None) -> None:
        """Note a problem."""
        line = f", line {node.line}" if node is not None else ""
        self.problems.append(f"{where}: {what} ({self._path}{line})")


def join(where: str, name: str) -> str:
    """Return how a key is named in a problem."""
    return f"{where}.{name}" if where else name
