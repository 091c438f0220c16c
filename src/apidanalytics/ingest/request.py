"""From bytes to requests: httptools (llhttp), and the checks it leaves to us.

llhttp refuses what is malformed or can be read in two ways (both Content-Length and Transfer-Encoding, two lengths,
folded lines, NUL, bare CR or LF, bad chunks). Found by experiment, and dealt with here:

* it accepts HTTP/2.0 and HTTP/0.9 request lines, ``Transfer-Encoding: gzip, chunked``, chunked HTTP/1.0, no ``Host``;
* it has no limits; a header that is incomplete is kept, and grows with each piece;
* trailers are reported like headers;
* a request that asks for an upgrade completes at once, without its body, and then ``HttpParserUpgrade`` is raised;
* an exception in a callback comes out of ``feed_data`` as the context of an ``HttpParserCallbackError``;
* it cannot stop between two requests, so what was read is fed in pieces that end where a request does (``feed_next``).

A call from the parser into Python is what costs most here. So it puts target, headers and parts of the body into
containers by their own methods, and only a complete request reaches code of ours. Such code checks a header before
its body only if they do not arrive together.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import httptools

from apidanalytics.errors import Refusal
from apidanalytics.ingest import head, refusals
from apidanalytics.ingest.body import BodyMeter
from apidanalytics.ingest.http import KEEP, Channel, Exchange
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.spellings import END, Spellings

SMALL_BYTES: Final = 4096
"""Up to so many bytes are fed in one go: they cannot hold enough requests, or header, to do harm."""
CHUNKED_PIECE_BYTES: Final = 16 * 1024
"""Within a chunked body, whose end is not known beforehand, a piece has at most this size."""
PARSER_ERRORS: Final = (httptools.HttpParserError, httptools.HttpParserUpgrade)
"""What the parser raises."""
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
        "_head",
        "_head_bytes",
        "_headers",
        "_is_unusual",
        "_limits",
        "_meter",
        "_parser",
        "_plain_names",
        "_spellings",
        "deliver",
        "deliver_unusual",
        "expects_continue",
        "is_between_requests",
        "on_body",
        "on_header",
        "on_headers_complete",
        "on_url",
        "parse",
        "small_bytes",
        "target_parts",
    )

    def __init__(
        self,
        limits: HttpLimits,
        spellings: Spellings,
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
        self.target_parts: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._body_parts: list[bytes] = []
        # The parser's callbacks. Of several headers of one name the first counts; llhttp refuses a second length, and
        # any coding after ``chunked``.
        self.on_url = self.target_parts.append
        self.on_header = self._headers.setdefault
        self.on_headers_complete = partial(self._headers.setdefault, END, b"")
        self.on_body = self._body_parts.append
        self._parser = httptools.HttpRequestParser(self)
        self.parse = self._parser.feed_data
        self._meter = BodyMeter(limits, self._body_parts)
        self.is_between_requests = True
        self.expects_continue = False
        """Whether the client waits for 100 Continue before it sends the body."""
        # What follows is about a request that is not complete, or not plain.
        self._is_unusual = False  # it came in several pieces, or in a large one
        self._head_bytes = 0  # of an incomplete header
        self._head: head.Head | None = None  # what its header means

    @property
    def method(self) -> bytes:
        """The method of the request being read; empty while it is not known."""
        return self._parser.get_method() if self.target_parts else b""

    @property
    def body_bytes(self) -> int:
        """Bytes of the incomplete body, as of the last ``feed``."""
        return self._meter.size

    @property
    def is_within_body(self) -> bool:
        """Whether the header has been read and the body, or the rest of it, is to come."""
        return END in self._headers

    def feed(self, piece: bytes | memoryview) -> None:
        """Parse the next bytes, up to ``small_bytes`` of them; a caller in a hurry does the same by itself.

        Raises:
            Refusal: The request cannot be accepted; the connection must close after the answer.

        """
        self.is_between_requests = False
        try:
            self.parse(piece)
        except PARSER_ERRORS as error:
            trouble = error
        else:
            if self.target_parts or not self.is_between_requests:
                self.look_closer(len(piece))
            return
        self.recover(trouble, piece)

    def feed_next(self, data: bytes, start: int) -> int:
        """Parse the next piece of a larger read, from ``start``, and return where it ends.

        At most a few requests are completed by one piece. Raises as ``feed``.
        """
        if start == 0 and self.is_between_requests and head.is_one_request(data, self.small_bytes, self._limits):
            self.feed(data)
            return len(data)
        end = min(self._piece_end(data, start), len(data))
        if end - start > self.small_bytes:
            self._is_unusual = True
        self.feed(memoryview(data)[start:end])
        return end

    def _piece_end(self, data: bytes, start: int) -> int:
        """Return up to where ``data`` may be fed: a piece ends where a header does, or a request."""
        known = self._head
        if known is not None and not known.is_chunked:
            return start + known.length - self.body_bytes
        if start == 0 and not self.is_between_requests:
            return 3  # an empty line of which a part came before is complete by then
        empty_line = data.find(b"\r\n\r\n", max(start - 3, 0))
        end = len(data) if empty_line < 0 else empty_line + 4
        return end if known is None else min(end, start + CHUNKED_PIECE_BYTES)

    def on_message_complete(self) -> None:
        """Deliver a request; the parser calls this."""
        headers = self._headers.copy()
        names = self._plain_names(tuple(headers))
        parser = self._parser
        if names is not None and not self._is_unusual and parser.should_keep_alive():
            ending = KEEP  # HTTP/1.1: no other version keeps a connection without saying so
            deliver = self.deliver
        else:
            found = self._complete_unusual()
            if found is None:
                return
            names = found.names
            ending = found.ending
            deliver = self.deliver_unusual
        path = self.target_parts[0]
        method = parser.get_method()
        if QUESTION_MARK in path or path[0] != SLASH:
            path = head.path_of(method, path)
        parts = self._body_parts
        exchange = Exchange(self._channel, method, path, headers, b"".join(parts), self._arrival_time(), ending, names)
        self.target_parts.clear()
        self._headers.clear()
        parts.clear()
        self.is_between_requests = True
        deliver(exchange)

    # The uncommon: what does not arrive in one piece, or needs a closer look.

    def _complete_unusual(self) -> head.Head | None:
        """Look closer at a request that is complete; None if it is not, because the parser left out its body."""
        found = self._head or self._judge()
        if self._parser.should_upgrade():
            return None
        if found.is_chunked and sum(map(len, self._body_parts)) > self._limits.max_body_bytes:
            raise refusals.too_large()
        self.target_parts[:] = [b"".join(self.target_parts)]
        self._forget_unusual()
        return found

    def _judge(self) -> head.Head:
        """Find out from the header how the request goes on."""
        parser = self._parser
        headers = self._headers
        if self._is_unusual:
            head.check_size(parser.get_method(), sum(map(len, self.target_parts)), headers, self._limits)
        names = self._spellings.names(tuple(headers))
        version = parser.get_http_version()
        return head.judge(version, names, headers, keeps_alive=parser.should_keep_alive(), limits=self._limits)

    def recover(self, trouble: Exception, piece: bytes | memoryview) -> None:
        """Go on after what ``parse`` raised, if the request can be read in another way.

        Not to be called while that exception is handled: other ones would lose their causes.

        Raises:
            Refusal: It cannot.

        """
        if isinstance(trouble, httptools.HttpParserError):
            raise _refusal(trouble) from None
        self._read_again_without_upgrade(piece[trouble.args[0] :])

    def _read_again_without_upgrade(self, rest: bytes | memoryview) -> None:
        """Read the same request as an ordinary one: Java's client, among others, asks for h2c, with a body."""
        parser = self._parser
        target = b"".join(self.target_parts)
        head.check_method(parser.get_method())
        again = head.render_without_upgrade(parser.get_method(), target, parser.get_http_version(), self._headers)
        for collected in (self.target_parts, self._headers, self._body_parts):
            collected.clear()
        self._forget_unusual()
        self._is_unusual = True
        self._parser = httptools.HttpRequestParser(self)
        self.parse = self._parser.feed_data
        self.feed(again)
        self.feed(rest)

    def look_closer(self, piece_bytes: int) -> None:
        """Hold what is there of an incomplete request against the limits.

        Raises:
            Refusal: It is over one.

        """
        self.is_between_requests = False
        if not self.is_within_body:
            self._measure_head(piece_bytes)
            return
        self._is_unusual = True
        if self._head is None:
            self._head = self._judge()
            self.expects_continue = self._head.expects_continue
        if self._head.is_chunked:
            self._meter.measure_chunked(piece_bytes)
        else:
            self._meter.measure()

    def _measure_head(self, piece_bytes: int) -> None:
        # A first piece that is small may hold the end of another request, too; the size of the whole header is exact.
        if self._is_unusual or piece_bytes > self.small_bytes:
            self._head_bytes += piece_bytes
        self._is_unusual = True
        if sum(map(len, self.target_parts)) > self._limits.max_target_bytes:
            raise refusals.target_too_long()
        if self._head_bytes > self._limits.max_header_bytes:
            raise refusals.header_too_large()

    def _forget_unusual(self) -> None:
        self._is_unusual = self.expects_continue = False
        self._head = None
        self._head_bytes = 0
        self._meter.reset()


def _refusal(error: httptools.HttpParserError) -> Refusal:
    """Return the answer to what the parser, or code of ours that it called, did not accept."""
    cause = error.__context__
    if isinstance(cause, Refusal):
        return cause
    if cause is not None and isinstance(error, httptools.HttpParserCallbackError):
        raise cause  # a defect of ours
    return refusals.from_parser(str(error))
