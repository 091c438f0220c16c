"""What the gateways send: batch n of a seed is always the same, and so is what must become of its records.

A record is one line of compact JSON that begins with ``{"id":"<batch>.<record>"``. What the collector adds to it is
written down here once more, from the documentation.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.floods import FIRST_NUMBER, Flood, What, flood_behind
from tests.faults.tenants import (
    CHANGING_KEY,
    FLEETING,
    STEADY_KEY,
    TENANTS,
    WANDERER,
    Tenant,
    developer_of,
    wanderers_tenant,
)

GOOD = (200, "")
LARGE = 30_000
NOBODYS_PATH = "/analytics/nobody-has-this"
KEYS = (None, None, STEADY_KEY, CHANGING_KEY, "nobody-knows", "")
FLOODING_KEYS = (None, STEADY_KEY, "nobody-knows")
"""Not the one that changes: the lines of a flood are to be judged quickly."""


@dataclass(frozen=True)
class Record:
    text: bytes
    client_id: str | None
    has_tenant: bool
    has_developer: bool

    def line(self, tenant: Tenant, generation: int) -> bytes:
        """Return the line that the lake must hold, without its line feed."""
        added = [] if self.has_tenant else [("organization", tenant.org), ("environment", tenant.env)]
        if self.client_id:
            names = ("api_product", "developer_app", "developer_email", "developer")
            values = developer_of(tenant, self.client_id, generation)
            added += [
                (name, value)
                for name, value in zip(names, values, strict=True)
                if not (self.has_developer and name == "developer")
            ]
        tail = "".join(f',"{name}":{json.dumps(value)}' for name, value in added)
        return self.text[:-1] + tail.encode() + b"}"


@dataclass(frozen=True)
class Batch:
    number: int
    path: str
    body: bytes
    headers: dict[str, str]
    is_chunked: bool
    answers: frozenset[tuple[int, str]]
    """(status, errorCode) that it may get, beside those of a service in trouble."""
    records: tuple[Record, ...]
    tenant: Tenant | None
    """None: whose it is depends on the generation of the scope data."""

    def lines(self, tenant: Tenant, generation: int) -> list[bytes]:
        return [record.line(tenant, generation) for record in self.records]

    def whose(self, generation: int) -> Tenant:
        return self.tenant or wanderers_tenant(generation)

    @property
    def depends_on_generation(self) -> bool:
        return self.tenant is None or any(record.client_id == CHANGING_KEY for record in self.records)


def batch_of(seed: int, number: int) -> Batch:
    """Return a batch. The same number of the same seed gives the same one, always."""
    draw = random.Random(f"{seed}/{number}")
    if number >= FIRST_NUMBER:
        return _flooding(draw, number, flood_behind(seed, number))
    tenant: Tenant | None = draw.choice(TENANTS)
    records = tuple(_records(draw, number, draw.choice((1, 1, 1, 2, 5, 20, 60)), KEYS))
    members: list[tuple[str, bytes]] = [("records", b"[" + b",".join(record.text for record in records) + b"]")]
    answers, headers = {GOOD}, {"Content-Type": "application/json"}
    form = draw.choices(("scope", "named", "wanders", "fleeting", "bad"), (55, 20, 8, 7, 10))[0]
    assert tenant is not None
    path = f"/analytics/{tenant.scope}"
    if form == "named":
        path = "/analytics"
        names = [("organization", _text(tenant.org)), ("environment", _text(tenant.env))]
        members = draw.choice(([*names, *members], [*members, *names]))
    elif form == "wanders":
        path, tenant = f"/analytics/{WANDERER}", None
    elif form == "fleeting":
        path, tenant = f"/analytics/{FLEETING}", TENANTS[2]
        answers.add((400, "UNKNOWN_SCOPE"))
    body = b"{" + b",".join(_text(name) + b":" + value for name, value in members) + b"}"
    if form == "bad":
        body, answers = _spoil(draw, body, path, headers)
        path = headers.pop("path", path)
    if draw.random() < 0.4:
        body = gzip.compress(body, 1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Batch(
        number=number,
        path=path,
        body=body,
        headers=headers,
        is_chunked=draw.random() < 0.2,
        answers=frozenset(answers),
        records=records,
        tenant=tenant,
    )


def _flooding(draw: random.Random, number: int, flood: Flood) -> Batch:
    """Return a batch of a flood: plain, and either stored or refused."""
    records = tuple(_records(draw, number, flood.records, FLOODING_KEYS))
    body = b'{"records":[' + b",".join(record.text for record in records) + b"]}"
    path, answer = f"/analytics/{flood.tenant.scope}", GOOD
    if flood.what is What.UNKNOWN:
        path, answer = NOBODYS_PATH, (400, "UNKNOWN_SCOPE")
    elif flood.what is What.BROKEN:
        body, answer = body[:-1], (400, "BAD_DATA")
    return Batch(
        number=number,
        path=path,
        body=body,
        headers={"Content-Type": "application/json"},
        is_chunked=False,
        answers=frozenset({answer}),
        records=records,
        tenant=flood.tenant,
    )


def _text(value: str) -> bytes:
    return json.dumps(value).encode()


def _records(draw: random.Random, number: int, amount: int, keys: tuple[str | None, ...]) -> Iterator[Record]:
    for index in range(amount):
        client_id = draw.choice(keys)
        has_tenant, has_developer = draw.random() < 0.15, draw.random() < 0.1
        filler = draw.randbytes(draw.choice((10, 60, 60, 200))).hex()
        if draw.random() < 0.005:
            filler = draw.randbytes(LARGE).hex()
        members = [
            f'"id":"{number}.{index}"',
            f'"client_received_start_timestamp":{draw.choice(("1486406248277", "1486406248277.0", "1.486e12"))}',
            f'"number":{draw.choice(("1.0", "123456789012345678901234567890", "-0", "1E+2", "0.10"))}',
            f'"text":{draw.choice((_ODD, _PLAIN))}',
            f'"filler":"{filler}"',
        ]
        if client_id is not None:
            members.append(f'"client_id":{json.dumps(client_id)}')
        if has_tenant:
            members.append('"organization":"of my own","environment":"as sent"')
        if has_developer:
            members.append('"developer":"as sent"')
        yield Record(("{" + ",".join(members) + "}").encode(), client_id, has_tenant, has_developer)


_ODD = '"\\u00e9 é 😀 \\/ \\n {},[] \\"id\\":"'
_PLAIN = '"GET /v1/orders"'


def _spoil(draw: random.Random, body: bytes, path: str, headers: dict[str, str]) -> tuple[bytes, set[tuple[int, str]]]:
    """Return a body, and set headers, that must be refused; its last record is what is wrong, if any is."""
    how = draw.randrange(5)
    if how == 0:
        return body[:-2] + b',{"id":"last"}]}', {(400, "MISSING_FIELD")}
    if how == 1:
        return body[:-1], {(400, "BAD_DATA")}
    if how == 2:
        headers["Content-Type"] = "text/plain"
        return body, {(400, "UNSUPPORTED_CONTENT_TYPE")}
    if how == 3:
        headers["path"] = NOBODYS_PATH
        return body, {(400, "UNKNOWN_SCOPE")}
    return body[:-2] + b',{"client_received_start_timestamp":"1"}]}', {(400, "BAD_DATA")}
