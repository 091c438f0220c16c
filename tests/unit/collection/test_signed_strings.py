"""What a URL of each store binds, computed anew from the request: what an emulator takes, the real store does not."""

import base64
import hashlib
import hmac
import time
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from apidanalytics.collection.azure import AzureStore
from apidanalytics.collection.gcs import GcsStore
from apidanalytics.collection.s3 import S3Store
from tests.contract.stores import service_account, wanted

KEY = "acme~prod/date=2026-01-02/time=03-04/f.txt.gz"
AZURE_KEY = base64.b64encode(b"k" * 64).decode()


def canonical_request(method: str, url: str, headers: dict[str, str], mark: str) -> str:
    """Return the request as signature V4 (of AWS, and of Google) sees it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    bound = query[f"X-{mark}-SignedHeaders"].split(";")
    known = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
    asked = sorted((name, value) for name, value in query.items() if name != f"X-{mark}-Signature")
    return "\n".join(
        [
            method,
            parts.path,
            "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in asked),
            *(f"{name}:{known.get(name, '')}" for name in bound),
            "",
            ";".join(bound),
            "UNSIGNED-PAYLOAD",
        ]
    )


def string_to_sign(request: str, url: str, mark: str) -> str:
    query = dict(parse_qsl(urlsplit(url).query))
    _, scope = query[f"X-{mark}-Credential"].split("/", 1)
    digest = hashlib.sha256(request.encode()).hexdigest()
    return "\n".join([query[f"X-{mark}-Algorithm"], query[f"X-{mark}-Date"], scope, digest])


class Gcs:
    mark = "Goog"
    create_only = "x-goog-if-generation-match"

    def __init__(self):
        credentials, self._public = service_account()
        self.store = GcsStore(bucket="b", credentials=credentials, create_only=True)

    def allows(self, method, url, headers):
        text = string_to_sign(canonical_request(method, url, headers, "Goog"), url, "Goog")
        signature = bytes.fromhex(dict(parse_qsl(urlsplit(url).query))["X-Goog-Signature"])
        try:
            self._public.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


class S3:
    mark = "Amz"
    create_only = "If-None-Match"

    def __init__(self):
        self.store = S3Store(
            bucket="b", region="eu-west-1", access_key_id="AK", secret_access_key="sk", create_only=True
        )
        self.store.refresh()

    def allows(self, method, url, headers):
        text = string_to_sign(canonical_request(method, url, headers, "Amz"), url, "Amz")
        query = dict(parse_qsl(urlsplit(url).query))
        key = b"AWS4sk"
        for part in query["X-Amz-Credential"].split("/")[1:]:
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, text.encode(), "sha256").hexdigest() == query["X-Amz-Signature"]


@pytest.fixture(scope="module", params=[Gcs, S3], ids=["gcs", "s3"])
def v4(request):
    return request.param()


def test_the_request_that_was_signed_is_allowed(v4):
    signed = v4.store.sign(wanted(KEY))
    assert v4.allows("PUT", signed.url, signed.headers)


@pytest.mark.parametrize("tenant", ["a%2Fb~c%7Ed", "gr%C3%B6%C3%9Fe~%C3%A4"])
def test_keys_of_odd_tenants_are_signed_as_they_are_sent(v4, tenant):
    signed = v4.store.sign(wanted(f"{tenant}/f"))
    assert v4.allows("PUT", signed.url, signed.headers)
    assert f"/{quote(tenant, safe='~')}/f" in signed.url


def test_nothing_that_is_bound_can_be_changed(v4):
    signed = v4.store.sign(wanted(KEY))
    expires = f"X-{v4.mark}-Expires=600"
    assert expires in signed.url
    for what, method, url, headers in [
        ("method", "GET", signed.url, signed.headers),
        ("key", "PUT", signed.url.replace("acme~prod", "evil~prod"), signed.headers),
        ("bucket", "PUT", signed.url.replace("//b.", "//c.").replace("com/b/", "com/c/"), signed.headers),
        ("expiry", "PUT", signed.url.replace(expires, expires + "0"), signed.headers),
        ("content type", "PUT", signed.url, {**signed.headers, "Content-Type": "text/html"}),
        ("create-only", "PUT", signed.url, {**signed.headers, v4.create_only: ""}),
        ("left out", "PUT", signed.url, {}),
    ]:
        assert not v4.allows(method, url, headers), what


def test_s3_binds_encryption_too():
    v4 = S3()
    signed = v4.store.sign(wanted(KEY, encrypt=True))
    assert signed.headers["x-amz-server-side-encryption"] == "AES256"
    assert v4.allows("PUT", signed.url, signed.headers)
    assert not v4.allows("PUT", signed.url, {**signed.headers, "x-amz-server-side-encryption": ""})


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "https://analytics.s3.eu-west-1.amazonaws.com/k"),
        ({"region": "cn-north-1"}, "https://analytics.s3.cn-north-1.amazonaws.com.cn/k"),
        ({"addressing": "path"}, "https://s3.eu-west-1.amazonaws.com/analytics/k"),
        ({"endpoint": "https://minio:9000", "addressing": "path"}, "https://minio:9000/analytics/k"),
        ({"endpoint": "https://minio:9000"}, "https://analytics.minio:9000/k"),
    ],
)
def test_s3_urls_lead_where_the_bucket_is(options, url):
    pair = {"access_key_id": "a", "secret_access_key": "s"}
    store = S3Store(**{"bucket": "analytics", "region": "eu-west-1"} | pair | options)
    store.refresh()
    assert store.sign(wanted("k")).url.partition("?")[0] == url


def test_azure_binds_key_expiry_and_what_may_be_done():
    now = time.time()
    put = wanted(KEY, asked_at=now, expires_seconds=600, encrypt=True)
    for create_only, permission in [(True, "c"), (False, "cw")]:
        store = AzureStore(
            account="acct",
            container="box",
            account_key=AZURE_KEY,
            encryption_scope="scope-1",
            create_only=create_only,
        )
        signed = store.sign(put)
        query = dict(parse_qsl(urlsplit(signed.url).query))
        assert query["sp"] == permission
        assert query["sr"] == "b"
        assert query["ses"] == "scope-1"
        assert query["spr"] == "https"
        assert query["se"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(put.expires_at))
        assert query["sig"] == azure_signature(f"/blob/acct/box/{KEY}", query)
        assert query["sig"] != azure_signature(f"/blob/acct/box/evil{KEY}", query)
        assert query["sig"] != azure_signature(f"/blob/acct/box/{KEY}", query | {"sp": "cwd"})


def azure_signature(resource: str, query: dict[str, str]) -> str:
    # Permissions, start, expiry, resource, identifier, IP, protocol, version, kind, snapshot, scope, five headers.
    fields = [query["sp"], "", query["se"], resource, "", "", query["spr"], query["sv"], query["sr"], "", query["ses"]]
    text = "\n".join([*fields, "", "", "", "", ""])
    return base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")).decode()
