"""The certificate of the collection service: whether it can be used, and how long it still can."""

from collections.abc import Iterator
from pathlib import Path
from ssl import SSLContext
from typing import Final

import structlog

from apidanalytics.clock import Clock
from apidanalytics.collection.audit import format_time
from apidanalytics.collection.settings import CollectionSettings
from apidanalytics.health.addresses import SOON_SECONDS
from apidanalytics.service.certificates import ends_at
from apidanalytics.service.tls import tls_context, wrong_pair

AGAIN_SECONDS: Final = 86400.0
"""How often a certificate that ends is spoken of."""
_RENEW: Final = (
    "have it renewed in its place, it is taken up by itself; uploads of collectors that check it stop without"
)

log = structlog.get_logger()


def certificate_problems(settings: CollectionSettings) -> list[str]:
    """Return what is wrong with the certificate and the key, by the key of the file; nothing where there are none."""
    cert, key = settings.service["tls_cert"], settings.service["tls_key"]
    if cert is None or key is None:
        return []
    unreadable = [problem for name in ("tls_cert", "tls_key") for problem in _unreadable(name, settings.service[name])]
    return unreadable or list(wrong_pair("tls_cert", "tls_key", cert, key))


def collection_tls(settings: CollectionSettings) -> SSLContext | None:
    """Return what the service speaks TLS with, or None when it speaks plain HTTP.

    Raises:
        OSError: with what is wrong with the certificate and the key: one may be renewed just then.

    """
    problems = certificate_problems(settings)
    if problems:
        raise OSError("; ".join(problems))
    cert, key = settings.service["tls_cert"], settings.service["tls_key"]
    return None if cert is None else tls_context(cert, key)


def certificate_ends_at(settings: CollectionSettings) -> float | None:
    """Return until when the certificate is good, in Unix seconds; None where there is none, or that cannot be told."""
    cert, key = settings.service["tls_cert"], settings.service["tls_key"]
    if cert is None or key is None:
        return None
    try:
        return ends_at(cert, key)
    except OSError:  # an ssl.SSLError, too: of one that is for no server, say
        return None


class CertificateWatch:
    """Says in the log that the certificate ends, two weeks ahead, and that it has: at once, and then once a day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: tuple[str, float | None] = ("", None)
        self._said_at = 0.0

    def look(self, good_until: float | None) -> None:
        """Say how it is, if that is new, or was not said for a day."""
        left = SOON_SECONDS if good_until is None else good_until - self._clock.now()
        state = "expired" if left <= 0 else "expires" if left < SOON_SECONDS else ""
        news = (state, good_until)
        is_known = news == self._said and self._clock.monotonic() - self._said_at < AGAIN_SECONDS
        if good_until is None or not state or is_known:
            self._said = news
            return
        self._said, self._said_at = news, self._clock.monotonic()
        until, days = format_time(good_until), round(left / 86400, 1)
        if state == "expired":
            log.error("collection.certificate_expired", good_until=until, days_left=days, hint=_RENEW)
        else:
            log.warning("collection.certificate_expires", good_until=until, days_left=days, hint=_RENEW)


def _unreadable(name: str, path: Path) -> Iterator[str]:
    try:
        path.open("rb").close()
    except OSError as error:
        yield f"{name}: {path} cannot be read: {error.strerror}"
