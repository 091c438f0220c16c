"""Any bytes, split anywhere: never an exception, and always a documented answer, or silence, or the end."""

import json
from itertools import pairwise
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from apidanalytics.errors import ErrorCode
from apidanalytics.ingest import protocol
from tests.unit.ingest.http_wire import Client, Server, post

DOCUMENTED = {
    400: "BAD_REQUEST",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    414: "URI_TOO_LONG",
    417: "EXPECTATION_FAILED",
    431: "HEADERS_TOO_LARGE",
    501: "UNSUPPORTED_TRANSFER_ENCODING",
    505: "HTTP_VERSION_NOT_SUPPORTED",
}
LIMITS = {"max_header_bytes": 600, "max_target_bytes": 200, "max_body_bytes": 2000, "max_inflight_bytes": 3000}

tokens = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"CONNECT ",
        b"PRI ",
        b"/a",
        b"?b",
        b"*",
        b"http://h/",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b" HTTP/2.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Expect: 100-continue\r\n",
        b"Expect: x\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: h2c\r\n",
        b" folded\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"5;x=y\r\n",
        b"ffffffff\r\n",
        b"abc",
        b"\0",
        b"\n",
        b"\r",
        b":",
        b"x" * 500,
        b"x" * 5000,
        b"POST /a HTTP/1.1\r\nHost: a\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
)
any_wire = st.lists(st.one_of(tokens, tokens, tokens, st.binary(max_size=20)), max_size=25).map(b"".join)
cuts = st.lists(st.integers(0, 2**20), max_size=12)


def in_pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    return [wire[start:end] for start, end in pairwise(places) if start < end]


def check_answers(client: Client) -> None:
    for answer in client.answers:
        if answer.status not in {100, 200}:
            assert json.loads(answer.body)["errorCode"] == DOCUMENTED[answer.status]
            assert answer.headers["Connection"] == "close"
            assert answer is client.answers[-1] or client.is_over


@settings(deadline=None)
@given(any_wire, cuts, st.booleans(), st.booleans())
def test_any_bytes_get_a_documented_answer_or_none_and_leave_nothing_behind(wire, cuts, answers_at_once, half_closes):
    server = Server(answers=answers_at_once, **LIMITS)
    client = server.connect().send(*in_pieces(wire, cuts))
    if half_closes:
        client.half_close()
    server.answer_all()
    server.answer_all()
    check_answers(client)
    for _ in range(12):
        server.advance(40)
        server.answer_all()
    check_answers(client)
    assert client.is_over
    assert server.state.budget.used == server.state.budget.partial == 0
    assert not server.state.connections
    assert not server.state.budget.line


def framed(body: bytes, cuts: list[int], extension: bytes, trailer: bytes) -> bytes:
    chunks = (b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in in_pieces(body, cuts))
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


bodies = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([b"\r\n\r\n", b"GET /evil HTTP/1.1\r\nHost: e\r\n\r\n", b"0\r\n\r\n", b"x" * 5000, b"x" * 40_000]),
)
chunked = st.builds(
    framed, bodies, cuts, st.sampled_from([b"", b";a", b';a="b"']), st.sampled_from([b"", b"T: x\r\n", b"Host: e\r\n"])
)
plain = bodies.map(lambda body: b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
upgrade = st.sampled_from([b"", b"", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: keep-alive\r\n"])
valid_requests = st.builds(
    lambda path, header, upgrade, body: b"POST /%s HTTP/1.1\r\nHost: a\r\n%s%s%s" % (path, header, upgrade, body),
    st.sampled_from([b"", b"a", b"a?b"]),
    st.sampled_from([b"", b"Content-Type: application/json\r\n", b"Empty:\r\n", b"Big: " + b"x" * 6000 + b"\r\n"]),
    upgrade,
    st.one_of(plain, chunked),
)


def served(pieces: list[bytes]) -> tuple[list[tuple[bytes, bytes, bytes | None, bytes | None]], bytes]:
    server = Server(max_unanswered=3)
    client = server.connect().send(*pieces)
    seen = [(e.path, e.body, e.header(b"host"), e.header(b"content-type")) for e in server.exchanges]
    assert server.state.budget.used == 0
    return seen, client.transport.written


@settings(deadline=None)
@given(st.lists(valid_requests, min_size=1, max_size=5), cuts)
def test_the_same_requests_come_out_however_their_bytes_were_split(requests, cuts):
    wire = b"".join(requests)
    one_by_one = served(requests)
    assert len(one_by_one[0]) == len(requests)
    assert served([wire]) == served(in_pieces(wire, cuts)) == one_by_one


posts = st.lists(st.integers(0, 6000), min_size=1, max_size=3)


@settings(deadline=None)
@given(st.lists(posts, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_under_a_tight_bound_every_body_gets_its_answer(sizes_of_clients, random):
    server = Server(answers=False, max_inflight_bytes=3000, request_timeout=1e9)
    clients = [server.connect() for _ in sizes_of_clients]
    rest = [b"".join(post(b"x" * size) for size in sizes) for sizes in sizes_of_clients]
    while any(rest):
        which = random.choice([number for number, bytes_left in enumerate(rest) if bytes_left])
        size = random.randint(1, 3000)
        clients[which].send(rest[which][:size])
        rest[which] = rest[which][size:]
        if random.random() < 0.3:
            server.answer_all()
    for _ in range(100):
        server.advance(0.25)
        server.answer_all()
    assert [len(client.answers) for client in clients] == [len(sizes) for sizes in sizes_of_clients]
    assert server.state.budget.used == server.state.budget.partial == 0


def test_every_documented_code_exists():
    assert set(DOCUMENTED.values()) <= {code.value for code in ErrorCode}


alike = st.sampled_from([b"", b"{}", b"abc", b"x" * 1000]).map(post)
begun = alike.map(lambda request: post(b"x" * 300 + request)[: -len(request)])
nearly_alike = st.builds(lambda before, request, after: before + request + after, tokens, alike, tokens)


@settings(deadline=None)
@given(st.lists(st.one_of(alike, alike, alike, begun, nearly_alike, tokens), max_size=8), st.booleans())
def test_that_a_header_is_remembered_makes_no_difference(pieces, answers_at_once):
    def outcome() -> tuple[object, ...]:
        server = Server(answers=answers_at_once, **LIMITS)
        client = server.connect().send(*pieces)
        seen = [(e.method, e.path, e.body, e.ending, e.header(b"host")) for e in server.exchanges]
        return seen, client.transport.written, client.is_over, server.state.budget.used

    remembering = outcome()
    with mock.patch.object(protocol, "TRIES", 0):
        assert outcome() == remembering
