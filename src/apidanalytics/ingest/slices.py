"""Where a large body can be cut into small ones, so that none of them holds up the event loop.

A cut is only a guess from the bytes. It is right if the text between two cuts, taken as the content of an array, is
valid JSON: JSON is read from the left, so what reads as whole elements there reads as the same elements in the body.
Whoever uses a cut has to check that.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from apidanalytics.errors import Refusal
from apidanalytics.ingest.decode import Envelope, parse_envelope

SLICE_BYTES: Final = 1 << 19
"""About a millisecond's work."""

_MAX_HEAD_BYTES: Final = 1 << 16
_CUTS_TRIED: Final = 4
_RECORDS: Final = re.compile(rb'"records"\s*:\s*\[')
_EMPTY: Final = msgspec.Raw(b"[]")


def find_head(body: bytes) -> tuple[bytes, Envelope] | None:
    """Return the body up to the bracket that opens its records, and the members before it; None: look elsewhere."""
    match = _RECORDS.search(body, 0, _MAX_HEAD_BYTES)
    if match is None:
        return None
    head = body[: match.end()]
    try:
        envelope = parse_envelope(head + b"]}")
    except Refusal:
        return None
    return (head, envelope) if envelope.records == _EMPTY else None


def find_cuts(body: bytes, start: int, slice_bytes: int) -> Iterator[int]:
    """Guess where, within a slice's length, an element ends: at a comma, after an object if there is one."""
    stop = start + slice_bytes
    at = stop
    for _ in range(_CUTS_TRIED):
        at = body.rfind(b"},", start, at)
        if at < 0:
            break
        yield at + 1
    at = body.rfind(b",", start, stop)
    if at >= 0:
        yield at


def may_name_records(tail: bytes) -> bool:
    """Say whether a second member ``records``, which would count instead of the first, may stand in this text."""
    return b'"records"' in tail or b"\\u00" in tail
