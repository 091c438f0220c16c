"""Whether the store holds what was sent: a checksum sent along where the URL allows it, and what its answer says.

Sent: ``Content-MD5`` with URLs of Signature Version 4 (S3, GCS) and of an Azure SAS, which leave headers that they do
not name free. A URL with an older signature would not match any more, and of an unknown one nobody knows.

Read: ``ETag`` where it is an MD5 (32 hex digits, the object not encrypted with a key of KMS or the customer's own);
``x-goog-hash`` and ``x-goog-stored-content-length`` of GCS; ``Content-MD5`` of Azure.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final

from apidanalytics.upload.answers import Answer

_MD5: Final = re.compile(r'"?([0-9a-fA-F]{32})"?')
_GOOGLE_MD5: Final = re.compile(r"\bmd5=([A-Za-z0-9+/]{22}==)")
_SIZE: Final = "x-goog-stored-content-length"
_BINDS_NAMED_HEADERS_ONLY: Final = ({"X-Amz-Signature"}, {"X-Goog-Signature"}, {"sv", "se", "sig"})
_CUSTOMERS_KEY: Final = "x-amz-server-side-encryption-customer-algorithm"


def checksum_header(url: str, headers: Mapping[str, str], md5: str) -> dict[str, str]:
    """Return the header by which the store checks what it gets; none where the URL would no longer match."""
    named = {name.lower() for name in headers}
    if any(name == "content-md5" or name.startswith("x-amz-checksum-") for name in named):
        return {}  # the endpoint has its own
    query = f"&{url.partition('?')[2].partition('#')[0]}"
    if not any(all(f"&{name}=" in query for name in needed) for needed in _BINDS_NAMED_HEADERS_ONLY):
        return {}
    return {"Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode()}


def contradiction(answer: Answer, *, md5: str, size_bytes: int) -> str | None:
    """Return how the store's answer contradicts the file; None when it agrees, or says nothing."""
    for said in _said_md5(answer.headers):
        if said != md5:
            return f"the object store has other bytes: their MD5 is {said}, not {md5}"
    size = answer.headers.get(_SIZE, "")
    if size.isascii() and size.isdigit() and int(size) != size_bytes:
        return f"the object store has {size} bytes, not {size_bytes}"
    return None


def confirms(answer: Answer, *, md5: str) -> bool:
    """Tell whether an answer that refuses to replace an object says that the object holds these bytes.

    An ``ETag`` that differs says nothing here: a refusal need not tell that the object is encrypted with a key.
    """
    # Content-MD5 would be that of the refusal itself.
    return md5 in _said_md5({**answer.headers, "content-md5": ""})


def _said_md5(headers: Mapping[str, str]) -> Iterator[str]:
    etag = _MD5.fullmatch(headers.get("etag", ""))
    if etag and not _is_encrypted_by_key(headers):
        yield etag[1].lower()
    google = _GOOGLE_MD5.search(headers.get("x-goog-hash", ""))
    for encoded in (google[1] if google else None, headers.get("content-md5")):
        if encoded and re.fullmatch(r"[A-Za-z0-9+/]{22}==", encoded):
            yield base64.b64decode(encoded).hex()


def _is_encrypted_by_key(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-server-side-encryption", "").startswith("aws:kms") or _CUSTOMERS_KEY in headers
