"""Small parts of the agent that follow from its settings alone."""

import random
import secrets
from collections.abc import Callable

import msgspec

from apidanalytics.clock import Clock
from apidanalytics.collection.embedded import EmbeddedCollection
from apidanalytics.collection.lake import Lake
from apidanalytics.collection.signature import UrlSigner
from apidanalytics.config import Settings, parse_listen
from apidanalytics.control.channel import Message
from apidanalytics.control.lock import DataDirectoryLock
from apidanalytics.control.server import is_listened_to
from apidanalytics.errors import DataDirectoryLocked
from apidanalytics.layout import DataDirectory
from apidanalytics.model import SpoolHeader
from apidanalytics.outgoing.proxy import Proxy
from apidanalytics.pack.adopt import Adoption
from apidanalytics.pack.strangers import Strangers
from apidanalytics.scopes.database import ScopeDatabase
from apidanalytics.scopes.forms import EXAMPLE, DatabaseForm, YamlForm
from apidanalytics.scopes.source import Published
from apidanalytics.service.deliverable import Deliverable
from apidanalytics.upload.attempts import Attempts, WatchedCollection
from apidanalytics.upload.client import CollectionClient
from apidanalytics.upload.decide import Policy
from apidanalytics.upload.exchange import Exchanger
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.settings import UploadSettings
from apidanalytics.upload.states import State
from apidanalytics.upload.token import FixedToken, TokenFile, TokenSource
from apidanalytics.upload.uploader import Uploader

OnReady = Callable[[str, str | None], None]
"""Told once the service is ready: its URL, and a scope to try, if the example scopes are served."""


def own(data: DataDirectory) -> DataDirectoryLock:
    """Take the lock of a data directory.

    Raises:
        DataDirectoryLocked: an agent owns it, also one whose lock's file somebody removed.

    """
    lock = DataDirectoryLock.acquire(data.lock)
    if is_listened_to(data.control):
        lock.release()
        hint = "is its lock's file another one than it was? An agent listens on control.sock: stop that one"
        raise DataDirectoryLocked(f"{data.root} is in use: {hint}")
    return lock


def scopes_message(published: Published) -> Message:
    """Return the message that tells a worker which scope data to read."""
    message = {"type": "scopes", "version": published.version, "path": str(published.path)}
    return message if published.news is None else {**message, "news": msgspec.to_builtins(published.news)}


def tenant_names(published: Published) -> set[str]:
    """Return the names of all tenants in this version of the scope data."""
    database = ScopeDatabase(published.path)
    try:
        return {tenant.name for tenant in database.tenants().by_uuid.values()}
    finally:
        database.close()


def scope_form(settings: Settings, *, embedded: bool) -> YamlForm | DatabaseForm | None:
    """Return where scope data comes from; None when nothing is configured."""
    if settings.scopes_file is not None:
        return YamlForm(path=settings.scopes_file)
    if settings.scopes_database is not None:
        return DatabaseForm(path=settings.scopes_database)
    return YamlForm(path=EXAMPLE) if embedded else None


def host_and_port(listen: str) -> tuple[str, int]:
    """Return host and port of a TCP address."""
    address = parse_listen(listen)
    assert isinstance(address, tuple)  # the setting takes no unix socket
    return address


def token_source(settings: Settings) -> TokenSource:
    """Return where the bearer token comes from."""
    if settings.apigeesync_bearer_token_file is not None:
        return TokenFile(settings.apigeesync_bearer_token_file)
    return FixedToken(settings.apigeesync_bearer_token)


def start_message(settings: Settings, index: int, instance_id: str, *, shares_sockets: bool) -> Message:
    """Return the first message to a new worker. It holds secrets: it is for the pipe only."""
    return {
        "type": "start",
        "index": index,
        "instance_id": instance_id,
        "shares_sockets": shares_sockets,
        "settings": settings.to_json().decode(),
    }


def exchanger(settings: Settings) -> Exchanger:
    """Return what sends the uploader's requests."""
    return Exchanger(timeout_seconds=settings.upload_timeout, proxy=proxy(settings), ca_bundle=settings.ca_bundle)


def collection_client(
    settings: Settings, base_url: str, exchanger: Exchanger, token: TokenSource, clock: Clock
) -> CollectionClient:
    """Return what asks for signed URLs and puts files there."""
    return CollectionClient(base_url, exchanger=exchanger, token=token, clock=clock, encrypt=settings.encrypt)


def proxy(settings: Settings) -> Proxy | None:
    """Return the forward proxy, if there is one."""
    if settings.configfwdproxy_url is None or settings.configfwdproxy_port is None:
        return None
    return Proxy(
        scheme=settings.configfwdproxy_prot,
        host=settings.configfwdproxy_url,
        port=settings.configfwdproxy_port,
        user=settings.configfwdproxy_user or "",
        password=settings.configfwdproxy_passwd or "",
    )


def upload_settings(settings: Settings) -> UploadSettings:
    """Return the uploader's settings."""
    return UploadSettings(
        concurrency=settings.upload_concurrency,
        interval_seconds=settings.upload_interval,
        failed_retry_seconds=settings.failed_retry_interval,
        retention_seconds=settings.ledger_retention,
        policy=Policy(attempts=settings.upload_attempts),
    )


def uploader(
    settings: Settings, ledger: Ledger, collection: CollectionClient, attempts: Attempts, clock: Clock
) -> Uploader:
    """Return what delivers; every attempt is noted."""
    return Uploader(
        data=settings.data,
        ledger=ledger,
        collection=WatchedCollection(collection, attempts, clock),
        settings=upload_settings(settings),
        clock=clock,
        random=random.random,
    )


def embedded_collection(settings: Settings, token: str, deliverable: Deliverable, clock: Clock) -> EmbeddedCollection:
    """Return the collection endpoint that serves when no other one is configured."""
    return EmbeddedCollection(
        lake=Lake(settings.lake),
        known_among=deliverable.among,
        token=token,
        signer=UrlSigner(secrets.token_bytes(32)),
        clock=clock,
    )


def fallback_header(settings: Settings, number: int, instance_id: str, now: float) -> SpoolHeader:
    """Return what is assumed of a spool whose own header is damaged."""
    return SpoolHeader(
        number=number,
        interval_seconds=int(settings.collection_interval),
        max_file_bytes=settings.max_file_bytes,
        instance_id=instance_id,
        created_at=now,
    )


def adoption(data: DataDirectory, ledger: Ledger, clock: Clock, strangers: Strangers) -> Adoption:
    """Return what makes the ledger know the files that nobody has counted yet."""
    return Adoption(
        data,
        ledger,
        lambda file: ledger.adopted(file, State.STAGED, clock.now()),
        clock=clock,
        strangers=strangers,
    )
