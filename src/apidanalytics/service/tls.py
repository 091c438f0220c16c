"""The TLS side of our servers."""

import ssl
from pathlib import Path

from apidanalytics.config import Settings


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the listener speaks TLS with, or None when it speaks plain HTTP.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    if settings.api_tls_cert is None or settings.api_tls_key is None:
        return None
    return tls_context(settings.api_tls_cert, settings.api_tls_key)


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return what a server speaks TLS with.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context
