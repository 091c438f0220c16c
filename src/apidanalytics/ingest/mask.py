"""Masks members of records before anything of them is written; every other byte stays as it was sent.

It works on the finished lines, so what enrichment added is masked like what was sent. Lines without nested objects,
nearly all, take the quick way: one pass of a regular expression, in which every name before a colon is a member's.
Whatever that cannot do for sure goes the exact way, member by member.
"""

import re
from collections.abc import Mapping
from typing import Final

from apidanalytics.ingest.edit import MAX_MEMBERS, walk
from apidanalytics.ingest.masked_values import Change, cut_query, drop, hasher, truncate

ACTIONS: Final[Mapping[str, Change]] = {"drop": drop, "truncate": truncate, "query": cut_query}
"""Those that need no key."""

_OPENED: Final = b"{"
_CONTAINERS: Final = (b"[", b"{")
_GAP: Final = b"\0"
"""Stands for a dropped member that no comma follows: no JSON text has this byte."""
_CLOSE_GAP: Final = re.compile(rb"\s*,\s*\0")
_ODD_NAME: Final = re.compile(rb'\\u[^"\\]*+(?:\\.[^"\\]*+)*+"\s*:')
"""A name that may be spelled with escapes."""
_FIRST_COMMA: Final = re.compile(rb"\s*,")


class _NotPlainError(Exception):
    """A value that the quick way cannot see the end of."""


class Mask:
    """Masks the lines of records. At least one member of each record stays: not every name may be masked."""

    def __init__(self, actions: Mapping[str, str], key: bytes, *, max_members: int = MAX_MEMBERS) -> None:
        """Take an action for each member's name; ``key`` is that of ``hash``."""
        self._max_members = max_members
        self._changes: dict[str, Change] = {
            name: hasher(key) if action == "hash" else ACTIONS[action] for name, action in actions.items()
        }
        self._by_bytes = {name.encode(): change for name, change in self._changes.items()}
        names = b"|".join(re.escape(name) for name in self._by_bytes)
        # A quote that opens a name never has a backslash before it, and one within a string always has.
        self._member = re.compile(
            rb'"(?<!\\")(' + names + rb')"\s*:\s*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s",\[\]{}]++|[\[{])(\s*,\s*)?'
        )

    def __repr__(self) -> str:
        return f"<Mask of {', '.join(self._changes)}>"

    def __call__(self, lines: bytes) -> bytes:
        """Return the lines, each a JSON object and a line feed, masked.

        Raises:
            Refusal: a record cannot be masked the quick way, and has more members than the limit.

        """
        if lines.count(_OPENED) == lines.count(b"\n") and _ODD_NAME.search(lines) is None:
            try:
                return self._mask_flat(lines)
            except _NotPlainError:
                pass
        return b"\n".join([self._mask_one(line) for line in lines.split(b"\n")])

    def _mask_one(self, line: bytes) -> bytes:
        if not line:
            return line
        if line.find(_OPENED, 1) < 0 and _ODD_NAME.search(line) is None:
            try:
                return self._mask_flat(line)
            except _NotPlainError:
                pass
        return self.mask_exactly(line)

    def _mask_flat(self, lines: bytes) -> bytes:
        masked = self._member.sub(self._change, lines)
        return _CLOSE_GAP.sub(b"", masked) if _GAP in masked else masked

    def _change(self, match: re.Match[bytes]) -> bytes:
        name, value, comma = match.groups()
        if value in _CONTAINERS:
            raise _NotPlainError
        changed = self._by_bytes[name](value)
        if changed is None:
            return b"" if comma else _GAP
        return match[0][: match.start(2) - match.start()] + changed + (comma or b"")

    def mask_exactly(self, line: bytes) -> bytes:
        """Return any JSON object masked.

        Raises:
            Refusal: it has more members than the limit.

        """
        pieces: list[bytes] = []
        at = 1
        for span in walk(line, self._max_members):
            lead = line[at : span.start]
            value: bytes | None = line[span.start : span.end]
            at = span.end
            change = self._changes.get(span.name)
            if change is not None and value is not None:
                value = change(value)
            if value is not None:
                pieces += (lead if pieces else _FIRST_COMMA.sub(b"", lead, count=1)), value
        return b"".join((_OPENED, *pieces, line[at:]))
