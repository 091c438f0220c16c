"""Until when the certificates are good that our servers show."""

import errno
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from apidanalytics.config import Settings
from apidanalytics.health.facts import CertificateFacts
from apidanalytics.service.tls import tls_context

_NO_CHECK_TIME: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the module ssl has no name for."""


def certificates(settings: Settings) -> list[CertificateFacts]:
    """Return until when each is good, as its file is now; one of which that cannot be told is left out."""
    return list(_certificates(settings))


def _certificates(settings: Settings) -> Iterator[CertificateFacts]:
    for address, certificate, private in (
        ("api_listen", settings.api_tls_cert, settings.api_tls_key),
        ("apidanalytics_admin_listen", settings.admin_tls_cert, settings.admin_tls_key),
    ):
        if certificate is None or private is None:
            continue
        try:
            until = ends_at(certificate, private)
        except OSError:  # an ssl.SSLError, too: of one that is for no server, say; `doctor` tells what it is
            continue
        yield CertificateFacts(address=address, good_until=until, is_for_batches=address == "api_listen")


def ends_at(certificate: Path, private: Path) -> float:
    """Return until when a certificate is good: by a handshake with itself, in memory, in which it is the authority.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be), or does not say it.

    """
    server = tls_context(certificate, private)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VerifyFlags(client.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    client.load_verify_locations(certificate)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(ours, theirs), server.wrap_bio(theirs, ours, server_side=True))
    for _ in range(10):
        steps = [_step(side) for side in sides]
        if all(steps):
            break
    try:
        shown: dict[str, Any] = sides[0].getpeercert() or {}
        return float(ssl.cert_time_to_seconds(shown["notAfter"]))
    except (KeyError, ValueError) as error:
        raise OSError(errno.EINVAL, "does not say until when it is good") from error


def _step(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
