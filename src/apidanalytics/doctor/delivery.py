"""The way to the object store: token, collection endpoint, clock, a signed URL, and an object if that is wanted."""

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from apidanalytics import layout
from apidanalytics.apigeesync.errors import SyncError
from apidanalytics.clock import SystemClock
from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, ok, problem, skipped
from apidanalytics.doctor.scope_data import some_tenant
from apidanalytics.errors import ApidAnalyticsError
from apidanalytics.layout import FileName
from apidanalytics.outgoing.proxy import Proxy
from apidanalytics.service.identity import known_instance_id
from apidanalytics.service.parts import collection_client, exchanger, proxy, token_source
from apidanalytics.service.sync import try_token
from apidanalytics.upload.answers import Answer, SignedUrl
from apidanalytics.upload.client import CollectionClient, Delivery
from apidanalytics.upload.content import Content
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.outcome import Delivered, Party, TokenRefused
from apidanalytics.upload.token import FixedToken, TokenSource
from apidanalytics.upload.turns import Turns

SKEW_SECONDS: Final = 60.0
EMPTY_GZIP: Final = bytes.fromhex("1f8b08000000000000ff03000000000000000000")
"""A gzip file of no records."""
_EVERYBODY: Final = 0o007


async def delivery(patient: Patient) -> AsyncIterator[Result]:
    """Yield what the way to the store is like, step by step; after the first that fails the rest is not tried."""
    token, about_token = await _token(patient)
    if about_token is not None:
        yield about_token
    base = patient.settings.uap_server_base
    if not base:
        for result in _embedded(patient):
            yield result
        return
    patient = replace(patient, settings=replace(patient.settings, upload_timeout=patient.timeout_seconds))
    async with _exchanging(patient) as sending:
        if isinstance(sending, Result):
            yield sending
            return
        async for result in _steps(patient, sending, base, token):
            yield result


async def sync_servers(patient: Patient) -> AsyncIterator[Result]:
    """Yield whether the servers of Apigee Sync answer, if that is where scope data comes from."""
    settings = patient.settings
    if settings.apigeesync_consumer_key is None:
        return
    settings = replace(settings, upload_timeout=patient.timeout_seconds)
    async with _exchanging(replace(patient, settings=settings)) as sending:
        for key in ("apigeesync_snapshot_server_base", "apigeesync_change_server_base"):
            if isinstance(sending, Result):
                return  # the way to the endpoint says the same
            base = getattr(settings, key)
            answer = await sending.get(Party.ENDPOINT, base, {"Accept": "application/json"})
            if isinstance(answer, Answer):
                yield ok("apigee sync", f"{base} answers.")
            else:
                text = answer.reason.removeprefix(f"{Party.ENDPOINT}: ")
                advice = f"Check {key}{_through(proxy(settings))}, DNS and the firewall."
                yield problem("apigee sync", f"{base} cannot be reached: {text}.", advice)


async def _steps(patient: Patient, sending: Exchanger, base: str, token: TokenSource) -> AsyncIterator[Result]:
    answer = await sending.get(Party.ENDPOINT, f"{base.rstrip('/')}/analytics", {"Accept": "application/json"})
    if not isinstance(answer, Answer):
        advice = (
            f"Check apidanalytics_uap_server_base ({base}){_through(proxy(patient.settings))}, DNS and the firewall."
        )
        if "not trusted" in answer.reason:
            advice = (
                "Name the authority that signed it in apidanalytics_ca_bundle, or have a certificate for that name."
            )
        yield problem("endpoint", f"Cannot be reached: {answer.reason}.", advice)
        return
    yield ok("endpoint", f"{base} answers.")
    if (skew := _skew(answer)) is not None:
        yield skew
    tenant = _tenant(patient)
    if tenant is None:
        yield skipped("signed url", "No tenant is known to ask one for; name one with --tenant ORG~ENV.")
        return
    client = collection_client(patient.settings, base, sending, token, SystemClock())
    probe = _probe(tenant)
    signed = await client.sign(probe)
    if not isinstance(signed, SignedUrl):
        yield problem("signed url", f"None for {tenant}: {signed.reason}.", _advice(signed))
        return
    yield ok("signed url", f"The endpoint gives one for {tenant}.")
    yield await _upload(patient, client, probe)


async def _upload(patient: Patient, client: CollectionClient, probe: Delivery) -> Result:
    if not patient.uploads:
        return skipped(
            "upload", "Not tried, for it leaves an empty object in the store: `apidanalytics doctor --upload`."
        )
    outcome = await client.deliver(probe)
    if isinstance(outcome, Delivered):
        path = layout.format_object_path(probe.name, probe.start_at)
        return ok("upload", f"The store took an empty object of {probe.tenant}: {path}")
    advice = "403: the rights of whoever signs; no connection: firewall or proxy on the way; see docs/uploads.md."
    return problem("upload", f"The store did not take an object of {probe.tenant}: {outcome.reason}.", advice)


