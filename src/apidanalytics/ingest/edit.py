"""Replaces the values of some members of a record and keeps every other byte as it was sent."""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from apidanalytics.errors import ErrorCode, Refusal

MAX_MEMBERS: Final = 10_000


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


class _Names:
    """Makes the names of one object, up to a limit: a megabyte may hold 200,000 members, and each takes its time."""

    def __init__(self) -> None:
        self._left = 0
        self._most = 0
        self._decoder = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=self._make)

    def read(self, record: bytes, most: int) -> dict[_Name, Raw]:
        """Return the members, in order; those of one name stay several."""
        self._left = self._most = most
        return self._decoder.decode(record)

    def _make(self, _: object, text: str) -> _Name:
        if not self._left:
            reason = f"A record in which something is to be changed may have at most {self._most} members"
            raise Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, reason)
        self._left -= 1
        return _Name(text)


_MEMBERS: Final = _Names()
_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_BEFORE_VALUE: Final = re.compile(rb"[\s,]*" + _STRING + rb"\s*:\s*", re.DOTALL)
_TEXT_OR_NULL: Final = re.compile(rb"\s*:\s*(null|" + _STRING + rb")", re.DOTALL)


def replace_values(
    record: bytes, names: Sequence[str], choose: Callable[[Span], bytes | None], max_members: int = MAX_MEMBERS
) -> bytes:
    """Return the record with each value for which ``choose`` gives another text replaced by it.

    The record is a valid JSON object. It has members of these names, and each one's last value is a string or null.

    Raises:
        Refusal: it has more members than the limit, and they had to be counted.

    """
    pieces: list[bytes] = []
    at = 0
    for span in _find_spans(record, names, max_members):
        value = choose(span)
        if value is not None:
            pieces += record[at : span.start], value
            at = span.end
    return b"".join((*pieces, record[at:]))


def _find_spans(record: bytes, names: Sequence[str], max_members: int) -> Sequence[Span]:
    if b"\\" not in record:
        found = [_find_only(record, name) for name in names]
        spans = [span for span in found if span is not None]
        if len(spans) == len(names):
            return sorted(spans, key=lambda span: span.start)
    return [span for span in walk(record, max_members) if span.name in names]


def _find_only(record: bytes, name: str) -> Span | None:
    """Return the value's place if the name stands in the text just once: then it is that member's."""
    quoted = b'"%b"' % name.encode()
    at = record.find(quoted)
    if record.find(quoted, at + 1) >= 0:
        return None
    match = _TEXT_OR_NULL.match(record, at + len(quoted))
    return match and Span(name, *match.span(1), is_last=True)


def walk(record: bytes, max_members: int = MAX_MEMBERS) -> list[Span]:
    """Return all members of a valid JSON object, in order. What is nested is stepped over, however large it is.

    Raises:
        Refusal: there are more than the limit.

    """
    read = _MEMBERS.read(record, max_members)
    members = [(name.text, memoryview(value).nbytes) for name, value in read.items()]
    last = {name: index for index, (name, _) in enumerate(members)}
    spans: list[Span] = []
    at = 1
    for index, (name, value_bytes) in enumerate(members):
        before = _BEFORE_VALUE.match(record, at)
        assert before is not None
        at = before.end() + value_bytes
        spans.append(Span(name, before.end(), at, is_last=last[name] == index))
    return spans
