"""Believable API traffic: records of about 850 bytes with the members a gateway sends, the same in every run."""

import json
import random
import zlib
from collections.abc import Sequence
from typing import Any, Final

ORG: Final = "bench"
ENV: Final = "prod"
DEVELOPER: Final = {
    "api_product": "catalogue-standard",
    "developer_app": "storefront-web",
    "developer_email": "team-storefront@shop.example",
    "developer": "team-storefront",
}
API_KEYS: Final = tuple(f"k{number:02d}Zq8vT3mXw5LrYb7NcUe2HsJdGa4Fp9" for number in range(12))
STARTED_AT_MILLISECONDS: Final = 1_795_310_045_694

_PROXIES = ("catalogue-v2", "orders-v1", "search-v3", "payments-v1", "accounts-v2", "inventory-v1", "shipping-v1")
_PATHS = ("/v2/items/{}", "/v1/orders/{}", "/v3/search", "/v1/charge/{}", "/v2/accounts/{}/cards", "/v1/stock/{}")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "storefront-android/7.14.2 (okhttp/4.12.0; Android 14; Pixel 8)",
    "storefront-ios/7.14.0 (CFNetwork/1568.200.51; Darwin/24.1.0; iPhone15,2)",
    "python-requests/2.32.3",
)
_STATUSES = (200, 200, 200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 404, 429, 500, 502, 503)


def record(draw: random.Random, keys: Sequence[str] = API_KEYS) -> dict[str, Any]:
    """Return one record: skewed proxies, paths and keys, log-normal latencies."""
    received_at = STARTED_AT_MILLISECONDS + draw.randrange(60_000)
    target_took = int(draw.lognormvariate(3.6, 0.9)) + 1
    number = min(int(draw.paretovariate(1.1)) - 1, 5)
    path = _PATHS[number].format(draw.randrange(10_000_000))
    status = draw.choice(_STATUSES)
    return {
        "apiproxy": _PROXIES[number],
        "apiproxy_revision": str(draw.randrange(1, 30)),
        "client_id": keys[min(int(draw.paretovariate(0.8)) - 1, len(keys) - 1)],
        "client_ip": f"10.{draw.randrange(256)}.{draw.randrange(256)}.{draw.randrange(256)}",
        "client_received_start_timestamp": received_at,
        "client_received_end_timestamp": received_at + 1,
        "client_sent_start_timestamp": received_at + target_took + 2,
        "client_sent_end_timestamp": received_at + target_took + 3,
        "gateway_flow_id": f"rt-{draw.getrandbits(32):08x}-{draw.getrandbits(48):012x}-{draw.randrange(100_000)}-1",
        "request_path": path,
        "request_uri": f"https://api.shop.example{path}?page={draw.randrange(40)}&s={draw.getrandbits(32):08x}",
        "request_verb": "GET" if number != 3 else "POST",
        "response_status_code": status,
        "useragent": _AGENTS[min(int(draw.paretovariate(1.3)) - 1, 3)],
        "target_sent_start_timestamp": received_at + 1,
        "target_sent_end_timestamp": received_at + 1,
        "target_received_start_timestamp": received_at + 1 + target_took,
        "target_received_end_timestamp": received_at + 2 + target_took,
        "target_response_code": status,
        "target": "default",
        "recordType": "APIAnalytics",
    }


def bodies(records: int, *, is_gzip: bool = False, keys: Sequence[str] = API_KEYS) -> list[bytes]:
    """Return different bodies of this many records each, to be posted in turn."""
    draw = random.Random(1)
    count = max(8, 512 // records)
    plain = [_body([record(draw, keys) for _ in range(records)]) for _ in range(count)]
    return [_gzip(body) for body in plain] if is_gzip else plain


def lines(records: int, seed: int) -> bytes:
    """Return records as they lie in a spool: one a line, with what enrichment adds."""
    draw = random.Random(seed)
    added = {"organization": ORG, "environment": ENV, **DEVELOPER}
    return b"".join(_dump({**record(draw), **added}) + b"\n" for _ in range(records))


def _body(records: list[dict[str, Any]]) -> bytes:
    return _dump({"records": records})


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(6, wbits=31)
    return compressor.compress(body) + compressor.flush()
