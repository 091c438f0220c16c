"""The TLS side of our servers."""

import errno
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from apidanalytics.config import Settings
from apidanalytics.errors import ConfigurationError
from apidanalytics.ingest.peers import Admit, has_name

_PEM: Final = "should hold certificates in PEM"
_OTHER_PAIR: Final = {"KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
"""What OpenSSL says of a key of another certificate; the second where it is of another kind, too."""


def check_tls(settings: Settings) -> None:
    """Try the certificates, keys and authorities that are set.

    Raises:
        ConfigurationError: with what is wrong with each, by the key of the setting.

    """
    api = settings.api_tls_cert, settings.api_tls_key
    admin = settings.admin_tls_cert, settings.admin_tls_key
    authorities = {
        "apidanalytics_api_client_ca": settings.api_client_ca,
        "apidanalytics_admin_client_ca": settings.admin_client_ca,
        "apidanalytics_ca_bundle": settings.ca_bundle,
    }
    problems = [
        *wrong_pair("api_tls_cert", "api_tls_key", *api),
        *wrong_pair("apidanalytics_admin_tls_cert", "apidanalytics_admin_tls_key", *admin),
        *(f"{key}: {path} {_PEM}" for key, path in authorities.items() if path is not None and not _is_pem(path)),
    ]
    if problems:
        raise ConfigurationError(problems)


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
    context.load_cert_chain(cert, key, password=_no_pass_phrase)
    return context


def wrong_pair(cert_key: str, key_key: str, cert: Path | None, key: Path | None) -> Iterator[str]:
    """Yield what is wrong with a certificate, or with its key, by the keys of their settings; one of both at most."""
    if cert is None or key is None:
        return
    if not _is_pem(cert):
        yield f"{cert_key}: {cert} {_PEM}"
        return
    try:
        tls_context(cert, key)
    except ssl.SSLError as error:
        if error.reason in _OTHER_PAIR:
            yield f"{key_key}: {key} does not belong to {cert_key}: {cert}"
        elif error.reason:
            yield f"{cert_key}: {cert} cannot be used with {key}: {error.reason}"
        else:  # of what is no PEM it gives no reason
            yield f"{key_key}: {key} should hold a private key in PEM"
    except OSError as error:
        yield f"{key_key}: {key} {error.strerror}"


def _no_pass_phrase() -> str:
    """Take the place of OpenSSL's question at the terminal."""
    raise OSError(errno.EINVAL, "is encrypted: store it without a pass phrase")


def _is_pem(path: Path) -> bool:
    """Whether a file holds certificates; one that cannot be read has been reported as such."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    except OSError:
        pass
    return True


def _context(cert: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    context = tls_context(cert, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
