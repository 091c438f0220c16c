"""What botocore makes of a signed PUT, learned once a day and filled in for each URL.

Of two PUTs to one bucket on one day, with the same headers and expiry, only key and time differ, in what is signed as
in the URL. So botocore's signer says once what it would sign, and what the URL would be; from then on key and time are
filled in, and the signature is one HMAC with the key of the day: a tenth of the work.
"""

import hashlib
import hmac
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from apidanalytics.collection.gaps import KEY, cut, filled

_UNKNOWN: Final = "botocore signs in a form that is not known here"


class _Signer(S3SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    def unsigned(self, url: str, headers: Mapping[str, str], at: str) -> tuple[str, str]:
        """Return the URL of a PUT, but for the signature at its end, and what is to be signed of it."""
        request = AWSRequest("PUT", url, headers=headers)
        request.context["timestamp"] = at
        self._modify_request_before_signing(request)
        canonical = str(self.canonical_request(request))
        self._inject_signature_to_request(request, "")
        return str(request.url), canonical

    def head(self, at: str) -> str:
        """Return what stands before the digest of a request in what is signed."""
        moment = SimpleNamespace(context={"timestamp": at})
        return str(self.string_to_sign(moment, "")).removesuffix(hashlib.sha256().hexdigest())

    def key(self, at: str) -> bytes:
        """Return the key that signs on this day."""
        key = f"AWS4{self.credentials.secret_key}".encode()
        for part in (at[:8], self._region_name, self._service_name, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


class SignedForm:
    """A signed PUT with gaps for key and time; instants are ``yyyyMMddTHHmmssZ``, UTC."""

    def __init__(
        self, base: str, headers: Mapping[str, str], *, credentials: Any, region: str, expires_seconds: int, at: str
    ) -> None:
        """Learn what botocore makes of a PUT at this time.

        Raises:
            ValueError: something that cannot be filled in.

        """
        signer = _Signer(credentials, "s3", region, expires_seconds)
        url, canonical = signer.unsigned(base + KEY, headers, at)
        self._url, self._canonical = cut(url, at), cut(canonical, at)
        self._before, time, self._after = signer.head(at).partition(at)
        if not time or at in self._after:
            raise ValueError(_UNKNOWN)
        # A copy of it signs: ``hmac.digest`` would let other threads go first, for each URL.
        self._keyed = hmac.new(signer.key(at), digestmod="sha256")
        self.day = at[:8]
        """Of this day it is."""

    def url(self, key: str, at: str) -> str:
        """Return the URL for a key, signed at a time of this day."""
        path = quote(key, safe="/~")
        digest = hashlib.sha256(filled(self._canonical, path, at).encode()).hexdigest()
        to_sign = f"{self._before}{at}{self._after}{digest}"
        signing = self._keyed.copy()
        signing.update(to_sign.encode())
        return filled(self._url, path, at) + signing.hexdigest()
