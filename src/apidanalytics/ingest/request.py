"""From bytes to requests: httptools (llhttp), and the checks it leaves to us.

llhttp refuses what is malformed or can be read in two ways (both Content-Length and Transfer-Encoding, two lengths,
folded lines, NUL, bare CR or LF, bad chunks). Found by experiment, and dealt with here:

* it accepts HTTP/2.0 and HTTP/0.9 request lines, ``Transfer-Encoding: gzip, chunked``, chunked HTTP/1.0, no ``Host``;
* it has no limits; a header that is incomplete is kept, and grows with each piece;
* trailers are reported like headers;
* a request that asks for an upgrade completes at once, without its body, and then ``HttpParserUpgrade`` is raised;
* an exception in a callback comes out of ``feed_data`` as the context of an ``HttpParserCallbackError``;
* it cannot stop between two requests, so what was read is fed in pieces that end where a request does (``piece_end``).

A call from the parser into Python is what costs most here. So it puts target, headers and parts of the body into
containers by their own methods, and only a complete request reaches code of ours. Such code checks a header before
its body only if they do not arrive together.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import httptools

from apidanalytics.errors import Refusal
from apidanalytics.ingest import head
from apidanalytics.ingest.body import BodyMeter
from apidanalytics.ingest.http import CLOSE, KEEP, KEEP_SAID, Channel, Exchange
from apidanalytics.ingest.limits import HttpLimits

SMALL_BYTES: Final = 4096
"""Up to so many bytes are fed in one go: they cannot hold enough requests, or header, to do harm."""
CHUNKED_PIECE_BYTES: Final = 16 * 1024
"""Within a chunked body, whose end is not known beforehand, a piece has at most this size."""
SLASH: Final = ord("/")
QUESTION_MARK: Final = ord("?")

Deliver = Callable[[Exchange], None]


class RequestReader:
    """The requests of one connection. ``feed`` it bytes; it calls ``deliver`` for each request that is complete.

    After a ``Refusal`` it must not be fed any more.

    Args:
        deliver: Takes a request that arrived in one piece and leaves the connection open: nearly all of them.
        deliver_unusual: Takes every other one.

    """

    __slots__ = (
        "_arrival_time",
        "_body_parts",
        "_channel",
        "_ending",
        "_head_bytes",
        "_headers",
        "_is_chunked",
        "_is_judged",
        "_is_unusual",
        "_length",
        "_limits",
        "_meter",
        "_names",
        "_parser",
        "_plain_names",
        "_spellings",
        "_target_parts",
        "deliver",
        "deliver_unusual",
        "expects_continue",
        "is_between_requests",
        "on_body",
        "on_header",
        "on_headers_complete",
        "on_url",
        "small_bytes",
    )

    def __init__(
        self,
        limits: HttpLimits,
        spellings: head.Spellings,
        channel: Channel,
        arrival_time: Callable[[], float],
        deliver: Deliver,
        deliver_unusual: Deliver,
    ) -> None:
        self._limits = limits
        self._spellings = spellings
        self._plain_names = spellings.plain
        self._channel = channel
        self._arrival_time = arrival_time
        self.deliver = deliver
        self.deliver_unusual = deliver_unusual
        self.small_bytes = min(SMALL_BYTES, limits.max_header_bytes, limits.max_target_bytes, limits.max_body_bytes)
        """A request that arrives in one piece of this size is within all limits."""
        self._target_parts: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._body_parts: list[bytes] = []
        # The parser's callbacks. Of several headers of one name the first counts; llhttp refuses a second length, and
        # any coding after ``chunked``.
        self.on_url = self._target_parts.append
        self.on_header = self._headers.setdefault
        self.on_headers_complete = partial(self._headers.setdefault, head.END, b"")
        self.on_body = self._body_parts.append
        self._parser = httptools.HttpRequestParser(self)
        self._meter = BodyMeter(limits, self._body_parts)
        self.is_between_requests = True
        # What follows is about a request that is not complete, or not plain.
        self._is_unusual = False  # it came in several pieces, or in a large one
        self._is_judged = False
        self._head_bytes = 0
        self._length = 0
        self._is_chunked = False
        self._names: head.Names = {}
        self._ending = KEEP
        self.expects_continue = False
        """Whether the client waits for 100 Continue before it sends the body."""

    @property
    def method(self) -> bytes:
        """The method of the request being read; empty while it is not known."""
        return self._parser.get_method() if self._target_parts else b""

    @property
    def body_bytes(self) -> int:
        """Bytes of the incomplete body, as of the last ``feed``."""
        return self._meter.size

    @property
    def is_within_body(self) -> bool:
        """Whether the header has been read and the body, or the rest of it, is to come."""
        return head.END in self._headers

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse the next bytes, up to ``small_bytes`` of them.

        Raises:
            Refusal: The request cannot be accepted; the connection must close after the answer.

        """
        self.is_between_requests = False
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            end_of_head = upgrade.args[0]
        except httptools.HttpParserError as error:
            raise _refusal(error) from None
        else:
            if self._target_parts or not self.is_between_requests:
                self.is_between_requests = False
                self._measure(len(piece))
            return
        self._read_again_without_upgrade(piece[end_of_head:])  # not above: there, the parser's errors lose their causes

    def feed_next(self, data: bytes, start: int) -> int:
        """Parse the next piece of a larger read, from ``start``, and return where it ends.

        At most a few requests are completed by one piece. Raises as ``feed``.
        """
        end = min(self._piece_end(data, start), len(data))
        if end - start > self.small_bytes:
            self._is_unusual = True
        self.feed(memoryview(data)[start:end])
        return end

    def _piece_end(self, data: bytes, start: int) -> int:
        """Return up to where ``data`` may be fed: a piece ends where a header does, or a request."""
        if self.is_within_body and not self._is_chunked:
            return start + self._length - self.body_bytes
        if self._is_chunked and start == 0:
            return 3  # an end that came only in part is completed by at most so many
        empty_line = data.find(b"\r\n\r\n", start)
        end = len(data) if empty_line < 0 else empty_line + 4
        return min(end, start + CHUNKED_PIECE_BYTES) if self._is_chunked else end

    def on_message_complete(self) -> None:
        """Deliver a request; the parser calls this."""
        headers = self._headers.copy()
        names = self._plain_names(tuple(headers))
        parser = self._parser
        if names is not None and not self._is_unusual and parser.should_keep_alive():
            ending = KEEP  # HTTP/1.1: no other version keeps a connection without saying so
            deliver = self.deliver
        elif self._complete_unusual():
            names = self._names
            ending = self._ending
            deliver = self.deliver_unusual
        else:
            return
        path = self._target_parts[0]
        method = parser.get_method()
        if QUESTION_MARK in path or path[0] != SLASH:
            path = head.path_of(method, path)
        parts = self._body_parts
        exchange = Exchange(self._channel, method, path, headers, b"".join(parts), self._arrival_time(), ending, names)
        self._target_parts.clear()
        self._headers.clear()
        parts.clear()
        self.is_between_requests = True
        deliver(exchange)

    # The uncommon: what does not arrive in one piece, or needs a closer look.

    def _complete_unusual(self) -> bool:
        """Look closer at a request that is complete; False if it is not, because the parser left out its body."""
        if not self._is_judged:
            self._judge()
        if self._parser.should_upgrade():
            return False
        if self._is_chunked and sum(map(len, self._body_parts)) > self._limits.max_body_bytes:
            raise head.too_large()
        self._target_parts[:] = [b"".join(self._target_parts)]
        self._forget_unusual()
        return True

    def _judge(self) -> None:
        """Find out from the header how the request goes on."""
        headers = self._headers
        self._names = names = self._spellings.names(tuple(headers))
        if self._is_unusual:
            self._check_head_size()
        version = self._parser.get_http_version()
        head.check_version(version, has_host=b"host" in names)
        self._is_chunked = head.is_chunked(version, headers.get(names.get(b"transfer-encoding", head.NONE)))
        self.expects_continue = head.expects_continue(version, headers.get(names.get(b"expect", head.NONE)))
        self._length = int(headers.get(names.get(b"content-length", head.NONE), 0))
        if self._length > self._limits.max_body_bytes:
            raise head.too_large()
        self._ending = CLOSE if not self._parser.should_keep_alive() else KEEP if version == "1.1" else KEEP_SAID
        self._is_judged = self._is_unusual = True

    def _read_again_without_upgrade(self, rest: bytes | memoryview) -> None:
        """Read the same request as an ordinary one: Java's client, among others, asks for h2c, with a body."""
        parser = self._parser
        target = b"".join(self._target_parts)
        head.check_method(parser.get_method())
        again = head.render_without_upgrade(parser.get_method(), target, parser.get_http_version(), self._headers)
        self._forget_request()
        self._is_unusual = True
        self._parser = httptools.HttpRequestParser(self)
        self.feed(again)
        self.feed(rest)

    def _measure(self, piece_bytes: int) -> None:
        """Hold what is there of an incomplete request against the limits."""
        if not self.is_within_body:
            self._measure_head(piece_bytes)
            return
        self._is_unusual = True
        if not self._is_judged:
            self._judge()
        if self._is_chunked:
            self._meter.measure_chunked(piece_bytes)
        else:
            self._meter.measure()

    def _measure_head(self, piece_bytes: int) -> None:
        # A first piece that is small may hold the end of another request, too; the size of the whole header is exact.
        if self._is_unusual or piece_bytes > self.small_bytes:
            self._head_bytes += piece_bytes
        self._is_unusual = True
        if sum(map(len, self._target_parts)) > self._limits.max_target_bytes:
            raise head.target_too_long()
        if self._head_bytes > self._limits.max_header_bytes:
            raise head.header_too_large()

    def _check_head_size(self) -> None:
        target_bytes = sum(map(len, self._target_parts))
        if target_bytes > self._limits.max_target_bytes:
            raise head.target_too_long()
        if head.size_of(self._parser.get_method(), target_bytes, self._headers) > self._limits.max_header_bytes:
            raise head.header_too_large()

    def _forget_request(self) -> None:
        self._target_parts.clear()
        self._headers.clear()
        self._body_parts.clear()
        self._forget_unusual()

    def _forget_unusual(self) -> None:
        self._is_unusual = self._is_judged = self._is_chunked = self.expects_continue = False
        self._head_bytes = self._length = 0
        self._meter.reset()


def _refusal(error: httptools.HttpParserError) -> Refusal:
    """Return the answer to what the parser, or code of ours that it called, did not accept."""
    cause = error.__context__
    if isinstance(cause, Refusal):
        return cause
    if cause is not None and isinstance(error, httptools.HttpParserCallbackError):
        raise cause  # a defect of ours
    return head.parser_refusal(str(error))
