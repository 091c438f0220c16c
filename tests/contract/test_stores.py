"""One suite for every store: what a signed URL allows, and what it refuses, each against a server that runs.

docs/object-stores.md has the outcome as a table. What an emulator does not check is tested on the signed string
(tests/unit/collection/test_signed_strings.py).
"""

import gzip
import os
import re
import time

import pytest

from tests.contract import stores
from tests.contract.stores import CONTENT_TYPE, Real, send, wanted
from tests.harness import ROOT, wait_until

BODY = gzip.compress(b'{"n":1}\n')
OTHER = gzip.compress(b'{"n":2}\n')
GOOD = {200, 201}
AZURITE = ROOT / ".venv/azurite/node_modules/.bin/azurite-blob"


@pytest.fixture(scope="module", params=["s3", "gcs", "azure", "local"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def real(kind, require_tool, free_port):
    def azure():
        return stores.azure(str(AZURITE) if AZURITE.exists() else require_tool("azurite-blob"), free_port())

    started = {"s3": stores.seaweed, "gcs": lambda: stores.gcs(free_port()), "azure": azure, "local": stores.local}
    with started[kind]() as real:
        yield real


def refused(status: int, real: Real, kind: str, check: str) -> bool:
    """Say whether a PUT was refused, and hold that against what is known of this server."""
    is_refused = 400 <= status < 500
    assert is_refused == (check not in stores.NOT_CHECKED[kind]), (
        f"{stores.NAMES[kind]} answered {status} to a changed {check}"
    )
    return is_refused


def test_what_was_signed_may_be_put_and_is_there_whole(real):
    key = "acme~prod/date=2026-01-02/time=03-04/ab12_x.txt.gz"
    assert send(real.make().sign(wanted(key)), BODY) in GOOD
    assert real.read(key) == BODY


def test_odd_tenants_have_keys_of_their_own(real):
    keys = ["a%2Fb~c%7Ed/f", "gr%C3%B6%C3%9Fe~%C3%A4/f", "a b+c~x=y&z?/f"]
    for number, key in enumerate(keys):
        assert send(real.make().sign(wanted(key)), BODY + bytes([number])) in GOOD
    assert [real.read(key) for key in keys] == [BODY + bytes([number]) for number in range(len(keys))]


def test_the_same_file_may_be_put_again(real):
    signed = real.make().sign(wanted("acme~prod/again"))
    assert send(signed, BODY) in GOOD
    assert send(signed, BODY) in GOOD
    assert real.read("acme~prod/again") == BODY


def test_a_wrong_signature_is_refused(real, kind):
    signed = real.make().sign(wanted("acme~prod/signature"))
    forged = re.sub(
        r"((?:[Ss]ignature|sig)=)([^&]{4})", lambda m: m[1] + ("AAAA" if m[2] != "AAAA" else "BBBB"), signed.url
    )
    assert forged != signed.url
    if refused(send(signed, BODY, url=forged), real, kind, "signature"):
        assert real.read("acme~prod/signature") is None


def test_an_expired_url_is_refused(real, kind):
    signed, over_at = real.make().sign(wanted("acme~prod/expired", expires_seconds=1)), time.time() + 2
    wait_until(lambda: time.time() > over_at, what="the URL has expired")
    if refused(send(signed, BODY), real, kind, "expiry"):
        assert real.read("acme~prod/expired") is None


def test_another_content_type_is_refused(real, kind):
    signed = real.make().sign(wanted("acme~prod/type"))
    if refused(send(signed, BODY, headers={**signed.headers, "Content-Type": "text/html"}), real, kind, "content type"):
        assert real.read("acme~prod/type") is None


def test_another_key_is_refused(real, kind):
    signed = real.make().sign(wanted("acme~prod/key"))
    if refused(send(signed, BODY, url=signed.url.replace("/key?", "/other?")), real, kind, "key"):
        assert real.read("acme~prod/other") is None


def test_another_tenants_key_is_refused(real, kind):
    signed = real.make().sign(wanted("acme~prod/f"))
    if refused(send(signed, BODY, url=signed.url.replace("acme~prod", "evil~prod")), real, kind, "key"):
        assert real.read("evil~prod/f") is None


def test_encrypt_is_kept_encrypted_and_cannot_be_left_out(real, kind):
    signed = real.make().sign(wanted("acme~prod/encrypted", encrypt=True))
    if kind not in stores.NO_ENCRYPTION_TO_BIND:
        plain = {name: value for name, value in signed.headers.items() if "encryption" not in name}
        assert refused(send(signed, BODY, headers=plain), real, kind, "encryption")
        assert real.read("acme~prod/encrypted") is None
    assert send(signed, BODY) in GOOD
    assert real.read("acme~prod/encrypted") == BODY
    assert real.is_encrypted is None or real.is_encrypted("acme~prod/encrypted")


def test_encryption_that_was_not_signed_cannot_be_added(real, kind):
    if kind in stores.NO_ENCRYPTION_TO_BIND:
        return
    signed = real.make().sign(wanted("acme~prod/plain"))
    added = {**signed.headers, "x-amz-server-side-encryption": "AES256"}
    assert 400 <= send(signed, BODY, headers=added) < 500


def test_create_only_never_replaces(real, kind):
    signed = real.make(create_only=True).sign(wanted("acme~prod/once"))
    assert send(signed, BODY) in GOOD
    if refused(send(signed, OTHER), real, kind, "create-only"):
        assert real.read("acme~prod/once") == BODY


def test_create_only_cannot_be_left_out(real, kind):
    signed = real.make(create_only=True).sign(wanted("acme~prod/kept"))
    assert send(signed, BODY) in GOOD
    bare = {"Content-Type": CONTENT_TYPE, **{k: v for k, v in signed.headers.items() if k == "x-ms-blob-type"}}
    changed = signed.url.replace("&create-only=true", "")
    if refused(send(signed, OTHER, url=changed, headers=bare), real, kind, "create-only"):
        assert real.read("acme~prod/kept") == BODY


def test_a_large_file_arrives_whole(real):
    large = b"\x1f\x8b" + os.urandom(32 << 20)
    assert send(real.make().sign(wanted("acme~prod/large")), large) in GOOD
    assert real.read("acme~prod/large") == large


def test_the_repr_tells_the_place_and_no_secret(real):
    store = real.make()
    shown = repr(store)
    assert shown.startswith("<")
    assert "key" not in shown.lower().replace("seaweed", "")
