"""A signed URL allows one PUT, and nothing else."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from apidanalytics.collection.signature import Permission, SignatureError, UrlSigner

PERMISSION = Permission(
    key="a%2Fc~prod/date=2026-01-02/time=03-04/f.txt.gz",
    content_type="application/x-gzip",
    encrypt=True,
    create_only=True,
    expires_at=1000,
)
SIGNER = UrlSigner(b"k" * 32)


def signature(permission=PERMISSION):
    return parse_qs(SIGNER.query(permission))["signature"][0]


def test_what_was_signed_is_allowed_until_it_expires():
    SIGNER.check("PUT", PERMISSION, signature(), 1000)
    with pytest.raises(SignatureError, match="expired"):
        SIGNER.check("PUT", PERMISSION, signature(), 1000.1)


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "other"},
        {"content_type": "text/plain"},
        {"encrypt": False},
        {"create_only": False},
        {"expires_at": 2000},
    ],
)
def test_nothing_that_is_bound_can_be_changed(changed):
    with pytest.raises(SignatureError, match="does not match"):
        SIGNER.check("PUT", replace(PERMISSION, **changed), signature(), 1)


def test_another_method_another_key_and_another_signature_are_refused():
    for method, signer, text in [
        ("GET", SIGNER, signature()),
        ("PUT", UrlSigner(b"x" * 32), signature()),
        ("PUT", SIGNER, ""),
        ("PUT", SIGNER, signature().upper()),
        ("PUT", SIGNER, signature()[:-1] + "é"),
        ("PUT", SIGNER, "\ud800\udcff"),
    ]:
        with pytest.raises(SignatureError):
            signer.check(method, PERMISSION, text, 1)


def test_the_query_says_what_it_allows():
    query = parse_qs(SIGNER.query(PERMISSION))
    assert query["expires"] == ["1000"]
    assert query["encrypt"] == query["create-only"] == ["true"]
    assert "=true" not in SIGNER.query(replace(PERMISSION, encrypt=False, create_only=False))


def test_the_key_does_not_show():
    assert repr(SIGNER) == "<UrlSigner>"
