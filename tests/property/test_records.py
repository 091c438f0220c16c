"""Any bytes and any JSON get a documented answer, and what is accepted comes out as sent plus what enrichment adds.

The oracle below is the contract once more, slow and simple: ``json`` with every number as its token and every object
as its list of members.
"""

import asyncio
import json
import math
import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from apidanalytics.ingest import accept, large, sliced, slices
from apidanalytics.ingest.accept import AcceptOptions
from apidanalytics.ingest.http import Response
from apidanalytics.ingest.payload import PayloadOptions
from tests.unit.ingest.batches import DEVELOPER_ADDED, NOW, NOW_MS, Api, request, told, zipped

START = "client_received_start_timestamp"
END = "client_received_end_timestamp"
MAX_RECORDS = 8
EXAMPLES = 150
TENANTS = {("testorg", "testenv"), ("otherorg", "otherenv")}


# --- The oracle ---------------------------------------------------------------------------------------------------


class Number(str):
    """A number's token, as sent."""

    __slots__ = ()


Members = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Object:
    """An object's members, as sent: in order, also those that come twice."""

    members: Members

    def __getitem__(self, name: str) -> Any:
        """Return the last member of this name."""
        return dict(self.members).get(name)

    def __contains__(self, name: str) -> bool:
        return name in dict(self.members)


