"""Replaces the values of some members of a record and keeps every other byte as it was sent."""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw


class Span(NamedTuple):
    """Where the value of one member of an object stands in its text."""

    name: str
    start: int
    end: int
    is_last: bool
    """Of the members of this name."""


class _Name:
    """A member's name as a key of its own, so that two members of one name stay two."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_MEMBERS: Final = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=lambda _, text: _Name(text))
_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_BEFORE_VALUE: Final = re.compile(rb"[\s,]*" + _STRING + rb"\s*:\s*", re.DOTALL)
_TEXT_OR_NULL: Final = re.compile(rb"\s*:\s*(null|" + _STRING + rb")", re.DOTALL)


def replace_values(record: bytes, names: Sequence[str], choose: Callable[[Span], bytes | None]) -> bytes:
    """Return the record with each value for which ``choose`` gives another text replaced by it.

    The record is a valid JSON object. It has members of these names, and each one's last value is a string or null.
    """
    pieces: list[bytes] = []
    at = 0
    for span in _find_spans(record, names):
        value = choose(span)
        if value is not None:
            pieces += record[at : span.start], value
            at = span.end
    return b"".join((*pieces, record[at:]))


def _find_spans(record: bytes, names: Sequence[str]) -> Sequence[Span]:
    if b"\\" not in record:
        found = [_find_only(record, name) for name in names]
        spans = [span for span in found if span is not None]
        if len(spans) == len(names):
            return sorted(spans, key=lambda span: span.start)
    return [span for span in walk(record) if span.name in names]


def _find_only(record: bytes, name: str) -> Span | None:
    """Return the value's place if the name stands in the text just once: then it is that member's."""
    quoted = b'"%b"' % name.encode()
    at = record.find(quoted)
    if record.find(quoted, at + 1) >= 0:
        return None
    match = _TEXT_OR_NULL.match(record, at + len(quoted))
    return match and Span(name, *match.span(1), is_last=True)


def walk(record: bytes) -> list[Span]:
    """Return all members of a valid JSON object, in order. What is nested is stepped over, however large it is."""
    members = [(name.text, memoryview(value).nbytes) for name, value in _MEMBERS.decode(record).items()]
    last = {name: index for index, (name, _) in enumerate(members)}
    spans: list[Span] = []
    at = 1
    for index, (name, value_bytes) in enumerate(members):
        before = _BEFORE_VALUE.match(record, at)
        assert before is not None
        at = before.end() + value_bytes
        spans.append(Span(name, before.end(), at, is_last=last[name] == index))
    return spans
