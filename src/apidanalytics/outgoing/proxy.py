"""The forward proxy for outgoing calls (``configfwdproxy_*``)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A forward proxy."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.scheme}://{self.host}:{self.port})"

    def authorization(self) -> dict[str, str]:
        """Return the header with the credentials, if there are any."""
        if not self.user:
            return {}
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {credentials}"}


def addressed(proxy: Proxy | None, target: URL, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return aiohttp's arguments for headers and proxy. A proxy reads all headers of http, but of https its own."""
    if proxy is None:
        return {"headers": headers}
    url = URL.build(scheme=proxy.scheme, host=proxy.host, port=proxy.port)
    account = proxy.authorization()
    if target.scheme == "http":
        return {"headers": {**headers, **account}, "proxy": url}
    return {"headers": headers, "proxy": url, "proxy_headers": account}
