"""The store's own words are held against what was sent; a checksum goes along only where the URL allows it."""

import base64
import hashlib

import pytest

from apidanalytics.upload.answers import Answer
from apidanalytics.upload.verify import checksum_header, contradiction

MD5 = hashlib.md5(b"content").hexdigest()
OTHER = hashlib.md5(b"other").hexdigest()
ENCODED, OTHER_ENCODED = (base64.b64encode(bytes.fromhex(digest)).decode() for digest in (MD5, OTHER))


def found(**headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return contradiction(Answer(status=200, headers=named), md5=MD5, size_bytes=7)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": f'"{MD5}"'},
        {"etag": MD5.upper()},
        {"etag": '"0x8DC123456789ABC"'},
        {"etag": f'"{OTHER}-3"'},
        {"etag": f'"{OTHER}"', "x_amz_server_side_encryption": "aws:kms"},
        {"etag": f'"{OTHER}"', "x_amz_server_side_encryption_customer_algorithm": "AES256"},
        {"x_goog_hash": f"crc32c=AAAAAA==,md5={ENCODED}", "x_goog_stored_content_length": "7"},
        {"content_md5": ENCODED},
        {"content_md5": "nonsense"},
        {"x_goog_stored_content_length": "\u0663"},
    ],
)
def test_what_agrees_or_says_nothing_is_no_contradiction(headers):
    assert found(**headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"etag": f'"{OTHER}"'},
        {"etag": f'"{OTHER}"', "x_amz_server_side_encryption": "AES256"},
        {"etag": f'"{MD5}"', "x_goog_hash": f"crc32c=AAAAAA==, md5={OTHER_ENCODED}"},
        {"content_md5": OTHER_ENCODED},
    ],
)
def test_another_md5_is_a_contradiction_and_named(headers):
    assert found(**headers) == f"the object store has other bytes: their MD5 is {OTHER}, not {MD5}"


def test_another_size_is_a_contradiction():
    assert found(x_goog_stored_content_length="8") == "the object store has 8 bytes, not 7"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
        "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=00",
        "sv=2024-11-04&se=2026-01-01&sr=b&sp=cw&sig=00",
    ],
)
def test_a_checksum_is_sent_where_the_signature_leaves_it_free(query):
    assert checksum_header(f"https://store/key?{query}", {}, MD5) == {"Content-MD5": ENCODED}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("AWSAccessKeyId=AK&Expires=1&Signature=00", {}),
        ("GoogleAccessId=g&Expires=1&Signature=00", {}),
        ("", {}),
        ("signature=00&expires=1", {}),
        ("X-Amz-Signature=00", {"content-md5": "theirs"}),
        ("X-Amz-Signature=00", {"x-amz-checksum-sha256": "theirs"}),
    ],
)
def test_none_is_sent_where_it_would_break_the_signature_or_there_is_one(query, headers):
    assert checksum_header(f"https://store/key?{query}", headers, MD5) == {}
