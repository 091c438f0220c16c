"""What the gateways send: batch n of a seed is always the same, and so is what must become of its records.

A record is one line of compact JSON that begins with ``{"id":"<batch>.<record>"``. What the collector adds to it is
written down here once more, from the documentation.
"""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

GOOD = (200, "")
SMALL, LARGE = 1_500, 30_000


@dataclass(frozen=True)
class Tenant:
    org: str
    env: str
    scope: str
    tenant_id: str

    @property
    def name(self) -> str:
        return f"{self.org}~{self.env}"


TENANTS = (
    Tenant("acme", "prod", "5c1d4a02-acme-prod", "t-1"),
    Tenant("acme", "test", "5c1d4a02-acme-test", "t-2"),
    Tenant("globex", "prod", "5c1d4a02-globex", "t-3"),
    Tenant("initech", "prod", "5c1d4a02-initech", "t-4"),
)
WANDERER = "5c1d4a02-wanders"
"""A scope that belongs to another tenant in each generation of the scope data."""
FLEETING = "5c1d4a02-comes-and-goes"
"""A scope of the third tenant that is there in odd generations only."""
STEADY_KEY = "key-steady"
"""An API key that every tenant has, each for another developer."""
CHANGING_KEY = "key-changing"
"""The same, but its developer is another one in each generation."""


def wanderers_tenant(generation: int) -> Tenant:
    return TENANTS[generation % 2]


def scopes_yaml(generation: int) -> str:
    """Return the scopes file of a generation."""
    scopes = [(tenant.scope, tenant) for tenant in TENANTS] + [(WANDERER, wanderers_tenant(generation))]
    if generation % 2:
        scopes.append((FLEETING, TENANTS[2]))
    lines = ["scopes:"]
    for scope, tenant in scopes:
        lines.append(f"  - {{id: {scope}, org: {tenant.org}, env: {tenant.env}, tenant_id: {tenant.tenant_id}}}")
    lines.append("api_keys:")
    for tenant in TENANTS:
        for key in (STEADY_KEY, CHANGING_KEY):
            product, app, email, developer = developer_of(tenant, key, generation)
            lines.append(
                f"  - {{key: {key}, tenant_id: {tenant.tenant_id}, product: {product}, app: {app},"
                f" developer: {developer}, email: {email}}}"
            )
    return "\n".join(lines) + "\n"


def developer_of(tenant: Tenant, key: str, generation: int) -> tuple[str, str, str, str]:
    """Return product, app, email and developer behind an API key; empty for a key that nobody knows."""
    if key not in (STEADY_KEY, CHANGING_KEY):
        return "", "", "", ""
    who = f"{tenant.tenant_id}-g{generation}" if key == CHANGING_KEY else tenant.tenant_id
    return f"product-{who}", f"app-{who}", f"{who}@mail.example", f"dev-{who}"


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
    tenant: Tenant | None = draw.choice(TENANTS)
    records = tuple(_records(draw, number))
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


def _text(value: str) -> bytes:
    return json.dumps(value).encode()


def _records(draw: random.Random, number: int) -> Iterator[Record]:
    for index in range(draw.choice((1, 1, 1, 2, 5, 20, 60))):
        client_id = draw.choice((None, None, STEADY_KEY, CHANGING_KEY, "nobody-knows", ""))
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
        headers["path"] = "/analytics/nobody-has-this"
        return body, {(400, "UNKNOWN_SCOPE")}
    return body[:-2] + b',{"client_received_start_timestamp":"1"}]}', {(400, "BAD_DATA")}
