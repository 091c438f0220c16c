import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.routes import Routes, check_content_type, is_zipped


@pytest.mark.parametrize(
    ("base", "path", "scope"),
    [
        ("/analytics", b"/analytics/testid", "testid"),
        ("/analytics", b"/analytics", ""),
        ("/analytics/", b"/analytics/testid", "testid"),
        ("/analytics", b"/analytics/", None),
        ("/analytics", b"/analytics/a/b", None),
        ("/analytics", b"/analytics/a/", None),
        ("/analytics", b"/analytics//", None),
        ("/analytics", b"/analyticsx", None),
        ("/analytics", b"/Analytics/testid", None),
        ("/analytics", b"/", None),
        ("/analytics", b"", None),
        ("/analytics", b"*", None),
        ("/analytics", b"/health", None),
        ("/analytics", b"/analytics/health", "health"),
        ("/analytics", b"/analytics/a%2Fb%20c%C3%A4", "a/b cä"),
        ("/analytics", b"/analytics/%", "%"),
        ("/analytics", b"/analytics/%FF", "\ufffd"),
        ("/analytics", b"/analytics/\xc3\xa4", "ä"),
        ("/a/b", b"/a/b/c", "c"),
        ("/a/b", b"/a/b", ""),
        ("/a/b", b"/a", None),
        ("/", b"/testid", "testid"),
        ("/", b"/", ""),
        ("/", b"/health", None),
        ("/", b"/ready", None),
    ],
)
def test_a_path_is_one_of_the_two_routes_or_none(base: str, path: bytes, scope: str | None):
    assert Routes(base).scope_of(path) == scope


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"APPLICATION/Json",
        b"application/json; charset=utf-8",
        b"application/json;charset=UTF-8",
        b" application/json ; x=y",
    ],
)
def test_json_is_known_without_case_and_with_parameters(value: bytes):
    check_content_type(value)


@pytest.mark.parametrize(
    "value", [None, b"", b"text/plain", b"application/jsonp", b"application/json, application/json", b"json", b";"]
)
def test_any_other_content_type_is_refused(value: bytes | None):
    with pytest.raises(
        Refusal, match=r"^400 UNSUPPORTED_CONTENT_TYPE: Only supported content type is application/json$"
    ):
        check_content_type(value)


@pytest.mark.parametrize(
    ("value", "zipped"),
    [(None, False), (b"", False), (b"identity", False), (b"Identity", False), (b"gzip", True), (b"GZip ", True)],
)
def test_gzip_and_identity_are_supported(value: bytes | None, zipped: bool):
    assert is_zipped(value) is zipped


@pytest.mark.parametrize("value", [b"br", b"deflate", b"x-gzip", b"gzip, gzip", b"gzip;q=1"])
def test_any_other_content_encoding_is_refused(value: bytes):
    with pytest.raises(Refusal, match=r"^400 UNSUPPORTED_CONTENT_ENCODING: Only supported content encoding is gzip$"):
        is_zipped(value)
