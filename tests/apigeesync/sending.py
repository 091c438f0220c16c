"""Puts a reply on the wire, whole or spoiled, and picks the media type that a client asks for."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from aiohttp import web

from tests.apigeesync.faults import Reply

_PIECE_BYTES = 64 << 10


def negotiate(accept: str, offered: Sequence[str]) -> str | None:
    """Return which of the media types a client likes best; None when it takes none of them."""
    if accept.strip() in {"", "*", "*/*"}:
        return offered[0]
    wishes = [(item.partition(";")[0].strip(), _weight(item)) for item in accept.split(",")]
    for wish, _ in sorted(wishes, key=lambda wish: -wish[1]):
        for media_type in offered:
            if fnmatchcase(media_type, wish):
                return media_type
    return None


def _weight(item: str) -> float:
    _, is_weighted, weight = item.partition("q=")
    return float(weight) if is_weighted else 1.0


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Send it; the connection is gone afterwards when the reply says that it breaks."""
    if reply.delay_seconds:
        await _sleep(reply.delay_seconds)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    if reply.cut_at == -1:
        return _break(request, response)
    if not reply.is_chunked and isinstance(reply.body, bytes):
        response.content_length = len(reply.body)
    try:
        return await _send_body(request, response, reply)
    except ConnectionError:  # the client went away, which is its right
        return response


async def _send_body(request: web.Request, response: web.StreamResponse, reply: Reply) -> web.StreamResponse:
    await response.prepare(request)
    for piece in _pieces(reply):
        await response.write(piece)
        if reply.bytes_per_second < math.inf:
            await asyncio.sleep(len(piece) / reply.bytes_per_second)
    if reply.cut_at is not None:
        return _break(request, response)
    await response.write_eof()
    return response


def _pieces(reply: Reply) -> Iterator[bytes]:
    size = _PIECE_BYTES if reply.bytes_per_second == math.inf else max(1, int(reply.bytes_per_second / 20))
    left = math.inf if reply.cut_at is None else reply.cut_at
    for piece in _whole_pieces(reply, size):
        yield piece[: int(min(left, len(piece)))]
        left -= len(piece)
        if left <= 0:
            return


def _whole_pieces(reply: Reply, size: int) -> Iterator[bytes]:
    if isinstance(reply.body, bytes):
        yield from (reply.body[at : at + size] for at in range(0, len(reply.body), size))
        return
    with reply.body.open("rb") as file:
        while piece := file.read(size):
            yield piece


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 1e6))


def _break(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close() if response.prepared else request.transport.abort()
    return response