async def _token(patient: Patient) -> tuple[TokenSource, Result | None]:
    """Return where the token comes from, and what there is to say of it."""
    settings = patient.settings
    file = settings.apigeesync_bearer_token_file
    source = token_source(settings)
    if file is None and settings.apigeesync_bearer_token is None and settings.apigeesync_consumer_key is not None:
        return await _sync_token(patient)
    try:
        token = await source.current()
    except ApidAnalyticsError as error:
        advice = "The file must be readable by the user of the service, and hold the token alone."
        return source, problem("token", f"There is none: {error}.", advice)
    return source, _about(token, patient)


def _about(token: str | None, patient: Patient) -> Result | None:
    file = patient.settings.apigeesync_bearer_token_file
    if token is None:
        is_embedded = not patient.settings.uap_server_base
        return None if is_embedded else skipped("token", "None is configured; the endpoint is asked without one.")
    if file is not None and file.stat().st_mode & _EVERYBODY:
        return problem("token", f"Everybody on this machine can read {file}.", f"chmod 640 {file}")
    if not token.isascii() or not token.isprintable() or " " in token:
        return problem("token", "It holds what no header may: spaces or line breaks.", "Write it alone into its file.")
    return ok("token", f"It is read from {file or 'apigeesync_bearer_token'}.")


async def _sync_token(patient: Patient) -> tuple[TokenSource, Result]:
    base = patient.settings.apigeesync_proxy_server_base
    try:
        instance_id = known_instance_id(patient.settings) or "doctor"
        token = await try_token(patient.settings, instance_id, patient.timeout_seconds)
    except SyncError as error:
        advice = "401: apigeesync_consumer_key and _secret; no answer: apigeesync_proxy_server_base, proxy, firewall."
        return FixedToken(None), problem("token", f"Apigee Sync at {base} gives none: {error}.", advice)
    except OSError as error:
        return FixedToken(None), problem("token", f"{error.filename} cannot be read: {error.strerror}.", "chown it.")
    return FixedToken(token), ok("token", f"Apigee Sync at {base} gives one.")


def _embedded(patient: Patient) -> list[Result]:
    lake = patient.settings.lake
    parent = next((path for path in (lake, *lake.absolute().parents) if path.exists()), Path("/"))
    results = [skipped("endpoint", "The embedded one serves while the service runs; nothing goes to another machine.")]
    if not parent.is_dir():
        return [*results, problem("upload", f"{parent} is no directory.", "Objects go there: move away what it is.")]
    if os.access(parent, os.W_OK):
        return [*results, ok("upload", f"Objects go to {lake.absolute()}, which can be written.")]
    return [*results, problem("upload", f"{parent} cannot be written by this user.", f"chown it, or its lake: {lake}.")]


@asynccontextmanager
async def _exchanging(patient: Patient) -> AsyncIterator[Exchanger | Result]:
    sending = exchanger(patient.settings)
    try:
        await sending.open()
    except OSError as error:
        advice = "apidanalytics_ca_bundle must name a file of certificates in PEM."
        yield problem("endpoint", f"The CA bundle cannot be used: {error.strerror or type(error).__name__}.", advice)
        return
    try:
        yield sending
    finally:
        await sending.aclose()


def _tenant(patient: Patient) -> str | None:
    if patient.tenant is not None:
        return patient.tenant
    found = some_tenant(patient)
    return layout.format_tenant(*found) if found else None


def _probe(tenant: str) -> Delivery:
    """Return an empty file under a name of our form, which no audit takes for one of this collector's."""
    start_at = int(time.time()) // 60 * 60
    number = secrets.randbits(48)
    name = FileName(hash="0000", start_at=start_at, end_at=start_at + 60, instance_id="doctor", n=number)
    content = Content.of(EMPTY_GZIP)
    return Delivery(
        tenant=tenant, start_at=start_at, name=str(name), content=content, md5=content.md5(), turn=Turns(1).turn()
    )


def _skew(answer: Answer) -> Result | None:
    """Compare the clocks, if the endpoint says what its own shows."""
    try:
        there = parsedate_to_datetime(answer.headers["date"])
        seconds = time.time() - (there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    if abs(seconds) > SKEW_SECONDS:
        text = f"This machine is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the endpoint."
        advice = "Signed URLs may count as expired: keep the time with chrony or systemd-timesyncd (`timedatectl`)."
        return problem("clocks", text, advice)
    return ok("clocks", "The clocks here and at the endpoint agree.")


def _advice(trouble: object) -> str:
    if isinstance(trouble, TokenRefused):
        return "Write a good token into apigeesync_bearer_token_file (it is read again), or mend the account."
    return (
        "403, 404 or 400: the endpoint does not know this tenant or its token may not; 5xx: look at the endpoint; "
        "a page or a redirect: something else answers at apidanalytics_uap_server_base."
    )


def _through(way: Proxy | None) -> str:
    return f", the proxy {way.scheme}://{way.host}:{way.port}" if way is not None else ""
