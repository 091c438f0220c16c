"""Believable analytics records of one tenant, as real gateways send them.

What is common is common and what is rare is rare: a few proxies and paths get most calls (Zipf), latencies are
log-normal, errors come in bursts, and now and then there is a record that tests a reader's care: three members only,
nulls, numbers as text and as numbers, ``1.0``, 30-digit integers, escapes, a member twice.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random
from typing import Any, Final, TypeVar

from apidanalytics.demo.accounts import Account

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An API proxy of the play."""

    name: str
    host: str
    paths: tuple[str, ...]
    """The most called first; ``{}`` stands for a number."""
    latency_ms: float
    """Median of its target."""


CATALOGUES: Final = (
    (
        Proxy("catalog", "shop.internal", ("/v2/products/{}", "/v2/products", "/v2/search?q=caf%C3%A9&page={}"), 12),
        Proxy("cart", "shop.internal", ("/v1/carts/{}", "/v1/carts/{}/items", "/v1/carts"), 9),
        Proxy("checkout", "pay.internal", ("/v1/orders", "/v1/orders/{}", "/v1/refunds/{}"), 85),
        Proxy("identity", "id.internal", ("/oauth/token", "/oauth/userinfo", "/users/{}"), 30),
        Proxy("reviews", "shop.internal", ("/v1/products/{}/reviews", "/v1/reviews/{}"), 22),
    ),
    (
        Proxy("forecast", "wx.internal", ("/forecast/{}", "/forecast/{}/hourly", "/alerts"), 18),
        Proxy("geocode", "maps.internal", ("/geocode?q=M%C3%BCnchen", "/reverse?at={}", "/suggest?q={}"), 7),
        Proxy("tiles", "maps.internal", ("/tiles/{}.png", "/styles/{}.json"), 4),
        Proxy("routes", "maps.internal", ("/route/{}", "/matrix", "/isochrone/{}"), 140),
    ),
    (
        Proxy("accounts", "core.internal", ("/accounts/{}", "/accounts/{}/balance", "/accounts"), 40),
        Proxy("payments", "core.internal", ("/payments", "/payments/{}", "/payments/{}/status"), 160),
        Proxy("rates", "fx.internal", ("/rates/EURUSD", "/rates/{}", "/history/{}"), 6),
    ),
)
"""One catalogue for each tenant in turn."""

_VERBS: Final = ("GET", "GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT", "DELETE")
_AGENTS: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5",
    "okhttp/4.12.0",
    "python-requests/2.34.2",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Café-App/3.1 (Ünïcode; 日本語; 🛒)",
    "curl/8.14.1",
)
_UNKNOWN_KEYS: Final = ("K-revoked-2019", "K-typo", "ключ")
_ODDITIES: Final = (
    b'"dc.amount":1.0',
    b'"dc.serial":123456789012345678901234567890',
    b'"dc.ratio":1.50,"dc.big":1E+3,"dc.zero":-0.0',
    b'"dc.note":"line\\nbreak, tab\\t, quote \\", \\u2028, \\ud83d\\ude00, slash \\/"',
    b'"dc.attempt":1,"dc.attempt":2',
    b'"dc.tags":["a",null,{"depth":[1,2.50,[]]}],"dc.empty":{}',
    b'"developer_email":null',
    b'"organization":null,"environment":""',
    b'"organization":"another-org"',
)
"""Members, as tokens, that a careless copy would change."""


@cache
def zipf(count: int) -> tuple[float, ...]:
    """Return cumulative weights of ``count`` things, the first the most frequent."""
    return tuple(accumulate(1 / (rank + 1) ** 1.1 for rank in range(count)))


