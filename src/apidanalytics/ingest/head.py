"""What the header of a request means for how it is read: pure functions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from apidanalytics.ingest import refusals
from apidanalytics.ingest.http import CLOSE, KEEP, KEEP_SAID
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.spellings import Names

find_length: Final = re.compile(rb"\r\n(?i:content-length):[ \t]*([0-9]{1,18})[ \t]*\r\n").search
"""Finds the line of a header that tells the length of the body; the digits are its group 1."""


@dataclass(frozen=True, slots=True)
class Head:
    """A header that was found in order."""

    names: Names
    ending: int
    """What becomes of the connection after the answer."""
    is_chunked: bool
    length: int
    """Bytes of the body, if it is not chunked."""
    expects_continue: bool
    """Whether the client waits for 100 Continue before it sends the body."""


def is_one_request(data: bytes, max_head_bytes: int, limits: HttpLimits) -> bool:
    """Return whether ``data`` is surely one request, or the beginning of one, and small enough to be fed in one go.

    That is foresight: what the length of the body really is, the parser says.
    """
    end = data.find(b"\r\n\r\n", 0, max_head_bytes)
    length = None if end < 0 else find_length(data, 0, end + 2)
    return length is not None and len(data) <= min(end + 4 + int(length[1]), limits.max_body_bytes)


def judge(version: str, names: Names, headers: Mapping[bytes, bytes], *, keeps_alive: bool, limits: HttpLimits) -> Head:
    """Return what a header means.

    Raises:
        Refusal: It asks for what is not supported, or announces a body that is too large.

    """

    def value(name: bytes) -> bytes | None:
        return headers[names[name]] if name in names else None

    _check_version(version, has_host=b"host" in names)
    is_chunked = _is_chunked(version, value(b"transfer-encoding"))
    expects_continue = _expects_continue(version, value(b"expect"))
    length = int(value(b"content-length") or 0)
    if length > limits.max_body_bytes:
        raise refusals.too_large()
    ending = CLOSE if not keeps_alive else KEEP if version == "1.1" else KEEP_SAID
    return Head(names, ending, is_chunked, length, expects_continue)


def check_size(method: bytes, target_bytes: int, headers: Mapping[bytes, bytes], limits: HttpLimits) -> None:
    """Refuse a complete header that is too large, from its first letter to the empty line.

    Of several spaces in a row, one counts.
    """
    if target_bytes > limits.max_target_bytes:
        raise refusals.target_too_long()
    lines_bytes = sum(len(name) + len(": ") + len(value) + len("\r\n") for name, value in headers.items() if name)
    size = len(method) + target_bytes + len("  HTTP/1.1\r\n") + lines_bytes + len("\r\n")
    if size > limits.max_header_bytes:
        raise refusals.header_too_large()


def _check_version(version: str, *, has_host: bool) -> None:
    """Refuse all but HTTP/1.1 (with Host, RFC 9112 section 3.2) and HTTP/1.0."""
    if version not in {"1.1", "1.0"}:
        raise refusals.unsupported_version()
    if version == "1.1" and not has_host:
        raise refusals.malformed("no Host header")


def _is_chunked(version: str, codings: bytes | None) -> bool:
    """Return whether the body is chunked; refuse all other codings, and any in HTTP/1.0 (RFC 9112 section 6.1)."""
    if codings is None:
        return False
    if version == "1.0":
        raise refusals.malformed("Transfer-Encoding in HTTP/1.0")
    if codings.strip().lower() != b"chunked":
        raise refusals.unsupported_coding()
    return True


def _expects_continue(version: str, expectation: bytes | None) -> bool:
    """Return whether the client waits for 100 Continue; refuse other expectations."""
    if expectation is None or version == "1.0":
        return False
    if expectation.strip().lower() != b"100-continue":
        raise refusals.unsupported_expectation()
    return True


def check_method(method: bytes) -> None:
    """Refuse CONNECT, which is an upgrade by itself; no other method has a target that is neither path nor URL."""
    if method == b"CONNECT":
        raise refusals.malformed("this is not a proxy")


def path_of(method: bytes, target: bytes) -> bytes:
    """Return the path of a target, which may have a query, and in the form meant for proxies a scheme and a host."""
    check_method(method)
    path = target.partition(b"?")[0]
    if path.startswith(b"/") or b"://" not in path:
        return path
    return b"/" + path.partition(b"://")[2].partition(b"/")[2]


def render_without_upgrade(method: bytes, target: bytes, version: str, headers: Mapping[bytes, bytes]) -> bytes:
    """Return a header as if the client had not asked for another protocol, which a server may ignore."""
    line = b"%s %s HTTP/%s\r\n" % (method, target, version.encode())
    lines = (b"%s: %s\r\n" % item for item in headers.items() if item[0] and item[0].lower() != b"upgrade")
    return b"".join((line, *lines, b"\r\n"))
