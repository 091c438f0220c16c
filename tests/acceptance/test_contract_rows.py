"""Every row of the data API's contract, over a socket, against the real service in both validation profiles."""

import contextlib
import gzip
import json
import shutil
import socket
import tempfile
import time
import zlib
from pathlib import Path

import pytest

from tests.harness import ServiceProcess, wait_until

NOW = int(time.time() * 1000)
DAY = 86_400_000
GOOD = {"client_received_start_timestamp": NOW - 1000, "client_received_end_timestamp": NOW - 900}
JSON = "application/json"
NUMBERS = "client_received_start_timestamp and client_received_end_timestamp has to be number"
NOT_JSON = "Not a valid JSON payload"
START = "client_received_start_timestamp"
END = "client_received_end_timestamp"


@contextlib.contextmanager
def running(free_port, **settings):
    directory = Path(tempfile.mkdtemp(prefix="apa-"))
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": directory / "data",
        "apidanalytics_workers": 1,
        "apidanalytics_max_body_bytes": 100_000,
        "apidanalytics_max_payload_bytes": 400_000,
        "apidanalytics_max_batch_records": 1000,
        "apidanalytics_request_timeout": 3,
        **settings,
    }
    with ServiceProcess(settings) as service:
        service.start()
        yield service
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def basic(free_port):
    with running(free_port) as service:
        yield service


@pytest.fixture(scope="module")
def strict(free_port):
    with running(free_port, apidanalytics_validation="strict") as service:
        yield service


class Answer:
    """A raw answer, parsed as little as will do."""

    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else None
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}

    def error(self):
        error = json.loads(self.body)
        assert error.keys() == {"errorCode", "reason"}
        return self.status, error["errorCode"], error["reason"]


def send(service, raw, *, half_close=False):
    """Send bytes as they are; read until the service closes."""
    host, _, port = service.settings["api_listen"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(raw)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        chunks = []
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                chunks.append(chunk)
    return b"".join(chunks)


def request(method="POST", path="/analytics/testid", body=b"", content_type=JSON, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def post(service, body, **options):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(send(service, request(body=body, **options)))


def batch(*records, **members):
    return {**members, "records": list(records)}


def test_a_good_batch_is_answered_200_with_an_empty_body(basic):
    answer = post(basic, batch(GOOD))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/jsonx", "multipart/form-data"])
def test_row_2_only_json_is_taken(basic, content_type):
    expected = (400, "UNSUPPORTED_CONTENT_TYPE", "Only supported content type is application/json")
    assert post(basic, batch(GOOD), content_type=content_type).error() == expected


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y"]
)
def test_row_2_parameters_and_capitals_are_fine(basic, content_type):
    assert post(basic, batch(GOOD), content_type=content_type).status == 200


@pytest.mark.parametrize(("path", "uuid"), [("wrongid", "wrongid"), ("a%20b", "a b"), ("%F0%9F%A6%86", "🦆")])
def test_row_3_an_unknown_scope_is_named(basic, path, uuid):
    expected = (400, "UNKNOWN_SCOPE", f"No tenant found for this scopeuuid: {uuid}")
    assert post(basic, b"not even json", path=f"/analytics/{path}").error() == expected


def test_row_3_a_long_scope_is_quoted_only_in_part(basic):
    _, code, reason = post(basic, batch(GOOD), path="/analytics/" + "x" * 3000).error()
    assert (code, reason) == ("UNKNOWN_SCOPE", "No tenant found for this scopeuuid: " + "x" * 200)


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "x"])
def test_row_4_only_gzip_is_taken(basic, encoding):
    expected = (400, "UNSUPPORTED_CONTENT_ENCODING", "Only supported content encoding is gzip")
    assert post(basic, b"{", Content_Encoding=encoding).error() == expected


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
def test_row_4_identity_and_nothing_are_fine(basic, encoding):
    assert post(basic, batch(GOOD), Content_Encoding=encoding).status == 200


