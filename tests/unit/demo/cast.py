"""Two tenants with equal ids of their own, and records of theirs, for the tests of the demonstration."""

import gzip
import json
from pathlib import Path

from apidanalytics import layout
from apidanalytics.demo import accounts

ACCOUNTS = accounts.parse(
    {
        "scopes": [
            {"id": "scope-a", "org": "acme", "env": "prod", "tenant_id": "t1"},
            {"id": "scope-a2", "org": "acme", "env": "prod", "tenant_id": "t1"},
            {"id": "scope-g", "org": "globex", "env": "prod", "tenant_id": "t2"},
        ],
        "api_keys": [
            {"key": "k1", "tenant_id": "t1", "product": "gold", "app": "shop", "developer": "dee", "email": "d@acme"},
            {"key": "k2", "tenant_id": "t1", "product": "gold", "app": "company-app", "developer": None},
            {"key": "k1", "tenant_id": "t2", "product": "tin", "app": "map", "developer": "gus", "email": "g@globex"},
        ],
    }
)
ACME, GLOBEX = ACCOUNTS
START = 1_795_310_040

K1 = (
    b'"organization":"acme","environment":"prod",'
    b'"api_product":"gold","developer_app":"shop","developer_email":"d@acme","developer":"dee"'
)
"""What is added to a record of acme with this key."""


def record(number: int, more: str = '"client_id":"k1"') -> bytes:
    """Return a record as sent."""
    return f'{{"gateway_flow_id":"id-{number}","client_received_start_timestamp":1.0,"n":3e2,{more}}}'.encode()


def delivered(sent: bytes, added: bytes = K1) -> bytes:
    """Return the line that a correct service makes of it."""
    return sent[:-1] + b"," + added + b"}"


def put(lake: Path, tenant: str, lines: list[bytes], n: int = 1) -> Path:
    """Lay an object with these lines into the lake, in its place."""
    name = layout.FileName(hash="00ff", start_at=START, end_at=START + 2, instance_id="i", n=n)
    path = lake / tenant / layout.format_object_path(str(name), START)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines)))
    return path


def changed(line: bytes, **members: object) -> bytes:
    """Return a line with some members set to other values."""
    return json.dumps(json.loads(line) | members, separators=(",", ":")).encode()
