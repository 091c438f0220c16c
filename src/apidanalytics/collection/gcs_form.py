"""What google-cloud-storage makes of a signed PUT, learned once a day and filled in for each URL.

Of two PUTs to one bucket on one day, with the same headers and expiry, only key and time differ, in what is signed as
in the URL. The library says once what the URL is and what it signs; from then on key and time are filled in, and only
the signature is left to do. That is RSA, by the library's own signer.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from google.auth.credentials import Signing

from apidanalytics.collection.gaps import cut, filled

_UNKNOWN: Final = "google-cloud-storage signs in a form that is not known here"


class Probe(Signing):
    """Credentials that keep what they are given to sign, and sign nothing."""

    def __init__(self, email: str) -> None:
        self._email = email
        self.message = ""

    def sign_bytes(self, message: bytes) -> bytes:
        """Keep it."""
        self.message = message.decode()
        return b""

    @property
    def signer_email(self) -> str:
        """Whose signature it would be."""
        return self._email

    @property
    def signer(self) -> Any:
        """None: there is no key."""
        return None


class SignedForm:
    """A signed PUT with gaps for key and time; instants are ``yyyyMMddTHHmmssZ``, UTC."""

    def __init__(self, url: str, message: str, headers: Mapping[str, str]) -> None:
        """Learn from the URL of a PUT of ``KEY``, but for the signature at its end, and from what was to be signed.

        Raises:
            ValueError: something that cannot be filled in.

        """
        query = parse_qs(urlsplit(url).query)
        at, names = (query.get(f"X-Goog-{name}", [""])[0] for name in ("Date", "SignedHeaders"))
        canonical = _canonical(url, names, headers)
        head = message.removesuffix(hashlib.sha256(canonical.encode()).hexdigest())
        self._before, time, self._after = head.partition(at)
        if head == message or not time or at in self._after:
            raise ValueError(_UNKNOWN)
        self._url, self._canonical = cut(url, at), cut(canonical, at)
        self.day = at[:8]
        """Of this day it is."""

    def url(self, key: str, at: str, sign: Callable[[bytes], bytes]) -> str:
        """Return the URL for a key, signed at a time of this day."""
        path = quote(key, safe="/~")
        digest = hashlib.sha256(filled(self._canonical, path, at).encode()).hexdigest()
        return filled(self._url, path, at) + sign(f"{self._before}{at}{self._after}{digest}".encode()).hex()


def _canonical(url: str, names: str, headers: Mapping[str, str]) -> str:
    """Return what Signature Version 4 makes of the PUT; whether that is so shows in its digest."""
    parts = urlsplit(url)
    values = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
    query = parts.query.removesuffix("&X-Goog-Signature=")
    lines = (f"{name}:{values.get(name, '')}\n" for name in names.split(";"))
    return f"PUT\n{parts.path}\n{query}\n{''.join(lines)}\n{names}\nUNSIGNED-PAYLOAD"
