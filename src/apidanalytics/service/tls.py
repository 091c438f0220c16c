"""The TLS side of the data API."""

import ssl

from apidanalytics.config import Settings


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the listener speaks TLS with, or None when it speaks plain HTTP.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    if settings.api_tls_cert is None or settings.api_tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.api_tls_cert, settings.api_tls_key)
    return context
