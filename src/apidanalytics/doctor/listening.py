"""The addresses that the service listens on, and the certificates that it shows there."""

import http.client
import json
import os
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from apidanalytics.config import parse_listen
from apidanalytics.config.kinds import OFF
from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, ok, problem, skipped
from apidanalytics.health.addresses import SOON_SECONDS
from apidanalytics.health.words import how_long
from apidanalytics.service.certificates import ends_at

_OWN_FILES: Final = 200
"""Open files of a process beside its connections."""


def certificates(patient: Patient) -> Iterator[Result]:
    """Yield whether each certificate fits its key, and for how long it is good."""
    settings = patient.settings
    pairs = {
        "api certificate": (settings.api_tls_cert, settings.api_tls_key),
        "admin certificate": (settings.admin_tls_cert, settings.admin_tls_key),
    }
    for key, (certificate, private) in pairs.items():
        if certificate is not None and private is not None:
            yield _certificate(key, certificate, private)
    if settings.ca_bundle is not None:
        yield _bundle(settings.ca_bundle)


def addresses(patient: Patient) -> Iterator[Result]:
    """Yield whether each address answers, or could be listened on."""
    settings = patient.settings
    yield _address(patient, "api_listen", settings.api_listen, "/ready", tls=settings.api_tls_cert is not None)
    if settings.admin_listen == OFF:
        yield skipped("admin_listen", "apidanalytics_admin_listen is off: no status page, no metrics.")
        return
    if patient.status is not None and patient.status["admin"] is None:
        advice = "`ss -ltnp` says which. End it, or set apidanalytics_admin_listen; it is tried again all the time."
        yield problem("admin_listen", f"Another program listens on {settings.admin_listen}, in our place.", advice)
        return
    if patient.is_running and settings.admin_client_ca is not None:
        yield _listens(patient, settings.admin_listen)
        return
    tls = settings.admin_tls_cert is not None
    yield _address(patient, "admin_listen", settings.admin_listen, "/health", tls=tls)


def open_files(patient: Patient) -> Iterator[Result]:
    """Yield whether a worker may have as many connections as it is meant to."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = patient.settings.max_connections + _OWN_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        text = f"A process may open {hard:,} files, and apidanalytics_max_connections wants {wanted:,}."
        advice = "Raise LimitNOFILE of the unit (`ulimit -Hn`), or lower apidanalytics_max_connections."
        yield problem("open files", text, advice)
    else:
        yield ok("open files", "A worker may have all the connections it is meant to.")


def _address(patient: Patient, check: str, listen: str, path: str, *, tls: bool) -> Result:
    address = parse_listen(listen)
    if not patient.is_running:
        return _free(check, listen, address)
    try:
        status, body = _get(address, path, patient.timeout_seconds, tls=tls)
    except (OSError, http.client.HTTPException) as error:
        advice = "Is it the address the service was started with? `apidanalytics status` says where it serves."
        return problem(check, f"{listen} does not answer: {_reason(error)}.", advice)
    if status == 200 or (check == "admin_listen" and status in (401, 403)):
        return ok(check, f"{listen} answers{' and takes batches' if path == '/ready' else ''}.")
    return problem(check, f"{listen} answers {status}: {_why(body)}", "The other checks say why; see docs/errors.md.")


def _listens(patient: Patient, listen: str) -> Result:
    try:
        _connect(parse_listen(listen), patient.timeout_seconds).close()
    except OSError as error:
        advice = "Another program may have the port: `apidanalytics events --level warning`."
        return problem("admin_listen", f"{listen} does not answer: {_reason(error)}.", advice)
    return ok("admin_listen", f"{listen} listens; it asks for client certificates, so no more was tried.")


def _get(address: tuple[str, int] | Path, path: str, timeout_seconds: float, *, tls: bool) -> tuple[int, bytes]:
    """Return status and body of a GET over a new connection."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout_seconds)
    with closing(connection), closing(_connect(address, timeout_seconds)) as plain:
        connection.sock = _unchecked().wrap_socket(plain) if tls else plain
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read(65536)


def _connect(address: tuple[str, int] | Path, timeout_seconds: float) -> socket.socket:
    if isinstance(address, tuple):
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 # nosec B104 - connects, does not listen
        return socket.create_connection((host, address[1]), timeout_seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_seconds)
    connection.connect(str(address))
    return connection


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is our own address, and what is asked is whether it answers
    return context


def _free(check: str, listen: str, address: tuple[str, int] | Path) -> Result:
    if not isinstance(address, tuple):
        is_there = os.access(address.parent, os.W_OK)
        if is_there:
            return ok(check, f"{listen} can be listened on.")
        return problem(check, f"{address.parent} cannot be written.", "Make it, for the user of the service.")
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        port = address[1]
        advice = f"`ss -ltnp 'sport = :{port}'` says who has it; with the systemd socket unit, that is as it should be."
        return problem(check, f"{listen} cannot be listened on: {_reason(error)}.", advice)
    return ok(check, f"{listen} is free.")


def _certificate(key: str, certificate: Path, private: Path) -> Result:
    renew = "Have it renewed, then `apidanalytics reload` reads it."
    try:
        until = ends_at(certificate, private)
    except ssl.SSLCertVerificationError as error:
        return problem(key, f"{certificate}: {error.verify_message}.", renew)
    except OSError as error:  # an ssl.SSLError, too
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        return problem(
            key, f"{certificate} cannot be used: {reason}.", "It must be PEM, and the key must belong to it."
        )
    left = until - time.time()
    days = left / 86400
    if left <= 0:
        return problem(
            key, f"{certificate} expired {how_long(-left)} ago: clients that check it do not connect.", renew
        )
    if left < SOON_SECONDS:
        return problem(key, f"{certificate} is good for {days:.0f} more days only.", renew)
    return ok(key, f"{certificate} fits its key and is good for {days:.0f} more days.")


def _bundle(path: Path) -> Result:
    try:
        context = ssl.create_default_context(cafile=path)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        return problem("CA bundle", f"{path} cannot be used: {reason}.", "It must hold certificates in PEM.")
    return ok("CA bundle", f"{path} holds {len(context.get_ca_certs())} authorities.")


def _why(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer.get("reason") or "; ".join(answer.get("reasons", [])))[:300]
    except (ValueError, AttributeError, TypeError):
        return "without a reason."


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
