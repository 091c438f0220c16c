"""From bytes to requests: httptools (llhttp) with the checks it leaves to us.

llhttp refuses what is malformed or ambiguous (both Content-Length and Transfer-Encoding, folded lines, NUL, bare CR
or LF, bad chunks). Found by experiment, and dealt with here:

* it accepts HTTP/2.0 and HTTP/0.9 request lines, ``Transfer-Encoding: gzip, chunked``, chunked HTTP/1.0, no ``Host``;
* it has no limits at all; a partial header is kept and grows with each piece;
* trailers arrive as headers, after ``on_headers_complete``;
* a request with ``Upgrade`` completes at once, without its body, and then ``HttpParserUpgrade`` is raised;
* an exception in a callback comes out of ``feed_data`` as the context of an ``HttpParserCallbackError``;
* it cannot stop between two requests, so large reads are fed in pieces that end where a request does (``piece_end``).
"""

from collections.abc import Callable
from typing import Final

import httptools

from apidanalytics.errors import ErrorCode, Refusal
from apidanalytics.ingest.http import CLOSE, KEEP, KEEP_SAID, Channel, Exchange
from apidanalytics.ingest.limits import HttpLimits

IDLE: Final = 0
"""Between two requests."""
HEAD: Final = 1
"""Part of a request's header has been read."""
BODY: Final = 2
"""The header has been read, and part of the body may have been."""

SMALL_BYTES: Final = 4096
"""A read up to this size is parsed in one go: it cannot hold enough requests, or header, to do harm."""
CHUNKED_PIECE_BYTES: Final = 16 * 1024
"""Within a chunked body, whose end is not known beforehand, larger reads are parsed in pieces of this size."""
FRAMING_FACTOR: Final = 8
"""Bytes on the wire per byte of a chunked body; one-byte chunks need 6."""
MANY_PARTS: Final = 256
"""So many parts of a body are joined into one: tiny objects cost far more memory than they hold."""

_VERSION_ERRORS: Final = frozenset(("Invalid HTTP version", "Pause on PRI/Upgrade"))
"""What llhttp says to a version it does not know, and to the preface of HTTP/2."""
SLASH: Final = ord("/")

Deliver = Callable[[Exchange], None]


