"""Ways in which a batch can be wrong. Each must be refused whole, with the error code beside it."""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from isal import igzip

from apidanalytics.demo.post import Post

Records = tuple[bytes, ...]

NOWHERE: Final = "00000000-dead-4bad-8000-000000000000"
"""A scope that nobody has."""


def _as_it_is(post: Post) -> Post:
    return post


def _untouched(records: Records, _: int) -> Records:
    return records


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to spoil a batch: one of its records, or the post as a whole."""

    code: str
    """The ``errorCode`` it must be answered with."""
    records: Callable[[Records, int], Records] = _untouched
    """Spoils the record at this position."""
    post: Callable[[Post], Post] = _as_it_is


def _replace(pattern: bytes, replacement: bytes) -> Callable[[Records, int], Records]:
    """Return what replaces the first match of ``pattern`` in the record at a position."""

    def spoil(records: Records, at: int) -> Records:
        spoiled, count = re.subn(pattern, replacement, records[at], count=1)
        if not count:
            raise ValueError(f"nothing to spoil in {records[at]!r}")
        return (*records[:at], spoiled, *records[at + 1 :])

    return spoil


def _as_list(records: Records, at: int) -> Records:
    return (*records[:at], b"[%s]" % records[at], *records[at + 1 :])


def _to_unknown_scope(post: Post) -> Post:
    return replace(post, path=f"{post.base_path}/{NOWHERE}")


def _to_unknown_org(post: Post) -> Post:
    body = b'{"organization":"nobody","environment":"nowhere","records":[%s]}' % b",".join(post.records)
    return replace(post, path=post.base_path, named=True, body=body)


def _cut_json(post: Post) -> Post:
    return replace(post, body=post.body[:-2])


def _break_text(post: Post) -> Post:
    return replace(post, body=post.body.replace(b'"gateway_flow_id":"', b'"gateway_flow_id":"\xff', 1))


def _cut_gzip(post: Post) -> Post:
    return replace(
        post, body=igzip.compress(post.body, 1, mtime=0)[:-10], headers=_with(post, "Content-Encoding", "gzip")
    )


def _as_deflate(post: Post) -> Post:
    return replace(post, body=zlib.compress(post.body), headers=_with(post, "Content-Encoding", "deflate"))


def _as_text(post: Post) -> Post:
    return replace(post, headers=_with(post, "Content-Type", "text/plain"))


def _with(post: Post, name: str, value: str) -> Mapping[str, str]:
    return {**post.headers, name: value}


_START: Final = rb'"client_received_start_timestamp":[0-9]+'

FAULTS: Final = (
    Fault(code="UNSUPPORTED_CONTENT_TYPE", post=_as_text),
    Fault(code="UNKNOWN_SCOPE", post=_to_unknown_scope),
    Fault(code="UNKNOWN_SCOPE", post=_to_unknown_org),
    Fault(code="UNSUPPORTED_CONTENT_ENCODING", post=_as_deflate),
    Fault(code="BAD_DATA", post=_cut_gzip),
    Fault(code="BAD_DATA", post=_cut_json),
    Fault(code="BAD_DATA", post=_break_text),
    Fault(code="BAD_DATA", records=_as_list),
    Fault(code="MISSING_FIELD", records=_replace(_START, b'"start":1')),
    Fault(code="BAD_DATA", records=_replace(_START, b'"client_received_start_timestamp":"yesterday"')),
    Fault(code="BAD_DATA", records=_replace(_START, b'"client_received_start_timestamp":9999999999999')),
    Fault(code="BAD_DATA", records=_replace(rb"}$", b',"client_id":7}')),
)
"""In the order in which the service checks; each batch has one."""
