"""The pipe between the agent and one worker: a JSON message a line, in both directions.

Its end is also a message: a worker that sees it knows that the agent is gone, and the other way round.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Final, Self, cast

import msgspec

Message = dict[str, Any]

MAX_MESSAGE_BYTES = 1 << 20
"""What a worker says is never longer. The agent's messages have no limit: tokens and shares are as many as they are."""
DETACH_SECONDS: Final = 5.0
"""How long a message that is on its way, in either direction, may take when this end is let go."""


class Channel(asyncio.Protocol):
    """One end of the pipe."""

    def __init__(
        self, on_message: Callable[[Message], None], on_lost: Callable[[], None], max_message_bytes: int | None
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._max_message_bytes = max_message_bytes
        self._transport: asyncio.WriteTransport | None = None
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._is_leaving = False

    @classmethod
    async def open(
        cls,
        end: socket.socket,
        on_message: Callable[[Message], None],
        on_lost: Callable[[], None],
        max_message_bytes: int | None = MAX_MESSAGE_BYTES,
    ) -> Self:
        """Take one end of a socket pair into the running loop; close it when a message is longer than this."""
        loop = asyncio.get_running_loop()
        end.setblocking(False)
        _, channel = await loop.create_unix_connection(lambda: cls(on_message, on_lost, max_message_bytes), sock=end)
        return channel

    def send(self, message: Message) -> None:
        """Send a message; nothing happens when the other side is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(message) + b"\n")

    async def detach(self) -> socket.socket | None:
        """Let go of this end and return it, so that the other one notices nothing; None when it is closed.

        That is between two messages: what was sent is written by then, and what has begun to come is read. Where that
        takes longer than ``DETACH_SECONDS`` the other side hangs; it finds the pipe at its end then.
        """
        if self._transport is None or self._transport.is_closing():
            return None
        transport, gone = self._transport, asyncio.Event()
        end = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._is_leaving, self._on_lost = True, gone.set
        self._leave_between_messages()
        try:
            async with asyncio.timeout(DETACH_SECONDS):
                await gone.wait()
        except TimeoutError:
            transport.abort()
            end.shutdown(socket.SHUT_RDWR)
        return end

    def close(self) -> None:
        """Close this end; the other one notices."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not of asyncio's class.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on every complete line."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            line = b"".join((*self._partial, end))
            self._partial, self._partial_bytes = [], 0
            self._on_message(msgspec.json.decode(line))
        self._partial.append(rest)
        self._partial_bytes += len(rest)
        if self._max_message_bytes is not None and self._partial_bytes > self._max_message_bytes:
            self.close()
        if self._is_leaving:
            self._leave_between_messages()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        """Tell the owner."""
        self._transport = None
        self._on_lost()

    def _leave_between_messages(self) -> None:
        if not self._partial_bytes:
            self.close()  # which reads no more, and ends once all is written
