"""A YAML file with lists and mappings in it, as a tree: each value as it is written there, with its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

import yaml

from apidanalytics.errors import ConfigurationError

MAX_BYTES: Final = 4 << 20
"""No file that people keep is longer, and no deeper nesting than its length allows reaches the parser's stack."""

_NULL: Final = "tag:yaml.org,2002:null"
_OTHER_NODES: Final = "aliases, merges and keys that are not plain text are not understood here"


@dataclass(frozen=True, slots=True)
class Value:
    """A plain value; ``""`` if there is none."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    line: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping."""

    line: int
    members: dict[str, "Node"]


Node: TypeAlias = Value | Listing | Section


def read_document(content: bytes, name: str) -> Section:
    """Return the mapping that a file is.

    Raises:
        ConfigurationError: it is not UTF-8, not YAML, no mapping, or has a key twice. No content stands in it.

    """
    try:
        if len(content) > MAX_BYTES:
            _refuse(name, None, f"is longer than {MAX_BYTES} bytes")
        text = content.decode("utf-8-sig")
        _refuse_aliases(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        _refuse(name, None, "is not UTF-8")
    except yaml.MarkedYAMLError as error:
        # Not its own words: they may quote a secret.
        _refuse(name, error.problem_mark.line + 1 if error.problem_mark else None, "is not YAML")
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        _refuse(name, None, "is not YAML")
    if root is None or not isinstance(root, yaml.MappingNode):
        _refuse(name, None, "should be a mapping of keys to values")
    return _section(root, name)


def _refuse_aliases(text: str, name: str) -> None:
    """Refuse them before a tree is made: with them it need not have an end."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            _refuse(name, None, _OTHER_NODES)


def _section(node: yaml.MappingNode, name: str) -> Section:
    members: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            _refuse(name, _line(key), _OTHER_NODES)
        if key.value in members:
            _refuse(name, _line(key), f"has the key {key.value[:64]!r} twice")
        members[key.value] = _node(value, name)
    return Section(_line(node), members)


def _node(node: yaml.Node, name: str) -> Node:
    if isinstance(node, yaml.MappingNode):
        return _section(node, name)
    if isinstance(node, yaml.SequenceNode):
        return Listing(_line(node), tuple(_items(node, name)))
    return Value(_line(node), "" if node.tag == _NULL else str(node.value).strip())


def _items(node: yaml.SequenceNode, name: str) -> Iterator[Node]:
    for item in node.value:
        yield _node(item, name)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _refuse(name: str, line: int | None, why: str) -> NoReturn:
    place = "" if line is None else f", line {line}"
    raise ConfigurationError([f"{name}{place}: {why}"])
