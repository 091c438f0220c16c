"""A request that waits for its answer, and the answer: what a handler of the HTTP server sees.

The server (``listener``) knows nothing of analytics. It is given one synchronous ``Handler``, calls it with an
``Exchange`` for every complete request, and the handler answers at once or later::

    def handler(exchange: Exchange) -> None:
        exchange.respond(Response(200))
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol

import msgspec

KEEP: Final = 0
"""The connection stays open after the answer."""
KEEP_SAID: Final = 1
"""As ``KEEP``, and the answer says so: an HTTP/1.0 client would not know otherwise."""
CLOSE: Final = 2
"""The answer says that the connection closes, and then it does."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. One that is given often is best made once and used again: its header is rendered here."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Beside ``Content-Type`` and ``Content-Length``, which every answer has."""
    head: bytes = field(init=False, repr=False, compare=False)
    """The status line and the header lines, up to those that depend on the connection and the time."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", _render_head(self))


def _render_head(response: Response) -> bytes:
    lines = [
        b"HTTP/1.1 %d %s" % (response.status, _phrase(response.status)),
        b"Content-Type: application/json; charset=UTF-8",
        b"Content-Length: %d" % len(response.body),
        *(name + b": " + value for name, value in response.headers),
        b"",
    ]
    return b"\r\n".join(lines)


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


NO_ANSWER: Final = Response(444, b"never sent")
"""Stands in an exchange for: close the connection instead of answering."""


def render_tails(date: str) -> tuple[bytes, bytes, bytes]:
    """Return how a header ends, for ``KEEP``, ``KEEP_SAID`` and ``CLOSE``; ``date`` in the form of RFC 9110."""
    dated = b"Date: %s\r\n" % date.encode()
    return (
        dated + b"\r\n",
        dated + b"Connection: keep-alive\r\n\r\n",
        dated + b"Connection: close\r\n\r\n",
    )


class Channel(Protocol):
    """The connection an exchange came from."""

    @property
    def is_lost(self) -> bool:
        """Whether no answer can be sent any more."""

    def answer_ready(self, exchange: "Exchange") -> None:
        """Take note that this exchange has its answer: it is sent once all earlier ones were."""


class Exchange(msgspec.Struct, eq=False, gc=False):
    """One complete request and the place for its answer.

    Answers may be given in any order, from the thread of the event loop; they are sent in the order of the requests.
    Only the first one counts. An answer for a connection that is gone is dropped.
    """

    # A Struct, because one is made per request: in a quarter of the time of a plain class. It needs no garbage
    # collection: its connection lets go of it once it is answered or gone.

    channel: Channel
    method: bytes
    path: bytes
    """The target without its query; not percent-decoded."""
    headers: Mapping[bytes, bytes]
    """Read them with ``header``. Content-Length may be missing: the body is all there."""
    body: bytes
    """As received: still compressed if the client did so, but no longer chunked. A handler that has read it may put
    ``b""`` here, so that its memory need not wait for the answer."""
    arrived_at: float
    """Unix time at which the whole request had been read."""
    ending: int
    """``KEEP``, ``KEEP_SAID`` or ``CLOSE``: what becomes of the connection after the answer."""
    names: Mapping[bytes, bytes] | None = None
    """From lower-case header names to those in ``headers``; None if they are lower-case there."""
    answer: Response | None = None
    """What was responded; None while that is open."""
    body_bytes: int = 0
    """Length of the body as received; it counts as in flight until the answer."""
    weight: int = 1
    """For how many ordinary requests it counts when it is refused."""
    is_held_back: bool = False
    """Whether it was held back for the sake of others."""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of the header of this lower-case name, the first if there are several; None if absent."""
        sent = name if self.names is None else self.names.get(name)
        value = None if sent is None else self.headers.get(sent)
        return value and value.rstrip(b" \t")

    @property
    def is_gone(self) -> bool:
        """Whether the client can no longer be answered."""
        return self.channel.is_lost

    def respond(self, response: Response) -> None:
        """Answer, once."""
        if self.answer is None:
            self.answer = response
            self.channel.answer_ready(self)

    def abort(self) -> None:
        """Close the connection without an answer, once earlier requests on it have theirs."""
        self.respond(NO_ANSWER)

    def __repr__(self) -> str:
        state = "open" if self.answer is None else f"answered {self.answer.status}"
        return f"<Exchange {self.method.decode()} {self.body_bytes} bytes, {state}>"


Work = Iterator[None]
"""What a request takes, in steps, between which others have their turn."""

Handler = Callable[[Exchange], Work | None]
"""Called on the event loop for every complete request; it must not block, and may answer later.

Of an exchange that ``is_held_back`` it may return what is left to do, for whoever calls it to go through."""