ZIPPED = gzip.compress(json.dumps(batch({START: 1})).encode(), mtime=0)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", ZIPPED[:-9], ZIPPED[:5], ZIPPED[:-8] + bytes(8), ZIPPED + b"rubbish"],
    ids=["empty", "no gzip", "cut", "cut in the header", "wrong checksum", "rubbish behind it"],
)
def test_row_5_damaged_gzip(basic, body):
    answer = post(basic, body, Content_Encoding="gzip")
    assert answer.error() == (400, "BAD_DATA", "Gzip Encoded data cannot be read")


def test_row_5_gzip_of_several_members_is_fine(basic):
    text = json.dumps(batch(GOOD)).encode()
    assert post(basic, gzip.compress(text[:20]) + gzip.compress(text[20:]), Content_Encoding="GZIP").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"records": [{}}',
        b'{"records":[{"client_received_start_timestamp":1}]}x',
        b'{"records":[{"client_received_start_timestamp":1,"a":"\xff"}]}',
        b'{"records":[{"client_received_start_timestamp":1,"a":"\\ud800"}]}',
        b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"records":[{"client_received_start_timestamp":NaN}]}',
        b'{"records":[1],"a":01}',
    ],
)
def test_row_6_not_json(basic, body):
    assert post(basic, body).error() == (400, "BAD_DATA", NOT_JSON)


@pytest.mark.parametrize("value", [..., None, ""])
@pytest.mark.parametrize("name", ["organization", "environment"])
def test_row_7_the_second_route_needs_org_and_env(basic, name, value):
    members = {"organization": "testorg", "environment": "testenv", name: value}
    body = {**{k: v for k, v in members.items() if v is not ...}, "records": 1}
    expected = (400, "MISSING_FIELD", f"Missing Required field: {name}")
    assert post(basic, body, path="/analytics").error() == expected


@pytest.mark.parametrize("name", ["organization", "environment"])
def test_row_7_org_and_env_are_strings(basic, name):
    body = batch(GOOD, organization="testorg", environment="testenv") | {name: 5}
    assert post(basic, body, path="/analytics").error() == (400, "BAD_DATA", f"{name} should be a string")


def test_row_8_an_unknown_org_and_env_are_named(basic):
    body = {"organization": "acme", "environment": "nowhere", "records": 1}
    expected = (400, "UNKNOWN_SCOPE", "No tenant found for this org: acme and env: nowhere")
    assert post(basic, body, path="/analytics").error() == expected


def test_the_second_route_takes_a_batch(basic):
    assert post(basic, batch(GOOD, organization="testorg", environment="testenv"), path="/analytics").status == 200


@pytest.mark.parametrize("body", [{}, {"records": None}, {"records": []}])
def test_row_9_no_records(basic, body):
    assert post(basic, body).error() == (400, "NO_RECORDS", "No analytics records in the payload")


@pytest.mark.parametrize("records", [1, "x", {}, True])
def test_row_10_records_are_a_list(basic, records):
    expected = (400, "BAD_DATA", "records should be a list of analytics records")
    assert post(basic, {"records": records}).error() == expected


