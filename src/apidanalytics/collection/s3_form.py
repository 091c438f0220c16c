"""What botocore makes of a signed PUT, learned once a day and filled in for each URL.

Of two PUTs to one bucket on one day, with the same headers and expiry, only key and time differ, in what is signed as
in the URL. So botocore's signer says once what it would sign, and what the URL would be; from then on key and time are
filled in, and it makes the signature alone: a quarter of the work.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest

_KEY: Final = "apidanalytics-stands-here-for-the-key"

_Parts = tuple[str, str, str]


class _Signer(S3SigV4QueryAuth):  # type: ignore[misc]  # botocore has no types
    def unsigned(self, url: str, headers: Mapping[str, str], at: str) -> tuple[str, str]:
        """Return the URL of a PUT, but for the signature at its end, and what is to be signed of it."""
        request = AWSRequest("PUT", url, headers=headers)
        request.context["timestamp"] = at
        self._modify_request_before_signing(request)
        canonical = str(self.canonical_request(request))
        self._inject_signature_to_request(request, "")
        return str(request.url), canonical


class SignedForm:
    """A signed PUT with gaps for key and time; instants are ``yyyyMMddTHHmmssZ``, UTC."""

    def __init__(
        self, base: str, headers: Mapping[str, str], *, credentials: Any, region: str, expires_seconds: int, at: str
    ) -> None:
        """Learn what botocore makes of a PUT at this time.

        Raises:
            ValueError: something that cannot be filled in.

        """
        self._signer = _Signer(credentials, "s3", region, expires_seconds)
        url, canonical = self._signer.unsigned(base + _KEY, headers, at)
        self._url, self._canonical = _parts(url, at), _parts(canonical, at)
        self.day = at[:8]
        """Of this day it is."""

    def url(self, key: str, at: str) -> str:
        """Return the URL for a key, signed at a time of this day."""
        path = quote(key, safe="/~")
        moment = SimpleNamespace(context={"timestamp": at})
        to_sign = self._signer.string_to_sign(moment, _filled(self._canonical, path, at))
        return _filled(self._url, path, at) + str(self._signer.signature(to_sign, moment))


def _parts(text: str, at: str) -> _Parts:
    before, key, rest = text.partition(_KEY)
    between, time, after = rest.partition(at)
    if not (key and time) or _KEY in rest or at in after:
        raise ValueError("botocore signs in a form that is not known here")
    return before, between, after


def _filled(parts: _Parts, path: str, at: str) -> str:
    before, between, after = parts
    return f"{before}{path}{between}{at}{after}"
