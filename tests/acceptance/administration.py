"""A service with an administration address, a store that can be told to fail, and a way to ask."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

from tests.harness import ServiceProcess, wait_until

CHANGE = {"X-Apidanalytics": "test"}

RESTING_LOOKS = 15
"""A tenth of a second apart: longer than from one report of a worker to the next."""


class Administration:
    """Asks the administration address of a service."""

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self.address = address
        self.headers = dict(headers or {})

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request; return (status, headers, body)."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, headers={**self.headers, **(headers or {})})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Return the JSON behind a path; it must be there."""
        status, _, body = self.request("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str) -> Any:
        """Order something; it must be carried out."""
        status, _, body = self.request("POST", path, CHANGE)
        assert status == 200, body
        return json.loads(body)

    def metrics(self) -> dict[str, float]:
        """Return every series and its value, as Prometheus reads them."""
        status, headers, body = self.request("GET", "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain")
        lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def settled_metrics(self) -> dict[str, float]:
        """Return the series once no worker has anything to report any more of what was sent before."""
        seen: list[float] = []

        def rests() -> bool:
            seen.append(self.metrics().get("apidanalytics_accepted_records_total", 0))
            return len(seen) > RESTING_LOOKS and len(set(seen[-RESTING_LOOKS:])) == 1

        wait_until(rests, pause_seconds=0.1, what="the workers have reported")
        return self.metrics()

    def wait_metric(self, name: str, at_least: float) -> None:
        """Wait until a series has reached a value: workers report once a second."""
        wait_until(lambda: self.metrics().get(name, 0) >= at_least, what=f"{name} >= {at_least}")


def administration_of(service: ServiceProcess) -> Administration:
    """Return what asks the administration address of a service."""
    return Administration(service.settings["apidanalytics_admin_listen"])