WITHOUT_END = {START: NOW - 1000}
BASIC_ROWS = [
    ("11", 1, "BAD_DATA", "Each Analytics record in records should be a json object"),
    ("12", {}, "MISSING_FIELD", f"Missing Required field: {START}"),
    ("12", {START: None}, "MISSING_FIELD", f"Missing Required field: {START}"),
    ("13", {START: "1"}, "BAD_DATA", NUMBERS),
    ("13", {START: True}, "BAD_DATA", NUMBERS),
    ("13", {START: [1]}, "BAD_DATA", NUMBERS),
    ("13", {START: 1, END: "2"}, "BAD_DATA", NUMBERS),
    ("14", {START: 2, END: 1}, "BAD_DATA", f"{START} > {END}"),
    ("14", {START: 1486406248277, END: 999999999999}, "BAD_DATA", f"{START} > {END}"),
    ("14", {START: 1.5, END: 1}, "BAD_DATA", f"{START} > {END}"),
    ("15", {**GOOD, "client_id": 5}, "BAD_DATA", "client_id should be a string"),
    ("15", {**GOOD, "organization": 5}, "BAD_DATA", "organization should be a string"),
    ("15", {**GOOD, "environment": {}}, "BAD_DATA", "environment should be a string"),
]
STRICT_ROWS = [
    *[row for row in BASIC_ROWS if row[0] in {"11", "12", "15"}],
    ("12s", WITHOUT_END, "MISSING_FIELD", f"Missing Required field: {END}"),
    ("12s", {**WITHOUT_END, END: None}, "MISSING_FIELD", f"Missing Required field: {END}"),
    ("13", {START: "1", END: 2}, "BAD_DATA", NUMBERS),
    ("13s", {START: 0, END: 2}, "BAD_DATA", f"{START} or {END} cannot be 0"),
    ("13s", {START: 1, END: 0.0}, "BAD_DATA", f"{START} or {END} cannot be 0"),
    ("14", {START: 2, END: 1}, "BAD_DATA", f"{START} > {END}"),
    ("14s", {START: NOW + DAY, END: NOW + DAY}, "BAD_DATA", f"{START} cannot be after current time"),
    ("14s", {START: NOW - 91 * DAY, END: NOW}, "BAD_DATA", f"{START} cannot be older than 90 days"),
]


@pytest.mark.parametrize(("row", "record", "code", "reason"), BASIC_ROWS, ids=range(len(BASIC_ROWS)))
def test_rows_11_to_15_in_the_basic_profile(basic, row, record, code, reason):
    assert post(basic, batch(GOOD, record, 5)).error() == (400, code, reason), row


@pytest.mark.parametrize(("row", "record", "code", "reason"), STRICT_ROWS, ids=range(len(STRICT_ROWS)))
def test_rows_11_to_15_in_the_strict_profile(strict, row, record, code, reason):
    assert post(strict, batch(GOOD, record, 5)).error() == (400, code, reason), row


def test_row_13_a_number_too_large_to_hold_is_none(basic):
    body = b'{"records":[{"client_received_start_timestamp":1e400}]}'
    assert post(basic, body).error() == (400, "BAD_DATA", NUMBERS)


@pytest.mark.parametrize(
    "record", [{START: 7}, {START: 1, END: 1}, {START: 0}, {START: -5.5}, {START: 1, END: None}], ids=str
)
def test_what_the_basic_profile_takes(basic, record):
    assert post(basic, batch(record)).status == 200


def test_what_the_strict_profile_takes(strict):
    soon = int(time.time() * 1000) + 30_000
    assert post(strict, batch(GOOD, {START: soon, END: soon}, {START: NOW - 89 * DAY, END: NOW + DAY})).status == 200


def test_413_body_as_received(basic):
    status, code, _ = post(basic, b"x" * 100_001).error()
    assert (status, code) == (413, "PAYLOAD_TOO_LARGE")


def test_413_before_the_body_is_sent(basic):
    answer = Answer(send(basic, request(Content_Length=10**12)[: -len("Content-Length: 0\r\n\r\n")] + b"\r\n"))
    assert answer.error()[:2] == (413, "PAYLOAD_TOO_LARGE")


def test_413_body_once_unzipped(basic):
    status, code, _ = post(basic, gzip.compress(b" " * 400_001), Content_Encoding="gzip").error()
    assert (status, code) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("record", ["{}", "1", '{"client_received_start_timestamp":1}'])
