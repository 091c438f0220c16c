"""YAML as a tree that remembers its lines: mappings, lists and plain values, a few levels deep.

Read from the parser's events, not composed by the library: that recurses, and 1 MB of ``- - - -`` overflows the
stack of the process.
"""

import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import yaml
from yaml.resolver import Resolver

from apidanalytics.scopes.source import SourceError

MAX_DEPTH: Final = 8
"""Levels of nesting; a scopes file has three."""

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
    items: list["Node"]


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping, in order, with members that stand twice left twice."""

    line: int
    members: list[tuple["Node", "Node"]]


Node: TypeAlias = Scalar | Listing | Mapping


def read_tree(content: bytes) -> Node:
    """Return the one document in this file.

    Raises:
        SourceError: it is not UTF-8, not YAML, empty, several documents, or nested too deeply.

    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError([f"line {line}: not valid UTF-8"]) from error
    try:
        return _Reader(text).document()
    except yaml.YAMLError as error:
        raise SourceError([_say(error)]) from error


class _Reader:
    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._depth = 0
        self._line = 0

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    _refuse(event, "a second document begins here")
                root = self._node(next(self._events))
        if root is None or (isinstance(root, Scalar) and root.kind == "null"):
            raise SourceError(["line 1: the file is empty"])
        return root

    def _node(self, event: yaml.Event) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, event.value)
        if isinstance(event, yaml.AliasEvent):
            _refuse(event, "aliases (*name) are not understood here")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _refuse(event, "nested too deeply")
        node = self._listing(event) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(event)
        self._depth -= 1
        return node

    def _scalar(self, event: yaml.ScalarEvent, text: str) -> Scalar:
        line = _line(event)
        if line != self._line:
            self._line = line
        return Scalar(self._line, _kind(event), text)  # one number for all values of a line: there are many of them

    def _name(self, event: yaml.Event) -> Node:
        """Return the name of a member; there are few of them, so all that are the same share one text."""
        return (
            self._scalar(event, sys.intern(event.value)) if isinstance(event, yaml.ScalarEvent) else self._node(event)
        )

    def _listing(self, start: yaml.Event) -> Listing:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event))
        return Listing(_line(start), items)

    def _mapping(self, start: yaml.Event) -> Mapping:
        members: list[tuple[Node, Node]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            members.append((self._name(event), self._node(next(self._events))))
        return Mapping(_line(start), members)


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
