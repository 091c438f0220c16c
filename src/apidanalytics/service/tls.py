"""The TLS side of our servers."""

import ssl
from functools import partial
from pathlib import Path

from apidanalytics.config import Settings
from apidanalytics.ingest.peers import Admit, has_name


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the listener speaks TLS with, or None when it speaks plain HTTP.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    return _context(settings.api_tls_cert, settings.api_tls_key, settings.api_client_ca)


def admin_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return what the administration address speaks TLS with, or None when it speaks plain HTTP.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    return _context(settings.admin_tls_cert, settings.admin_tls_key, settings.admin_client_ca)


def admission(settings: Settings) -> Admit | None:
    """Return what decides which client certificates are let in, beside who signed them; None: nothing does."""
    if settings.api_client_names is None:
        return None
    return partial(has_name, frozenset(settings.api_client_names))


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return what a server speaks TLS with.

    Raises:
        OSError: a file cannot be read (``ssl.SSLError``: it is not what it should be).

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    return context


def _context(cert: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    context = tls_context(cert, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
