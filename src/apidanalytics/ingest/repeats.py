"""A client that posts again on its connection sends the same header, but for the length of the body.

A header is a header, letter by letter: what the parser has accepted once means the same when it comes again in front
of a whole request. So that needs no parser. Where headers differ each time, a few tries are all that is lost.
"""

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from apidanalytics.ingest.head import find_length
from apidanalytics.ingest.http import KEEP, Channel, Exchange

TRIES: Final = 4
"""So many headers in a row are remembered in vain; then the connection is taken for one whose headers differ."""

_MAX_DIGITS: Final = 18
_CARRIAGE_RETURN: Final = ord("\r")


class Repeat(msgspec.Struct, eq=False, frozen=True, gc=False):
    """A request that may come again, with another body.

    To be used only while the parser stands exactly between two requests.
    """

    # No garbage collection: its connection lets go of it when it is gone.

    before: bytes
    """The header up to the first digit of the length of the body."""
    after: bytes
    """The header from behind the last digit, the empty line included."""
    channel: Channel
    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    """Without the length."""
    names: Mapping[bytes, bytes]

    @classmethod
    def of(cls, data: bytes, exchange: Exchange) -> Self | None:
        """Remember the header of this request, if ``data`` is all of it and nothing else; else return None.

        Its header must be a plain one (``Spellings.plain``), and ``data`` the first that came of it, but for a part of
        its first line.
        """
        end = data.find(b"\r\n\r\n")
        length = None if end < 0 else find_length(data, 0, end + 2)
        if length is None or len(data) != end + 4 + int(length[1]) or len(exchange.body) != int(length[1]):
            return None
        if exchange.ending != KEEP or exchange.names is None:
            return None
        if not data.startswith(b"%b %b" % (exchange.method, exchange.path)):
            return None  # the parser had a part of the first line before
        sent = exchange.names[b"content-length"]
        headers = {name: value for name, value in exchange.headers.items() if name != sent}
        return cls(
            before=data[: length.start(1)],
            after=data[length.end(1) : end + 4],
            channel=exchange.channel,
            method=exchange.method,
            path=exchange.path,
            headers=headers,
            names=exchange.names,
        )

    def read(self, data: bytes, arrived_at: float) -> Exchange | None:
        """Return the request that ``data`` is, if it is this one again: whole, and nothing behind it."""
        if not data.startswith(self.before):
            return None
        start = len(self.before)
        end = data.find(_CARRIAGE_RETURN, start, start + _MAX_DIGITS + 1)
        length = data[start:end]
        body_at = end + len(self.after)
        if not (length.isdigit() and data.startswith(self.after, end) and int(length) == len(data) - body_at):
            return None
        return Exchange(
            self.channel, self.method, self.path, self.headers, data[body_at:], arrived_at, KEEP, self.names
        )
