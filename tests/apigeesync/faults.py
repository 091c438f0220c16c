"""What goes wrong, on demand: a queue of faults for each endpoint, each used up by one request (or by all of them).

``faults.add("snapshots", status(500))``, ``faults.add("data", cut(1000), times=3)``, ``faults.clear()``. The endpoints:
``token``, ``snapshots`` (the redirect), ``data`` (the file behind it), ``changes``.
"""

import json
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

ENDPOINTS = ("token", "snapshots", "data", "changes")
HTML = b"<html><head><title>500</title></head><body><h1>Internal Server Error</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What will be sent, and how."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path = b""
    is_chunked: bool = False
    delay_seconds: float = 0.0
    """Silence before the first byte."""
    cut_at: int | None = None
    """The connection breaks after so many bytes of the body; -1: before the head."""
    bytes_per_second: float = math.inf


Fault: TypeAlias = Reply | Callable[[Reply], Reply]
"""Sent instead of the real answer, or made of it."""


class Faults:
    """Which faults are due. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, deque[Fault]] = {endpoint: deque() for endpoint in ENDPOINTS}
        self._lasting: dict[str, Fault] = {}

    def add(self, endpoint: str, fault: Fault, *, times: float = 1) -> None:
        """Spoil the next ``times`` requests to this endpoint; ``math.inf``: all until ``clear``."""
        with self._lock:
            if times == math.inf:
                self._lasting[endpoint] = fault
            else:
                self._due[endpoint].extend([fault] * int(times))

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._lasting.clear()
            for due in self._due.values():
                due.clear()

    def take(self, endpoint: str) -> Fault | None:
        """Return the fault for the request that has come."""
        with self._lock:
            due = self._due[endpoint]
            return due.popleft() if due else self._lasting.get(endpoint)


# -- instead of an answer


def status(code: int, body: bytes = HTML, content_type: str = "text/html") -> Reply:
    """Answer with a bare status; 401, 304, 500 with HTML ..."""
    return Reply(status=code, headers={"Content-Type": content_type}, body=b"" if code == 304 else body)


def error(code: int, name: str, text: str = "", description: str = "") -> Reply:
    """Answer with an error in the form of the servers, such as ``error(400, "SNAPSHOT_TOO_OLD")``."""
    members = {"code": name, "error": text, "description": description}
    return document({key: value for key, value in members.items() if value}, code)


def document(value: Any, code: int = 200) -> Reply:
    """Answer with this JSON document."""
    body = json.dumps(value, indent=2).encode()
    return Reply(status=code, headers={"Content-Type": "application/json"}, body=body)


def garbage(body: bytes = b"\x00\xff{]not json, not SQLite" * 40) -> Reply:
    """Answer 200 with nonsense."""
    return Reply(headers={"Content-Type": "application/json"}, body=body)


def hang_up() -> Reply:
    """Close the connection without a byte."""
    return Reply(cut_at=-1)


def silence(seconds: float = math.inf) -> Reply:
    """Say nothing, then hang up."""
    return Reply(delay_seconds=seconds, cut_at=-1)


# -- made of the real answer


def slow(seconds: float) -> Fault:
    """Answer well, but late."""
    return lambda reply: replace(reply, delay_seconds=seconds)


def trickle(bytes_per_second: float) -> Fault:
    """Answer well, but slowly."""
    return lambda reply: replace(reply, bytes_per_second=bytes_per_second)


def lasting(seconds: float) -> Fault:
    """Answer well, but take about so long for it, without standing still."""
    return lambda reply: replace(reply, bytes_per_second=max(len(_bytes(reply)), 1) / seconds)


def cut(at: int) -> Fault:
    """Break the connection after so many bytes of the body."""
    return lambda reply: replace(reply, cut_at=at)


def shortened(at: int) -> Fault:
    """End the body early as if that were all of it; the headers (the ETag) are those of the whole."""
    return lambda reply: replace(reply, body=_bytes(reply)[:at])


def headers(**values: str) -> Fault:
    """Answer with other headers (``ETag=...``, ``Transicator_Snapshot_TXID=...``); an empty one is left out."""
    changed = {name.replace("_", "-"): value for name, value in values.items()}

    def apply(reply: Reply) -> Reply:
        merged = {**reply.headers, **changed}
        return replace(reply, headers={name: value for name, value in merged.items() if value})

    return apply


def edited(edit: Callable[[Any], Any]) -> Fault:
    """Answer with the JSON document that ``edit`` makes of the real one (it may also change that one in place)."""

    def apply(reply: Reply) -> Reply:
        value = json.loads(_bytes(reply))
        changed = edit(value)
        return replace(reply, body=json.dumps(value if changed is None else changed, indent=2).encode())

    return apply


def rewritten(edit: Callable[[bytes], bytes]) -> Fault:
    """Answer with other bytes; the headers stay."""
    return lambda reply: replace(reply, body=edit(_bytes(reply)))


def _bytes(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else reply.body.read_bytes()
