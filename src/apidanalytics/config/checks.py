"""What must hold between settings, each of which is right in itself. Every check returns problems; none raises."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from apidanalytics.config import addresses
from apidanalytics.config.sources import printable

_TOGETHER: Final = (
    ("api_tls_cert", "api_tls_key"),
    ("apidanalytics_admin_tls_cert", "apidanalytics_admin_tls_key"),
    ("configfwdproxy_url", "configfwdproxy_port"),
)
_APART: Final = (
    ("apidanalytics_scopes_file", "apidanalytics_scopes_database"),
    ("apigeesync_bearer_token", "apigeesync_bearer_token_file"),
    ("apidanalytics_scopes_file", "apigeesync_consumer_key"),
    ("apidanalytics_scopes_database", "apigeesync_consumer_key"),
)
_SYNC: Final = (
    "apigeesync_snapshot_server_base",
    "apigeesync_change_server_base",
    "apigeesync_consumer_key",
    "apigeesync_consumer_secret",
)
_SYNC_TOO: Final = ("apigeesync_proxy_server_base", "apigeesync_cluster_id")
"""Needed with those, but alone they mean nothing: a configuration of apid may have them."""
_NEEDS: Final = (
    ("configfwdproxy_user", "configfwdproxy_url"),
    ("configfwdproxy_passwd", "configfwdproxy_user"),
    ("apidanalytics_admin_client_ca", "apidanalytics_admin_tls_cert"),
    ("apidanalytics_api_client_ca", "api_tls_cert"),
    ("apidanalytics_api_client_names", "apidanalytics_api_client_ca"),
)
_AT_LEAST: Final = (("apidanalytics_max_payload_bytes", "apidanalytics_max_body_bytes"),)
# Only what the start itself needs. A token or scope data may come later, and until then batches are still kept.
_READ_AT_START: Final = (
    "api_tls_cert",
    "api_tls_key",
    "apidanalytics_api_tokens_file",
    "apidanalytics_api_client_ca",
    "apidanalytics_mask_key_file",
    "apidanalytics_ca_bundle",
    "apidanalytics_admin_token_file",
    "apidanalytics_admin_tls_cert",
    "apidanalytics_admin_tls_key",
    "apidanalytics_admin_client_ca",
)
_READ_LATER: Final = ("apidanalytics_scopes_file", "apidanalytics_scopes_database", "apigeesync_bearer_token_file")
OPEN_API: Final = (
    "The data API can be reached from other machines and asks neither for tokens nor for client certificates:"
    " whoever reaches it may send batches for any tenant. Set apidanalytics_api_tokens_file, or"
    " apidanalytics_api_client_ca with a certificate."
)
TOKENS_IN_CLEAR: Final = (
    "The bearer tokens of the data API travel in the clear: set api_tls_cert and api_tls_key, unless something in"
    " front of it speaks TLS."
)
_MASK: Final = "apidanalytics_mask"
_MASK_KEY: Final = "apidanalytics_mask_key_file"
_ADMIN_LISTEN: Final = "apidanalytics_admin_listen"
_ADMIN_GUARDS: Final = ("apidanalytics_admin_token_file", "apidanalytics_admin_client_ca")


def contradictions(values: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Yield a problem for each rule between settings that does not hold.

    Args:
        values: those that could be read, by key; a rule about a key that is not among them says nothing.
        shown: each of them as it may be shown, with its origin.

    """
    for one, other in _pairs(_TOGETHER, values):
        if (values[one] is None) != (values[other] is None):
            lone, missing = (other, one) if values[one] is None else (one, other)
            yield f"{lone}: {shown[lone]} needs {missing}: set both or neither"
    for one, other in _pairs(_APART, values):
        if values[one] is not None and values[other] is not None:
            yield f"{one}: {shown[one]} and {other}: {shown[other]} exclude each other: set one of them"
    for one, other in _pairs(_NEEDS, values):
        if values[one] is not None and values[other] is None:
            yield f"{one}: {shown[one]} needs {other}: set it too, or neither"
    yield from _missing_for_sync(values)
    for one, other in _pairs(_AT_LEAST, values):
        if values[one] < values[other]:
            yield f"{one}: {shown[one]} should be at least {other}: {shown[other]}"
    yield from _unguarded(values, shown)
    yield from _without_key(values, shown)


def _unguarded(values: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Whoever reaches the administration address may pause uploads and read every tenant's name."""
    listen = values.get(_ADMIN_LISTEN)
    if listen is None or addresses.is_loopback(listen) or any(values.get(guard) is not None for guard in _ADMIN_GUARDS):
        return
    yield (
        f"{_ADMIN_LISTEN}: {shown[_ADMIN_LISTEN]} can be reached from other machines: set {_ADMIN_GUARDS[0]},"
        f" or {_ADMIN_GUARDS[1]} with a certificate, or listen on 127.0.0.1"
    )


def _without_key(values: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Hashes without a key could be found out by trying."""
    mask = values.get(_MASK)
    if mask is not None and "hash" in mask.values() and values.get(_MASK_KEY, "") is None:
        yield f"{_MASK}: {shown[_MASK]} needs {_MASK_KEY} for hash: set it too"


def unreadable(values: Mapping[str, Any], shown: Mapping[str, str]) -> Iterator[str]:
    """Yield a problem for each file that is needed at the start and cannot be read."""
    for key in _READ_AT_START:
        path = values.get(key)
        if path is not None and (reason := _why_unreadable(path)):
            yield f"{key}: {shown[key]} should be a file that can be read: {reason}"


def _missing_for_sync(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what Apigee Sync still needs, once one of the keys is there that nothing else is for."""
    if any(values.get(key) is not None for key in _SYNC):
        for key in (*_SYNC, *_SYNC_TOO):
            if key in values and values[key] is None:
                yield f"Missing required config value: {key}"


def _pairs(rules: tuple[tuple[str, str], ...], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return (rule for rule in rules if rule[0] in values and rule[1] in values)


def _why_unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return printable(error.strerror or type(error).__name__)


def warnings(values: Mapping[str, Any], *, is_exposed: bool | None = None) -> Iterator[str]:
    """Yield what is allowed, and hardly meant, as sentences.

    Args:
        values: all of them, by key.
        is_exposed: whether other machines can reach the data API, if that is known; else its address says it.

    """
    if is_exposed is None:
        is_exposed = not addresses.is_loopback(values["api_listen"])
    if not is_exposed:
        return
    if values["apidanalytics_api_tokens_file"] is None and values["apidanalytics_api_client_ca"] is None:
        yield OPEN_API
    elif values["apidanalytics_api_tokens_file"] is not None and values["api_tls_cert"] is None:
        yield TOKENS_IN_CLEAR


def not_there(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield which files cannot be read that a start does without for a while, as sentences."""
    for key in _READ_LATER:
        path = values[key]
        if path is not None and (reason := _why_unreadable(path)):
            yield f"{key}: {path} cannot be read: {reason}. The service starts, and takes it up once it can be read."
