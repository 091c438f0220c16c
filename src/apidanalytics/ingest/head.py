"""What the header of a request means for how it is read: pure functions, and the spelling of header names."""

from collections.abc import Callable, Mapping
from typing import Final

from apidanalytics.errors import ErrorCode, Refusal

END: Final = b""
"""Stands as a last name behind the headers: no header has an empty name, and trailers come after it."""

NONE: Final = b"\0"
"""Stands for the name of a header that is absent: no name has such a byte."""

Names = Mapping[bytes, bytes]
"""From lower-case header names to how this client spells them."""

_UNUSUAL: Final = frozenset((b"connection", b"expect", b"transfer-encoding", b"upgrade"))
"""Headers that change how the request is read, or what becomes of the connection."""
_MAX_REMEMBERED: Final = 500
_MAX_REMEMBERED_NAMES: Final = 64
_MAX_REMEMBERED_BYTES: Final = 1024


class Spellings:
    """Remembers how clients spell their header names, so that the names need no work per request.

    A client sends the same names in the same order with every request. So the names, as sent, are the key.
    """

    __slots__ = ("_all", "_plain", "plain")

    def __init__(self) -> None:
        self._all: dict[tuple[bytes, ...], Names] = {}
        self._plain: dict[tuple[bytes, ...], Names] = {}
        self.plain: Callable[[tuple[bytes, ...]], Names | None] = self._plain.get
        """Look up names, as sent and with ``END``, of which none is unusual and one is Host."""

    def names(self, sent: tuple[bytes, ...]) -> Names:
        """Return the names of any header; of several that differ in case only, the first."""
        names = self._all.get(sent)
        return self._learn(sent) if names is None else names

    def _learn(self, sent: tuple[bytes, ...]) -> Names:
        names: dict[bytes, bytes] = {}
        for name in sent[: sent.index(END)]:
            names.setdefault(name.lower(), name)
        is_small = len(sent) <= _MAX_REMEMBERED_NAMES and sum(map(len, sent)) <= _MAX_REMEMBERED_BYTES
        if is_small and len(self._all) < _MAX_REMEMBERED:
            self._all[sent] = names
            if sent[-1] == END and b"host" in names and _UNUSUAL.isdisjoint(names):
                self._plain[sent] = names
        return names


def too_large() -> Refusal:
    """Return the 413 for a body that is over the limit, as received."""
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "The request body is too large")


def framing_too_large() -> Refusal:
    """Return the 413 for a chunked body that has far more bytes around it than in it."""
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "Chunk extensions or trailers are too large")


def header_too_large() -> Refusal:
    """Return the 431."""
    return Refusal(431, ErrorCode.HEADERS_TOO_LARGE, "The request header is too large")


def target_too_long() -> Refusal:
    """Return the 414."""
    return Refusal(414, ErrorCode.URI_TOO_LONG, "The request target is too long")


def malformed(what: str) -> Refusal:
    """Return the 400 for what is not HTTP, or could be read in two ways."""
    return Refusal(400, ErrorCode.BAD_REQUEST, f"Malformed HTTP request: {what}")


def unsupported_version() -> Refusal:
    """Return the 505."""
    return Refusal(505, ErrorCode.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are supported")


def unsupported_coding() -> Refusal:
    """Return the 501."""
    return Refusal(501, ErrorCode.UNSUPPORTED_TRANSFER_ENCODING, "Only supported transfer encoding is chunked")


def parser_refusal(text: str) -> Refusal:
    """Return the answer to what llhttp does not accept; ``text`` is the reason it gives."""
    if text in {"Invalid HTTP version", "Pause on PRI/Upgrade"}:  # the latter is the preface of HTTP/2
        return unsupported_version()
    if text == "Request has invalid `Transfer-Encoding`":
        return unsupported_coding()
    return malformed(text)


def size_of(method: bytes, target_bytes: int, headers: Mapping[bytes, bytes]) -> int:
    """Return the bytes of a header from its first letter to the empty line (of several spaces in a row, one counts)."""
    lines_bytes = sum(len(name) + len(": ") + len(value) + len("\r\n") for name, value in headers.items() if name)
    return len(method) + target_bytes + len("  HTTP/1.1\r\n") + lines_bytes + len("\r\n")


def check_version(version: str, *, has_host: bool) -> None:
    """Refuse all but HTTP/1.1 (with Host, RFC 9112 section 3.2) and HTTP/1.0."""
    if version not in {"1.1", "1.0"}:
        raise unsupported_version()
    if version == "1.1" and not has_host:
        raise malformed("no Host header")


def is_chunked(version: str, codings: bytes | None) -> bool:
    """Return whether the body is chunked; refuse all other codings, and any in HTTP/1.0 (RFC 9112 section 6.1)."""
    if codings is None:
        return False
    if version == "1.0":
        raise malformed("Transfer-Encoding in HTTP/1.0")
    if codings.strip().lower() != b"chunked":
        raise unsupported_coding()
    return True


def expects_continue(version: str, expectation: bytes | None) -> bool:
    """Return whether the client waits for 100 Continue; refuse other expectations."""
    if expectation is None or version == "1.0":
        return False
    if expectation.strip().lower() != b"100-continue":
        raise Refusal(417, ErrorCode.EXPECTATION_FAILED, "Only supported expectation is 100-continue")
    return True


def check_method(method: bytes) -> None:
    """Refuse CONNECT, which is an upgrade by itself; no other method has a target that is neither path nor URL."""
    if method == b"CONNECT":
        raise malformed("this is not a proxy")


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