class RecordMaker:
    """Makes the records of one tenant. The same seed and the same instants give the same records."""

    def __init__(self, account: Account, catalogue: Sequence[Proxy], random: Random) -> None:
        self._account = account
        self._random = random
        self._proxies = catalogue
        self._keys = (*account.developers, *_UNKNOWN_KEYS)
        self._trouble: Proxy | None = None
        self._trouble_until = 0.0

    def record(self, record_id: str, now: float) -> bytes:
        """Return one record of a call that ended at ``now`` (Unix time), as JSON without line breaks."""
        self._maybe_start_trouble(now)
        dice = self._random.random()
        members = self._short(now) if dice < 0.02 else self._call(now)
        members["gateway_flow_id"] = record_id
        text = json.dumps(members, ensure_ascii=dice > 0.7, separators=(",", ":")).encode()
        if self._random.random() < 0.02:
            return text[:-1] + b"," + self._random.choice(_ODDITIES) + b"}"
        return text

    def _maybe_start_trouble(self, now: float) -> None:
        """Let one proxy's target fail for a while, now and then."""
        if now < self._trouble_until:
            return
        self._trouble = None
        if self._random.random() < 0.0005:
            self._trouble = self._pick(self._proxies)
            self._trouble_until = now + self._random.uniform(1, 3)

    def _pick(self, things: Sequence[Thing]) -> Thing:
        return self._random.choices(things, cum_weights=zipf(len(things)))[0]

    def _short(self, now: float) -> dict[str, Any]:
        """Return an error record: three members and no more."""
        ended = int(now * 1000)
        return {
            "response_status_code": self._random.choice((502, 503, 504)),
            "client_received_start_timestamp": ended - self._random.randrange(1, 3000),
            "client_received_end_timestamp": ended,
        }

    def _call(self, now: float) -> dict[str, Any]:
        proxy = self._pick(self._proxies)
        path = self._pick(proxy.paths).format(self._random.randrange(1, 50_000))
        status = self._status(proxy)
        members = {
            "apiproxy": proxy.name,
            "apiproxy_revision": self._random.choice(("7", "8", "8", "8", 8)),
            "client_ip": self._client_ip(),
            **self._timestamps(proxy, status, now),
            "request_path": path.partition("?")[0],
            "request_uri": f"https://{self._account.org}.example{path}",
            "request_verb": self._random.choice(_VERBS),
            "response_status_code": status,
            "useragent": self._pick(_AGENTS),
            "target": "default",
            "target_host": proxy.host,
            "target_url": f"https://{proxy.host}{path}",
            "target_response_code": None if status in (401, 429, 504) else status,
            "recordType": "APIAnalytics",
        }
        return members | self._caller()

    def _status(self, proxy: Proxy) -> int:
        if proxy is self._trouble and self._random.random() < 0.6:
            return self._random.choice((500, 502, 503, 503, 504))
        dice = self._random.random()
        if dice < 0.95:
            return 200 if dice < 0.9 else 201
        return self._random.choice((301, 400, 401, 404, 404, 429, 499, 500))

    def _timestamps(self, proxy: Proxy, status: int, now: float) -> dict[str, int | None]:
        """Return a call's instants in Unix milliseconds; those of the target are null when it was not called."""
        slow = 8 if proxy is self._trouble else 1
        target = int(proxy.latency_ms * slow * self._random.lognormvariate(0, 0.7))
        ended = int(now * 1000)
        received = ended - target - self._random.randrange(2, 6)
        called = status not in (401, 429)
        return {
            "client_received_start_timestamp": received,
            "client_received_end_timestamp": received + 1,
            "target_sent_start_timestamp": received + 1 if called else None,
            "target_sent_end_timestamp": received + 1 if called else None,
            "target_received_start_timestamp": received + 1 + target if called else None,
            "target_received_end_timestamp": received + 1 + target if called else None,
            "client_sent_start_timestamp": ended - 1,
            "client_sent_end_timestamp": ended,
        }

    def _client_ip(self) -> str:
        address = f"203.0.113.{self._random.randrange(1, 255)}"
        return address if self._random.random() < 0.9 else f"{address}, 10.1.2.3, 10.0.0.7"

    def _caller(self) -> dict[str, Any]:
        """Return who called: mostly a known key, sometimes an unknown one, none, or an empty one."""
        dice = self._random.random()
        if dice < 0.08:
            return {}
        if dice < 0.1:
            return {"client_id": self._random.choice(("", None))}
        return {"client_id": self._pick(self._keys)}
