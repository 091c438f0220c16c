"""What the answers of endpoint and store mean, and that no answer can do harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.upload.answers import Answer, SignedUrl, is_expired, read_put, read_retry_after, read_signed
from apidanalytics.upload.outcome import Delivered, Faulty, Party, Refused, Throttled, TokenRefused, Unreachable

NOW = 1_700_000_000.0
URL = "https://bucket.example/a/b?X-Amz-Signature=s%2Fecret"


def signed(status=200, body=b"{}", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_signed(Answer(status=status, headers=named, body=body), NOW)


def put(status=200, body=b"", *, sent_all=True, may_be_there=True, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_put(Answer(status=status, headers=named, body=body), NOW, sent_all=sent_all, may_be_there=may_be_there)


def answer(**document):
    return json.dumps(document).encode()


def test_the_url_is_taken_as_it_is():
    assert signed(body=answer(url=URL)) == SignedUrl(url=URL)
    assert signed(body=answer(url=URL, other=1)) == SignedUrl(url=URL)


@pytest.mark.parametrize(("status", "code"), [(409, "BlobAlreadyExists"), (403, "UnauthorizedBlobOverwrite")])
def test_azure_says_otherwise_that_a_create_only_put_is_there_already(status, code):
    assert put(status, x_ms_error_code=code, sent_all=False) == Delivered(etag=None)
    assert put(status, x_ms_error_code="AuthenticationFailed") != Delivered(etag=None)


def test_headers_are_sent_along_but_for_those_that_are_not_the_endpoints_business():
    headers = {
        "x-ms-blob-type": "BlockBlob",
        "If-None-Match": "*",
        "Host": "evil",
        "content-LENGTH": "1",
        "Transfer-Encoding": "chunked",
        "Content-Type": "text/html",
        "Authorization": "Bearer x",
        "Proxy-Authorization": "x",
        "Expect": "x",
        "Connection": "close",
    }
    found = signed(body=answer(url=URL, headers=headers))
    assert found.headers == {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[]",
        b'"https://bucket.example/"',
        b"null",
        b"{}",
        b'{"url": null}',
        b'{"url": 1}',
        b'{"url": ["https://bucket.example/"]}',
        b'{"url": ""}',
        b'{"url": "/relative"}',
        b'{"url": "ftp://bucket.example/"}',
        b'{"url": "file:///etc/passwd"}',
        b'{"url": "https://"}',
        b'{"url": "https://user:password@bucket.example/"}',
        b'{"url": "https://bucket.example:99999/"}',
        b'{"url": "https://[::1/"}',
        b'{"url": "https://bucket.example/\\r\\nX-Evil: 1"}',
        b'{"url": "https://bucket.example/a b"}',
        b'{"url": "https://b\\u00fccket.example/"}',
        b'{"url": "https://bucket.example/", "headers": []}',
        b'{"url": "https://bucket.example/", "headers": {"a": 1}}',
        b'{"url": "https://bucket.example/", "headers": {"a b": "c"}}',
        b'{"url": "https://bucket.example/", "headers": {"a": "b\\r\\nc: d"}}',
        b'{"url": ' + b"[" * 100_000,
    ],
)
def test_an_answer_that_makes_no_sense_fails_the_attempt(body):
    found = signed(body=body)
    assert isinstance(found, Refused)
    assert found.party is Party.ENDPOINT


@given(body=st.one_of(st.binary(max_size=200), st.text().map(str.encode)), status=st.integers(100, 599))
def test_no_answer_of_the_endpoint_raises(body, status):
    assert signed(status=status, body=body) is not None


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["url", "headers"]) | st.text(), inner),
    )
)
def test_no_document_of_the_endpoint_raises(document):
    signed(body=json.dumps(document).encode())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, TokenRefused),
        (400, Refused),
        (403, Refused),
        (404, Refused),
        (204, Refused),
        (201, Refused),
        (408, Refused),
        (301, Faulty),
        (302, Faulty),
        (407, Faulty),
        (500, Faulty),
        (502, Faulty),
        (503, Faulty),
        (429, Throttled),
    ],
)
def test_every_status_of_the_endpoint_has_a_meaning(status, kind):
    assert isinstance(signed(status=status), kind)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Delivered),
        (201, Delivered),
        (204, Delivered),
        (412, Delivered),
        (400, Refused),
        (401, Refused),
        (403, Refused),
        (404, Refused),
        (411, Refused),
        (307, Refused),
        (500, Faulty),
        (503, Faulty),
        (507, Faulty),
        (429, Throttled),
    ],
)
def test_every_status_of_the_store_has_a_meaning(status, kind):
    assert isinstance(put(status=status), kind)


def test_the_stores_name_for_the_content_is_kept():
    assert put(etag='"abc"') == Delivered(etag='"abc"')
    assert put(412, etag='"abc"') == Delivered(etag='"abc"')


@pytest.mark.parametrize(
    ("body", "may_be_there", "kind"),
    [
        (b"", True, Delivered),
        (b"<Error><Code>PreconditionFailed</Code></Error>", True, Delivered),
        (b"<Error><Code>PreconditionFailed</Code></Error>", False, Refused),
        (b"", False, Refused),
        (b"<Error><Code>OrgPolicyConstraintFailed</Code></Error>", True, Refused),
    ],
)
def test_a_412_says_that_it_is_there_only_of_what_is_not_to_be_replaced(body, may_be_there, kind):
    assert isinstance(put(412, body, may_be_there=may_be_there), kind)


@pytest.mark.parametrize(
    ("query", "headers", "is_create_only"),
    [
        ("", {}, False),
        ("", {"if-none-match": "*"}, True),
        ("", {"If-None-Match": '"an-etag"'}, False),
        ("", {"x-goog-if-generation-match": "0"}, True),
        ("", {"x-goog-if-generation-match": "17"}, False),
        ("?expires=1&create-only=true&signature=s", {}, True),
        ("?expires=1&signature=create-only=true", {}, False),
        ("?ifGenerationMatch=0", {}, True),
    ],
)
def test_a_url_shows_that_it_is_create_only(query, headers, is_create_only):
    url = SignedUrl(url=f"https://bucket.example/a/b{query}", headers=headers)
    assert url.is_create_only is is_create_only


def test_a_store_that_answers_before_it_has_everything_has_not_taken_it():
    assert isinstance(put(200, sent_all=False), Unreachable)
    assert isinstance(put(412, sent_all=False), Delivered)


def test_retry_after_makes_a_503_a_request_to_wait():
    assert signed(503, retry_after="7").retry_after_seconds == 7
    assert put(503, retry_after="7") == Throttled(
        party=Party.STORE, reason="the object store answered 503", retry_after_seconds=7
    )


def test_a_slow_down_of_s3_is_a_request_to_wait():
    found = put(503, b"<Error><Code>SlowDown</Code></Error>")
    assert found == Throttled(party=Party.STORE, reason="the object store answered 503 SlowDown")


@pytest.mark.parametrize(
    ("status", "body", "is_permanent"),
    [
        (400, b"", True),
        (405, b"", True),
        (413, b"<Error><Code>EntityTooLarge</Code></Error>", True),
        (400, b"<Error><Code>BadDigest</Code></Error>", False),
        (400, b"<Error><Code>RequestTimeout</Code></Error>", False),
        (403, b"<Error><Code>AccessDenied</Code></Error>", False),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", False),
        (409, b"<Error><Code>OperationAborted</Code></Error>", False),
    ],
)
def test_what_would_be_refused_again_and_again_is_permanent(status, body, is_permanent):
    assert put(status, body).is_permanent is is_permanent


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
        (403, b"<Error><Code>ExpiredPresignRequest</Code><Message>Request has expired</Message></Error>"),
        (400, b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"),
        (
            403,
            (
                b"<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid in the"
                b" specified time frame: Start [..] - Expiry [..] - Current [..]</AuthenticationErrorDetail></Error>"
            ),
        ),
        (403, b'{"reason": "the URL has expired"}'),
    ],
)
def test_every_stores_way_to_say_that_a_url_has_expired_is_known(status, body):
    assert is_expired(Answer(status=status, body=body))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
        (500, b"expired"),
        (200, b"expired"),
    ],
)
def test_other_refusals_say_nothing_of_the_url(status, body):
    assert not is_expired(Answer(status=status, body=body))


@pytest.mark.parametrize("answer", [(503, {"x-ms-error-code": "ServerBusy"}), (429, {}), (503, {"retry-after": "1"})])
def test_throttling_is_known_by_status_header_or_code(answer):
    status, headers = answer
    found = read_put(Answer(status=status, headers=headers), NOW, sent_all=True, may_be_there=False)
    assert isinstance(found, Throttled)


def test_the_reason_names_the_stores_code_and_nothing_else_of_its_answer():
    body = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>secret</StringToSign></Error>"
    assert put(403, body).reason == "the object store answered 403 SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("9" * 40, 999_999_999),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30),
        ("Mon, 13 Nov 2023 22:13:50 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value, seconds):
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("away", [-86_400, 0, 86_400])
def test_a_date_counts_by_the_clock_of_who_said_it(away):
    told = {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT", "date": "Tue, 14 Nov 2023 22:13:20 GMT"}
    found = read_put(Answer(status=503, headers=told), NOW + away, sent_all=True, may_be_there=False)
    assert found.retry_after_seconds == 30


@given(st.text())
def test_no_retry_after_raises(value):
    read_retry_after(value, NOW)


def test_a_signed_url_does_not_show_in_its_repr():
    assert "secret" not in repr(SignedUrl(url=URL, headers={"x-key": "secret"}))
