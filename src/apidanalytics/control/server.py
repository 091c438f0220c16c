"""``control.sock``: how commands talk to the running agent. One JSON object a line asks, one line answers."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from apidanalytics.errors import NotAllowedError, NotRunningError

log = structlog.get_logger()

Request = dict[str, Any]
Answer = dict[str, Any]

MAX_REQUEST_BYTES: Final = 4 << 20
"""``flushed`` names every spool that waits, and is the longest."""


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of the socket that fits the kernel's 108 bytes, however deep the directory is."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


class ControlServer:
    """Answers commands. Only this user can connect: the socket is 0600 in a directory of 0700."""

    def __init__(self, path: Path, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; a socket that a dead agent left is replaced (the caller holds the directory's lock)."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _short(self._path) as name:
            listener.bind(name)
        self._path.chmod(0o600)
        listener.setblocking(False)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def stop(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(msgspec.json.encode(await self._reply(line)))
            writer.write(b"\n")
            await writer.drain()
        except (OSError, ValueError):
            return  # the command went away, or sent no line: nobody is left to answer
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> Answer:
        try:
            return await self._answer(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError:
            return {"error": "not a JSON object"}
        except Exception:
            log.exception(
                "control.failed", hint="a defect of ours: this command got no answer; nothing else is affected"
            )
            return {"error": "the agent could not answer; its log says why"}


def is_listened_to(path: Path) -> bool:
    """Tell whether an agent listens on this control socket, also one that does not get to answer."""
    try:
        with _short(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            connection.connect(name)
    except BlockingIOError:
        return True  # so many wait for it already
    except OSError:
        return False
    return True


def ask(path: Path, request: Request, timeout_seconds: float = 30.0) -> Answer:
    """Ask the agent behind this control socket.

    Raises:
        NotRunningError: nobody listens there, or no answer came within the time.
        NotAllowedError: somebody does, and this user may not ask.

    """
    try:
        with _short(path) as name, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_seconds)
            connection.connect(name)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except PermissionError as error:
        hint = "only the user that the service runs as may, and root"
        raise NotAllowedError(f"this user is not allowed to ask the agent at {path}: {hint}") from error
    except TimeoutError as error:
        raise NotRunningError(f"the agent at {path} has not answered within {timeout_seconds:g} s") from error
    except OSError as error:
        raise NotRunningError(f"no agent answers at {path}") from error
    if not line:
        raise NotRunningError(f"the agent at {path} went away before it answered")
    return msgspec.json.decode(line, type=dict[str, Any])
