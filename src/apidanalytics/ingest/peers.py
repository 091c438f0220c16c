"""Whose client certificate it is: decided once a connection, when its handshake is done."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Certificate = Mapping[str, Any]
"""As ``ssl.SSLSocket.getpeercert`` gives it: of a certificate whose signer is trusted."""

Admit = Callable[[Certificate], bool]
"""Says whether the client that has this certificate may send requests."""


def names_of(certificate: Certificate) -> Iterator[str]:
    """Yield the names in a certificate: its subjectAltNames; only if there are none, the common name (RFC 6125)."""
    alternatives = certificate.get("subjectAltName", ())
    yield from (name for _, name in alternatives if isinstance(name, str))
    if not alternatives:
        for part in certificate.get("subject", ()):
            yield from (value for key, value in part if key == "commonName")


def has_name(allowed: Collection[str], certificate: Certificate) -> bool:
    """Say whether one of its names is allowed; ``*.`` in front stands for one more label. Case does not matter."""
    known = {name.lower() for name in allowed}
    return any(not known.isdisjoint(_forms(name.lower())) for name in names_of(certificate))


def _forms(name: str) -> tuple[str, ...]:
    label, dot, rest = name.partition(".")
    return (name, f"*.{rest}") if label and dot and label != "*" else (name,)
