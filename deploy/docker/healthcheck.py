"""Is the service in this container alive? Exit code 0 and 1, for HEALTHCHECK and for exec probes.

``healthcheck.py [PATH] [ADDRESS]``: ``/health`` (it lives) or ``/ready`` (it takes batches); ``127.0.0.1:9000``.
It imports little, since it starts every few seconds.
"""

import http.client
import sys


def main(path: str = "/health", address: str = "127.0.0.1:9000") -> int:
    """Ask, and print the answer, which docker and Kubernetes show."""
    connection = http.client.HTTPConnection(address, timeout=4)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        print(answer.status, answer.read(500).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as error:
        print(f"{address}{path}: {error}")
        return 1
    return int(answer.status != 200)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
