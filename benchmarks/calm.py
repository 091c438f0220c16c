"""A calm client: posts one record at a time, now and then, and prints how long each answer took.

``python -m benchmarks.calm PORT SCOPE SECONDS`` is a process of its own, so that nothing but the service makes it wait.
"""

import json
import socket
import sys
import time
from typing import Final

from benchmarks import traffic
from benchmarks.wrk import PATH

CONNECTIONS: Final = 4
"""Posted on in turn, so that every worker is met."""
PAUSE_SECONDS: Final = 0.008


class Wire:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, request: bytes) -> int:
        """Send a request and return the status of its answer."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self._socket.recv(65536)
            if not piece:
                return 0
            answer += piece
        return int(answer[9:12])


def main(port: int, scope: str, seconds: float) -> None:
    wires = [Wire(port) for _ in range(CONNECTIONS)]
    head = f"POST {PATH}/{scope} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in traffic.bodies(1)]
    took, statuses = [], {}
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        status = wires[len(took) % CONNECTIONS].post(requests[len(took) % len(requests)])
        took.append(time.monotonic() - began)
        statuses[status] = statuses.get(status, 0) + 1
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({"milliseconds": [round(one * 1e3, 3) for one in took], "statuses": statuses}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
