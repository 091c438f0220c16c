"""Where settings come from: a YAML file, the environment, the command line. Each gives texts with their origin."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from apidanalytics import errors

DEFAULT_FILE: Final = "apid_config.yaml"
"""Read from the working directory when no file is named."""

FILE_VARIABLE: Final = "APID_CONFIG_FILE"

COMMAND_LINE: Final = "command line"
"""Origin of what an option of a command gave."""

_VARIABLE_PREFIX: Final = "apid_"
_MERGE: Final = "tag:yaml.org,2002:merge"
_NULL: Final = "tag:yaml.org,2002:null"
_QUOTATION: Final = re.compile(r"""(['"])(.*?)\1""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value as it was given, not read yet."""

    key: str
    """In lower case."""
    text: str | None
    """None: a list or a mapping, which few settings may be."""
    origin: str
    """``file <path>``, ``environment <variable>`` or ``command line``."""
    line: int | None = None
    parts: str | None = None
    """Of a list or a mapping of plain values: these, with commas between them."""

    @property
    def place(self) -> str:
        """The origin, with the line of a file."""
        return self.origin if self.line is None else f"{self.origin}, line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one source gave; later values of a key replace earlier ones."""

    given: tuple[Given, ...] = ()
    problems: tuple[str, ...] = ()


def from_file(path: Path, *, may_be_missing: bool = False) -> Source:
    """Return what a YAML file gives; a file that cannot be used is one problem."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if may_be_missing and isinstance(error, FileNotFoundError):
            return Source()
        return _unusable(path, f"cannot be read: {error.strerror}")
    except ValueError:
        return _unusable(path, "is no path of a file")
    return parse(content, path)


def parse(content: bytes, path: Path) -> Source:
    """Return what the content of a YAML file gives: each value as it is written there, before YAML reads it."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unusable(path, "is not UTF-8", content.count(b"\n", 0, error.start) + 1)
    try:
        return _parse(text, path)
    except yaml.MarkedYAMLError as error:
        return _unusable(path, f"is not YAML: {_reason(error)}", _line(error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _unusable(path, "is not YAML: it holds a character that is not allowed", line)
    except (ValueError, OverflowError):  # an escape or a number beyond all bounds
        return _unusable(path, "is not YAML: it holds an escape that is not allowed")
    except RecursionError:
        return _unusable(path, "is nested too deeply")


def from_environment(environ: Mapping[str, str]) -> Source:
    """Return what ``APID_<KEY>`` gives. An empty value counts as not given.

    ``apid_<key>`` is read too, and wins over the capitals, as the Go original has it.
    """
    # Capitals sort before small letters, so the latter come last, and the last one counts.
    names = sorted(name for name in environ if name.lower().startswith(_VARIABLE_PREFIX))
    return Source(
        given=tuple(
            Given(
                key=name.lower().removeprefix(_VARIABLE_PREFIX),
                text=environ[name],
                origin=f"environment {printable(name)}",
            )
            for name in names
            if environ[name].strip()
        )
    )


def from_command_line(overrides: Mapping[str, object]) -> Source:
    """Return what the options of a command give; None counts as not given."""
    return Source(
        given=tuple(
            Given(key=key.lower(), text=_text(value), origin=COMMAND_LINE)
            for key, value in overrides.items()
            if value is not None
        )
    )


def printable(text: str) -> str:
    """Return a text from outside so that it can be printed and encoded: cut, odd characters escaped."""
    short = errors.quote(text)
    return short if short.isprintable() else ascii(short)[1:-1]


def _parse(text: str, path: Path) -> Source:
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    if root is None or root.tag == _NULL:
        return Source()
    if not isinstance(root, yaml.MappingNode):
        return _unusable(path, "should be a mapping of keys to values", root.start_mark.line + 1)
    twice = tuple(_twice(root, path))
    loader.flatten_mapping(root)
    return Source(given=tuple(_values(root, path)), problems=twice)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unusable(path: Path, reason: str, line: int | None = None) -> Source:
    place = "" if line is None else f", line {line}"
    return Source(problems=(f"config file {printable(str(path))}{place}: {reason}",))


def _reason(error: yaml.MarkedYAMLError) -> str:
    return _QUOTATION.sub(_quoted, error.problem or "it cannot be read")


def _quoted(found: re.Match[str]) -> str:
    # The parser may quote the file, and so a secret: only marks such as ':' and '<stream end>' stay.
    is_mark = len(found[2]) <= 2 or found[2].startswith("<")
    return found[0] if is_mark else "'…'"


def _line(error: yaml.MarkedYAMLError) -> int | None:
    mark = error.problem_mark or error.context_mark
    return None if mark is None else mark.line + 1


def _entries(root: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the entries with a plain key; others cannot be settings."""
    for key, value in root.value:
        if isinstance(key, yaml.ScalarNode):
            yield key, value


def _twice(root: yaml.MappingNode, path: Path) -> Iterator[str]:
    first: dict[str, int] = {}
    for node, _ in _entries(root):
        key, line = node.value.lower(), node.start_mark.line + 1
        if key in first and node.tag != _MERGE:
            place = f"file {printable(str(path))}, lines {first[key]} and {line}"
            yield f"{printable(key)}: is given twice ({place}): keep one, capitals do not matter"
        first.setdefault(key, line)


def _values(root: yaml.MappingNode, path: Path) -> Iterator[Given]:
    for key, value in _entries(root):
        if value.tag == _NULL:
            continue
        text = value.value if isinstance(value, yaml.ScalarNode) else None
        is_quoted = isinstance(value, yaml.ScalarNode) and value.style is not None
        if text is None or text.strip() or is_quoted:
            line = value.start_mark.line + 1
            origin = f"file {printable(str(path))}"
            yield Given(key=key.value.lower(), text=text, origin=origin, line=line, parts=_parts(value))


def _parts(node: yaml.Node) -> str | None:
    """Return the values of a list, or the keys and values of a mapping, if all are plain."""
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return ", ".join(item.value for item in node.value)
    if isinstance(node, yaml.MappingNode) and all(
        isinstance(part, yaml.ScalarNode) for entry in node.value for part in entry
    ):
        return ", ".join(f"{key.value}: {value.value}" for key, value in node.value)
    return None
