"""YAML as a tree that remembers its lines: mappings, lists and plain values, a few levels deep.

Read from the parser's events, not composed by the library: that recurses, and 1 MB of ``- - - -`` overflows the
stack of the process. The two outermost levels are read while somebody goes through them, so a file costs the memory
of one entry, however long it is: a tree of 10,000 tenants took 40 MB.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import yaml
from yaml.resolver import Resolver

from apidanalytics.scopes.source import SourceError

MAX_DEPTH: Final = 8
"""Levels of nesting; a scopes file has three."""
LAZY_DEPTH: Final = 2
"""Levels that are read while somebody goes through them."""

T = TypeVar("T")

_TAG: Final = "tag:yaml.org,2002:"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver: Final[Any] = Resolver()


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. ``kind`` is what YAML takes it for: ``str``, ``int``, ``null``, ``bool``, ``timestamp``, ..."""

    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    line: int
    items: Iterable["Node"]
    """To be gone through once, in the two outermost levels."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in order, with members that stand twice left twice."""

    line: int
    members: Iterable[tuple["Node", "Node"]]
    """To be gone through once, in the two outermost levels; what is in a value is read before the next member."""


Node: TypeAlias = Scalar | Listing | Mapping


def read_tree(content: bytes, take: Callable[[Node], T]) -> T:
    """Hand the one document in this file to ``take``, and return what it makes of it.

    Raises:
        SourceError: it is not UTF-8, not YAML, empty, several documents, or nested too deeply.

    """
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError([f"line {line}: not valid UTF-8"]) from error
    try:
        return _Reader(content).document(take)
    except yaml.YAMLError as error:
        raise SourceError([_say(error)]) from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._events = yaml.parse(content, Loader=_LOADER)
        self._line = 0

    def document(self, take: Callable[[Node], T]) -> T:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                taken = self._take(self._node(next(self._events), 1), take)
                self._end()
                return taken
        raise _nothing_in_it()

    def _end(self) -> None:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                _refuse(event, "a second document begins here")

    def _take(self, root: Node, take: Callable[[Node], T]) -> T:
        if isinstance(root, Scalar) and root.kind == "null":
            raise _nothing_in_it()
        taken = take(root)
        _go_through(root)
        return taken

    def _node(self, event: yaml.Event, depth: int) -> Node:
        """Read a node; in the outermost levels only its beginning."""
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, event.value)
        if isinstance(event, yaml.AliasEvent):
            _refuse(event, "aliases (*name) are not understood here")
        if depth > MAX_DEPTH:
            _refuse(event, "nested too deeply")
        is_lazy = depth <= LAZY_DEPTH
        if isinstance(event, yaml.SequenceStartEvent):
            items = self._items(depth + 1)
            return Listing(_line(event), items if is_lazy else list(items))
        members = self._members(depth + 1)
        return Mapping(_line(event), members if is_lazy else list(members))

    def _scalar(self, event: yaml.ScalarEvent, text: str) -> Scalar:
        line = _line(event)
        if line != self._line:
            self._line = line
        return Scalar(self._line, _kind(event), text)  # one number for all values of a line: there are many of them

    def _name(self, event: yaml.Event, depth: int) -> Node:
        """Return the name of a member; there are few of them, so all that are the same share one text."""
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, sys.intern(event.value))
        name = self._node(event, depth)
        _go_through(name)
        return name

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, depth)
            yield item
            _go_through(item)

    def _members(self, depth: int) -> Iterator[tuple[Node, Node]]:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name, value = self._name(event, depth), self._node(next(self._events), depth)
            yield name, value
            _go_through(value)


def _go_through(node: Node) -> None:
    """Read what nobody has read of this node."""
    if not isinstance(node, Scalar):
        deque(node.items if isinstance(node, Listing) else node.members, maxlen=0)


def _nothing_in_it() -> SourceError:
    return SourceError(["line 1: the file is empty"])


def _kind(event: yaml.ScalarEvent) -> str:
    tag = event.tag
    if tag in (None, "!"):
        tag = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
    return sys.intern(str(tag).removeprefix(_TAG)) if str(tag).startswith(_TAG) else "a value with a tag"


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


def _refuse(event: yaml.Event, why: str) -> NoReturn:
    raise SourceError([f"line {_line(event)}: {why}"])


def _say(error: yaml.YAMLError) -> str:
    """Return what the library found wrong, without the content that stands there (it may be a secret)."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what, _, _ = str(error.problem).partition("'")
        return f"line {error.problem_mark.line + 1}: not valid YAML: {what}"
    return f"not valid YAML: {getattr(error, 'reason', 'unreadable')}"