def test_413_too_many_records(basic, record):
    body = zlib.compress(b'{"records":[' + b",".join([record.encode()] * 1001) + b"]}", wbits=31)
    status, code, _ = post(basic, body, Content_Encoding="gzip").error()
    assert (status, code) in {(413, "PAYLOAD_TOO_LARGE"), (400, "BAD_DATA"), (400, "MISSING_FIELD")}
    if record.startswith('{"'):
        assert status == 413


def test_408_when_the_request_does_not_arrive_in_time(basic):
    answer = Answer(send(basic, request(Content_Length=10)[: -len("Content-Length: 0\r\n\r\n")] + b"\r\nabc"))
    assert answer.error()[:2] == (408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize("path", ["/", "/analytic", "/analytics/", "/analytics/a/b", "/analytics//", "/health/x", "/x"])
def test_404_elsewhere(basic, path):
    assert post(basic, batch(GOOD), path=path).error()[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/analytics", {"POST"}),
        ("PUT", "/analytics/testid", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/ready", {"GET", "HEAD"}),
    ],
)
def test_405_names_the_methods_of_a_known_path(basic, method, path, allow):
    answer = post(basic, b"", method=method, path=path)
    assert answer.error()[:2] == (405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["allow"].split(", ")) == allow


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_health_and_ready(basic, path):
    assert post(basic, b"", method="GET", path=path).status == 200
    head = post(basic, b"", method="HEAD", path=path)
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "BAD_REQUEST"),
        (b"POST /analytics/testid HTTP/1.1\r\nHost : x\r\n\r\n", 400, "BAD_REQUEST"),
        (request(Transfer_Encoding="chunked") + b"zz\r\n", 400, "BAD_REQUEST"),
        (request(body=b"{}", Transfer_Encoding="chunked", Content_Length=2), 400, "BAD_REQUEST"),
        (b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "URI_TOO_LONG"),
        (b"POST /analytics/testid HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
        (request(Expect="200-ok"), 417, "EXPECTATION_FAILED"),
        (request(Transfer_Encoding="gzip") + b"0\r\n\r\n", 501, "UNSUPPORTED_TRANSFER_ENCODING"),
        (b"POST /analytics/testid HTTP/3.0\r\nHost: x\r\n\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"),
    ],
)
def test_malformed_or_unsupported_http_is_explained_and_closed(basic, raw, status, code):
    assert Answer(send(basic, raw)).error()[:2] == (status, code)


def test_a_half_closed_connection_still_gets_its_answer(basic):
    raw = request(body=json.dumps(batch(GOOD)).encode()).replace(b"Connection: close\r\n", b"")
    assert Answer(send(basic, raw, half_close=True)).status == 200


def test_one_bad_record_keeps_nothing_of_its_batch_and_accepted_ones_arrive(free_port):
    with running(free_port, apidanalytics_collection_interval=1) as service:
        assert post(service, batch({**GOOD, "n": 1}, {})).status == 400
        assert post(service, batch({**GOOD, "n": 2}, {**GOOD, "n": 3})).status == 200
        wait_until(lambda: sum(map(len, service.lake().values())) >= 2, what="the records are in the lake")
        assert sorted(json.loads(line)["n"] for line in service.lake()["testorg~testenv"]) == [2, 3]


def test_row_1_without_scope_data_nothing_is_accepted(free_port):
    directory = Path(tempfile.mkdtemp(prefix="apa-"))
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": directory / "data",
        "apidanalytics_uap_server_base": "http://127.0.0.1:9",
    }
    with ServiceProcess(settings, arguments=("run",)) as service:
        service.start(ready=False)
        expected = (500, "INTERNAL_SERVER_ERROR", "Service is not initialized completely")
        wait_until(lambda: _error(service) == expected, what="the first check's answer")
        assert post(service, b"", method="GET", path="/ready").error()[:2] == (503, "NOT_READY")
        assert post(service, b"", method="GET", path="/health").status == 200
    shutil.rmtree(directory)


def _error(service):
    try:
        return post(service, b"junk", content_type="text/plain").error()
    except ConnectionError:
        return None