def parse(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or has a lone surrogate.

    """

    def refuse(token: str) -> Any:
        raise ValueError(token)

    value = json.loads(
        text.decode("utf-8"),
        parse_int=Number,
        parse_float=Number,
        parse_constant=refuse,
        object_pairs_hook=lambda members: Object(tuple(members)),
    )
    json.dumps(plain(value), ensure_ascii=False).encode("utf-8")
    return value


def plain(value: Any) -> Any:
    if isinstance(value, Object):
        return [[name, plain(one)] for name, one in value.members]
    return [plain(one) for one in value] if isinstance(value, list) else value


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


class Told(Exception):  # noqa: N818
    """The answer."""


def oracle(body: bytes, *, named: bool, options: PayloadOptions) -> tuple[str, list[Object]]:
    """Return the tenant's name and the records as they are to be kept.

    Raises:
        Told: what the client is told instead.

    """
    try:
        top = parse(body)
    except (ValueError, RecursionError):
        raise Told("Not a valid JSON payload") from None
    if not isinstance(top, Object):
        raise Told("Not a valid JSON payload")
    org, env = "testorg", "testenv"
    if named:
        org, env = (name_of(top, name) for name in ("organization", "environment"))
        if (org, env) not in TENANTS:
            raise Told(f"No tenant found for this org: {org[:200]} and env: {env[:200]}")
    records = top["records"]
    if records is None or records == []:
        raise Told("No analytics records in the payload")
    if not isinstance(records, list):
        raise Told("records should be a list of analytics records")
    for record in records:
        check(record, options)
    return f"{org}~{env}", [enriched(record, org, env, options) for record in records]


def name_of(top: Object, name: str) -> str:
    value = top[name]
    if value is None or (is_text(value) and value == ""):
        raise Told(f"Missing Required field: {name}")
    if not is_text(value):
        raise Told(f"{name} should be a string")
    return str(value)


def check(record: Any, options: PayloadOptions) -> None:
    if not isinstance(record, Object):
        raise Told("Each Analytics record in records should be a json object")
    start, end = record[START], record[END]
    for name, value in ((START, start), (END, end)):
        if value is None and (name == START or options.is_strict):
            raise Told(f"Missing Required field: {name}")
    for value in (start, end):
        if value is not None and (not isinstance(value, Number) or math.isinf(float(value))):
            raise Told(f"{START} and {END} has to be number")
    first, last = Decimal(start), None if end is None else Decimal(end)
    if options.is_strict and 0 in (first, last):
        raise Told(f"{START} or {END} cannot be 0")
    if last is not None and first > last:
        raise Told(f"{START} > {END}")
    if options.is_strict and first > NOW_MS + 60_000:
        raise Told(f"{START} cannot be after current time")
    if options.is_strict and first < NOW_MS - 90 * 24 * 3600 * 1000:
        raise Told(f"{START} cannot be older than 90 days")
    for name in ("client_id", "organization", "environment"):
        if record[name] is not None and not is_text(record[name]):
            raise Told(f"{name} should be a string")


def enriched(record: Object, org: str, env: str, options: PayloadOptions) -> Object:
    members = list(record.members)
    for name, value in (("organization", org), ("environment", env)):
        at = [index for index, (one, _) in enumerate(members) if one == name]
        if not at:
            members.append((name, value))
        elif options.overwrites_tenant:
            for index in at:
                members[index] = (name, value)
        elif members[at[-1]][1] in (None, ""):
            members[at[-1]] = (name, value)
    if options.adds_developer and record["client_id"]:
        known = org == "testorg" and record["client_id"] == "testapikey"
        for name, value in DEVELOPER_ADDED.items():
            if name not in record:
                members.append((name, value if known else ""))
    return Object(tuple(members))


# --- What is sent -------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["},{", '"', "{", "}", "\\", "null", "é😀"])
SCALARS = st.sampled_from(["null", "true", "false"]) | TEXTS.map(json.dumps)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(NOW_MS - 3, NOW_MS + 3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["0", "-0", "0.0", "-0e5", "1e400", "-1e400", "1e-400", "1E+2", "1.50", "9223372036854775808"]),
    st.sampled_from([f"{NOW_MS}.0", "1.795310045e12", "123456789012345678901234567890"]),
    st.integers(305, 320).map("9".__mul__),
)
SPACES = st.sampled_from(["", "", "", " ", "\n", "\r\n\t"])
VALUES = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(TEXTS, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in items) + "}"
        )
    ),
    max_leaves=4,
)


def escaped(name: str) -> str:
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


@st.composite
def objects(draw: st.DrawFn, members: Any) -> str:
    """A JSON object: members in any order, sometimes twice, sometimes with escaped names, with white space."""
    parts = []
    for name, value in draw(members):
        quoted = escaped(name) if name and draw(st.integers(0, 19)) == 0 else json.dumps(name)
        space = draw(SPACES)
        parts.append(f"{space}{quoted}{space}:{space}{value}{space}")
    return "{" + ",".join(parts) + "}"


TIMESTAMPS = st.integers(NOW_MS - 3, NOW_MS + 3).map(str)
KEYS = st.sampled_from(['"testapikey"', '"wrongapikey"', '""', "null", '"\\u0074estapikey"'])
NAMES = st.sampled_from(['"testorg"', '"testenv"', '"other"', '""', "null"])
OURS = st.sampled_from(["organization", "environment", "client_id", *DEVELOPER_ADDED])

# A member as a client sends it, and now and then an odd one.
USUAL = st.one_of(
    st.tuples(st.just("client_id"), KEYS),
    st.tuples(st.sampled_from(["organization", "environment"]), NAMES),
    st.tuples(st.sampled_from([*DEVELOPER_ADDED]), NAMES),
    st.tuples(TEXTS, VALUES),
)
ODD = st.one_of(
    st.tuples(st.sampled_from([START, END]), NUMBERS),
    st.tuples(st.sampled_from([START, END]), VALUES),
    st.tuples(OURS, VALUES),
)
PLAIN_MEMBERS = st.lists(st.tuples(TEXTS, SCALARS | NUMBERS), max_size=3).map(
    lambda more: [(START, str(NOW_MS)), (END, str(NOW_MS)), ("client_id", '"testapikey"'), *more]
)
GOOD_MEMBERS = st.tuples(TIMESTAMPS, st.lists(USUAL, max_size=5)).map(
    lambda drawn: [(START, str(NOW_MS - 9)), (END, drawn[0]), *drawn[1]]
)
ODD_MEMBERS = st.tuples(GOOD_MEMBERS, ODD).map(lambda drawn: [*drawn[0], drawn[1]])
RECORDS = st.one_of(
    objects(PLAIN_MEMBERS),
    objects(GOOD_MEMBERS.flatmap(st.permutations)),
    objects(ODD_MEMBERS),
    objects(ODD_MEMBERS.flatmap(st.permutations)),
    objects(ODD_MEMBERS.map(lambda members: members[1:])),
    VALUES,
)
GOOD_RECORDS = objects(PLAIN_MEMBERS) | objects(GOOD_MEMBERS.flatmap(st.permutations))
LISTS = st.one_of(
    st.lists(GOOD_RECORDS, min_size=1, max_size=MAX_RECORDS),
    st.lists(RECORDS, min_size=1, max_size=2),
    st.lists(RECORDS, max_size=MAX_RECORDS),
)
TENANT_NAMES = st.sampled_from(
    [
        [("organization", '"testorg"'), ("environment", '"testenv"')],
        [("organization", '"testorg"'), ("environment", '"testenv"')],
        [("organization", '"testorg"'), ("environment", '"testenv"')],
        [("organization", '"otherorg"'), ("environment", '"otherenv"')],
        [("organization", '"nobody"'), ("environment", '"testenv"')],
        [("organization", "null")],
        [("organization", '"testorg"'), ("environment", "5")],
        [],
    ]
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A batch, good or bad, as any client might write it."""
    space = draw(SPACES)
    records = f"[{f'{space},{space}'.join(draw(LISTS))}]"
    members = [*draw(TENANT_NAMES), ("records", records), *draw(st.lists(st.tuples(TEXTS, VALUES), max_size=1))]
    if draw(st.integers(0, 9)) == 0:
        members.append(("records", draw(LISTS.map(lambda more: f"[{','.join(more)}]") | VALUES)))
    body = draw(objects(st.permutations(members)))
    return (space + body + space).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A batch in which some bytes were changed, removed or put in."""
    body = bytearray(draw(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=2) | st.sampled_from([b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"\xff", b"\\ud800"])
        )
    return bytes(body)


OPTIONS = st.builds(
    PayloadOptions,
    is_strict=st.booleans(),
    overwrites_tenant=st.booleans(),
    adds_developer=st.booleans(),
    max_records=st.just(2 * MAX_RECORDS),
)
PATHS = st.sampled_from(["/analytics/testid", "/analytics"])

DOCUMENTED = {
    (200, ""),
    (400, "BAD_DATA"),
    (400, "MISSING_FIELD"),
    (400, "NO_RECORDS"),
    (400, "UNKNOWN_SCOPE"),
    (400, "UNSUPPORTED_CONTENT_TYPE"),
    (400, "UNSUPPORTED_CONTENT_ENCODING"),
    (404, "NOT_FOUND"),
    (405, "METHOD_NOT_ALLOWED"),
    (413, "PAYLOAD_TOO_LARGE"),
}


# --- The properties -----------------------------------------------------------------------------------------------


def expected(body: bytes, path: str, options: PayloadOptions) -> tuple[Any, ...]:
    try:
        return (200, "", *oracle(body, named=path == "/analytics", options=options))
    except Told as told_instead:
        return 400, str(told_instead)


def outcome(api: Api, response: Response | None) -> tuple[Any, ...]:
    """Return status and reason, and what was kept: tenant and records."""
    status, _, reason = told(response)
    if not api.spool.batches:
        return status, reason
    (batch,) = api.spool.batches
    lines = batch.lines.split(b"\n")
    assert lines.pop() == b""
    assert batch.records == len(lines)
    assert b"\r" not in batch.lines
    return status, reason, batch.tenant, [parse(line) for line in lines]


def answer(sent: bytes, *, path: str, options: PayloadOptions, encoding: str | None = None) -> tuple[Any, ...]:
    api = Api(AcceptOptions(payload=options))
    return outcome(api, api.send(request(sent, path=path, encoding=encoding)))


async def answer_in_steps(body: bytes, *, path: str, options: PayloadOptions) -> tuple[Any, ...]:
    api = Api(AcceptOptions(payload=options))
    exchange = request(body, path=path)
    api.send(exchange)
    async with asyncio.timeout(60):
        while exchange.answer is None:
            await asyncio.sleep(0)
    return outcome(api, exchange.answer)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=bodies(), path=PATHS, options=OPTIONS)
@example(b'{"records":[{"client_received_start_timestamp":0}]}', "/analytics/testid", PayloadOptions(is_strict=True))
def test_a_batch_is_answered_and_kept_as_the_contract_says(body: bytes, path: str, options: PayloadOptions):
    assert answer(body, path=path, options=options) == expected(body, path, options)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=damaged(), path=PATHS, options=OPTIONS)
def test_a_damaged_batch_is_answered_and_kept_as_the_contract_says(body: bytes, path: str, options: PayloadOptions):
    assert answer(body, path=path, options=options) == expected(body, path, options)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=bodies() | damaged(), path=PATHS, options=OPTIONS, cut=st.integers(0, 100))
def test_a_zipped_batch_is_answered_and_kept_as_the_contract_says(
    body: bytes, path: str, options: PayloadOptions, cut: int
):
    sent = zipped(body[:cut]) + zipped(body[cut:])
    assert answer(sent, path=path, options=options, encoding="gzip") == expected(body, path, options)


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=VALUES.map(str.encode) | st.binary(max_size=40) | TEXTS.map(str.encode), path=PATHS, options=OPTIONS)
def test_any_json_and_any_bytes_are_answered_as_the_contract_says(body: bytes, path: str, options: PayloadOptions):
    assert answer(body, path=path, options=options) == expected(body, path, options)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    body=st.binary(max_size=60) | bodies() | bodies().map(zlib.compress) | bodies().map(zipped),
    path=st.sampled_from(["/analytics/testid", "/analytics", "/analytics/%ff", "/", "/ready"]) | TEXTS,
    method=st.sampled_from(["POST", "GET", "HEAD", "X"]),
    content_type=st.none()
    | st.sampled_from(["application/json", "application/json;x", ";"])
    | st.text("a/;,", max_size=5),
    encoding=st.none() | st.sampled_from(["gzip", "identity", "br", ""]),
)
def test_any_request_gets_a_documented_answer(
    body: bytes, path: str, method: str, content_type: str | None, encoding: str | None
):
    api = Api()
    response = api.send(
        request(body, path=path, method=method, content_type=content_type, encoding=encoding, arrived_at=NOW)
    )
    assert response is not None
    if response.body and response.status != 200:
        status, code, reason = told(response)
        assert (status, code) in DOCUMENTED
        assert reason
    else:
        assert response.status == 200
    assert bool(api.spool.batches) == (response.status == 200 and not response.body)


@settings(max_examples=EXAMPLES, deadline=None)
@given(record=objects(GOOD_MEMBERS), before=SPACES, after=SPACES)
def test_the_bytes_of_a_record_stay_but_for_line_breaks_and_what_is_filled_in(record: str, before: str, after: str):
    text = record.replace("\r", "").replace("\n", "")
    assume(not any(f'"{name}"' in text or "\\u" in text for name in ("organization", "environment")))
    api = Api()
    status, _, _ = api.post(f'{{"records":[{before}{record}{after}]}}'.encode())
    assume(status == 200)
    (batch,) = api.spool.batches
    assert batch.lines.startswith(text[:-1].encode())


@pytest.fixture
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_BYTES", 80)
    monkeypatch.setattr(sliced, "SLICE_BYTES", 80)
    monkeypatch.setattr(large, "SMALL_BYTES", 0)
    monkeypatch.setattr(accept, "STEP_BYTES", 0)


@pytest.mark.usefixtures("_small_slices")
def test_a_batch_read_in_slices_is_answered_and_kept_like_any_other():
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(body=(bodies() | damaged()).filter(bool), path=PATHS, options=OPTIONS)
    def check_one(body: bytes, path: str, options: PayloadOptions) -> None:
        told_in_steps = asyncio.run(answer_in_steps(body, path=path, options=options))
        assert told_in_steps == expected(body, path, options)

    check_one()