class RequestReader:
    """The requests of one connection. ``feed`` it bytes; it calls ``deliver`` for each request that is complete.

    ::

        IDLE --first byte--> HEAD --empty line--> BODY --last byte, deliver--> IDLE

    After a ``Refusal`` it must not be fed any more.
    """

    __slots__ = (
        "_arrival_time",
        "_body_parts",
        "_channel",
        "_chunked",
        "_counted",
        "_ending",
        "_head_bytes",
        "_headers",
        "_is_long_head",
        "_is_unusual",
        "_joined",
        "_limits",
        "_many_digits",
        "_parser",
        "_request_headers",
        "_stalled_bytes",
        "_target",
        "_upgrading",
        "_wire_bytes",
        "body_bytes",
        "deliver",
        "expects_continue",
        "on_body",
        "state",
    )

    def __init__(
        self, limits: HttpLimits, channel: Channel, arrival_time: Callable[[], float], deliver: Deliver
    ) -> None:
        self._limits = limits
        self._channel = channel
        self._arrival_time = arrival_time
        self.deliver = deliver
        self.state = IDLE
        self.expects_continue = False
        """Whether the client waits for a ``100 Continue`` before it sends the body."""
        self.body_bytes = 0
        """Of the incomplete body, as of the last ``feed``."""
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._request_headers = self._headers
        self._ending = KEEP
        self._upgrading = False
        self._head_bytes = 0
        self._is_long_head = False
        self._many_digits = len(str(limits.max_body_bytes))  # a shorter Content-Length is fine without looking
        self._body_parts: list[bytes] = []
        self.on_body = self._body_parts.append  # straight into the list: the parser calls it for every part
        self._forget_unusual()
        self._parser = httptools.HttpRequestParser(self)

    # What the connection asks and says.

    @property
    def method(self) -> bytes:
        """The method of the request being read; empty when it is not known yet."""
        return self._parser.get_method() if self._target else b""

    @property
    def is_within_body(self) -> bool:
        """Whether the header has been read and the body, or the rest of it, is to come."""
        return self.state == BODY

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse the next bytes; at most ``SMALL_BYTES``, or up to ``piece_end``.

        Raises:
            Refusal: The request cannot be accepted; the connection must close after the answer.
        """
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_again_without_upgrade(piece[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            raise _refusal(error) from None
        if self.state:
            self._measure(len(piece))

    def piece_end(self, data: bytes, start: int) -> int:
        """Return up to where ``data`` may be fed from ``start``, so that at most a few requests complete."""
        if self.state == BODY:
            missing_bytes = int(self._request_headers.get(b"content-length", 0)) - self.body_bytes
            return min(len(data), start + (CHUNKED_PIECE_BYTES if self._chunked else missing_bytes))
        end = data.find(b"\r\n\r\n", start)
        return len(data) if end < 0 else end + 4

    # What the parser says.

    def on_message_begin(self) -> None:
        self.state = HEAD
        self._target = b""
        self._headers = {}

    def on_url(self, part: bytes) -> None:
        self._target = target = self._target + part
        if len(target) > self._limits.max_target_bytes:
            raise Refusal(414, ErrorCode.URI_TOO_LONG, "The request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self._headers
        name = name.lower()
        if headers.setdefault(name, value) is not value:
            headers[name] += b", " + value

    def on_headers_complete(self) -> None:
        self.state = BODY
        self._request_headers = headers = self._headers
        if self._is_long_head:
            self._check_head_size()
        if (
            b"connection" in headers
            or b"expect" in headers
            or b"transfer-encoding" in headers
            or b"upgrade" in headers
            or b"host" not in headers
            or not self._parser.should_keep_alive()
        ):
            self._read_unusual_head(headers)
        else:
            self._ending = KEEP  # without a Connection header, only HTTP/1.1 is kept alive
        length = headers.get(b"content-length")
        if length is not None and len(length) >= self._many_digits and int(length) > self._limits.max_body_bytes:
            raise _too_large()

    def on_message_complete(self) -> None:
        parts = self._body_parts
        body = b"".join(parts)
        if self._is_unusual and not self._complete_unusual(body):
            return
        parts.clear()
        self.state = IDLE
        target = self._target
        if b"?" in target or target[0] != SLASH:
            target = _path(target)
        self.deliver(
            Exchange(
                self._channel,
                self._parser.get_method(),
                target,
                self._request_headers,
                body,
                self._arrival_time(),
                self._ending,
            )
        )

    # The uncommon.

    def _read_unusual_head(self, headers: dict[bytes, bytes]) -> None:
        self._is_unusual = True
        version = self._parser.get_http_version()
        _check_version(version, headers)
        self._chunked = _is_chunked(version, headers)
        if self._chunked:
            self._headers = {}  # the trailers go there, and are ignored
        self.expects_continue = _expects_continue(version, headers)
        self._ending = CLOSE if not self._parser.should_keep_alive() else KEEP if version == "1.1" else KEEP_SAID
        self._upgrading = self._parser.should_upgrade()

    def _complete_unusual(self, body: bytes) -> bool:
        """Return whether the request is complete; not so if the parser skipped its body for an upgrade."""
        if self._upgrading:
            return False
        if len(body) > self._limits.max_body_bytes:
            raise _too_large()
        self._forget_unusual()
        return True

    def _read_again_without_upgrade(self, rest: bytes | memoryview) -> None:
        """Read the same request again as if it did not ask for another protocol, which a server may ignore.

        Java's HTTP client, among others, asks for h2c on every first request, with its body.
        """
        self._upgrading = False
        if self._parser.get_method() == b"CONNECT":
            raise Refusal(400, ErrorCode.BAD_REQUEST, "This is not a proxy")
        version = self._parser.get_http_version().encode()
        head = b"%s %s HTTP/%s\r\n" % (self._parser.get_method(), self._target, version)
        lines = [b"%s: %s\r\n" % item for item in self._request_headers.items() if item[0] != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"".join((head, *lines, b"\r\n")))
        self.feed(rest)

    def _measure(self, piece_bytes: int) -> None:
        """Hold what is there of an incomplete request against the limits."""
        if self.state == BODY:
            self._measure_body(piece_bytes)
            return
        # The first small piece may hold the end of another request; the size of a complete header is exact.
        if self._is_long_head or piece_bytes > SMALL_BYTES:
            self._head_bytes += piece_bytes
        self._is_long_head = True
        if self._head_bytes > self._limits.max_header_bytes:
            raise _header_too_large()

    def _check_head_size(self) -> None:
        self._is_long_head = False
        self._head_bytes = 0
        size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers.items())
        if size > self._limits.max_header_bytes:
            raise _header_too_large()

    def _measure_body(self, piece_bytes: int) -> None:
        self._is_unusual = True
        parts = self._body_parts
        fresh_bytes = sum(map(len, parts[self._counted :]))
        self.body_bytes += fresh_bytes
        if self.body_bytes > self._limits.max_body_bytes:
            raise _too_large()
        if len(parts) - self._joined > MANY_PARTS:
            parts[self._joined :] = [b"".join(parts[self._joined :])]
            self._joined += 1
        self._counted = len(parts)
        if self._chunked:
            self._measure_framing(piece_bytes, fresh_bytes)

    def _measure_framing(self, piece_bytes: int, fresh_bytes: int) -> None:
        self._wire_bytes += piece_bytes
        self._stalled_bytes = 0 if fresh_bytes else self._stalled_bytes + piece_bytes
        allowed = self._limits.max_header_bytes + SMALL_BYTES
        if self._stalled_bytes > allowed or self._wire_bytes > FRAMING_FACTOR * self.body_bytes + 2 * allowed:
            raise Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "Chunk extensions or trailers are too long")

    def _forget_unusual(self) -> None:
        self._is_unusual = self._chunked = self.expects_continue = False
        self._counted = self._joined = 0
        self._wire_bytes = self._stalled_bytes = 0
        self.body_bytes = 0


def _refusal(error: httptools.HttpParserError) -> Refusal:
    """Return the answer to what the parser, or a callback of ours, did not accept."""
    cause = error.__context__
    if isinstance(cause, Refusal):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
        raise cause
    text = str(error)
    if text in _VERSION_ERRORS:
        return _unsupported_version()
    return Refusal(400, ErrorCode.BAD_REQUEST, f"Malformed HTTP request: {text}")


def _unsupported_version() -> Refusal:
    return Refusal(505, ErrorCode.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are supported")


def _header_too_large() -> Refusal:
    return Refusal(431, ErrorCode.HEADERS_TOO_LARGE, "The request header is too large")


def _too_large() -> Refusal:
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "The request body is too large")


def _check_version(version: str, headers: dict[bytes, bytes]) -> None:
    if version not in {"1.1", "1.0"}:
        raise _unsupported_version()
    if version == "1.1" and b"host" not in headers:
        raise Refusal(400, ErrorCode.BAD_REQUEST, "Malformed HTTP request: no Host header")


def _is_chunked(version: str, headers: dict[bytes, bytes]) -> bool:
    codings = headers.get(b"transfer-encoding")
    if codings is None:
        return False
    if version == "1.0":
        raise Refusal(400, ErrorCode.BAD_REQUEST, "Malformed HTTP request: Transfer-Encoding in HTTP/1.0")
    if codings.strip().lower() != b"chunked":
        raise Refusal(501, ErrorCode.UNSUPPORTED_TRANSFER_ENCODING, "Only supported transfer encoding is chunked")
    return True


def _expects_continue(version: str, headers: dict[bytes, bytes]) -> bool:
    expectation = headers.get(b"expect")
    if expectation is None or version == "1.0":
        return False
    if expectation.strip().lower() != b"100-continue":
        raise Refusal(417, ErrorCode.EXPECTATION_FAILED, "Only supported expectation is 100-continue")
    return True


def _path(target: bytes) -> bytes:
    """Return the path of a target, which may have a query, and in the form for proxies also a scheme and a host."""
    path = target.partition(b"?")[0]
    if path[:1] == b"/" or b"://" not in path:
        return path
    return b"/" + path.partition(b"://")[2].partition(b"/")[2]
