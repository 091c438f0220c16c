"""The parts of the collection service that follow from its file alone."""

import importlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from apidanalytics import durable
from apidanalytics.clock import Clock
from apidanalytics.collection.audit import AuditLog, Rotation
from apidanalytics.collection.lake import Lake
from apidanalytics.collection.local import LocalStore
from apidanalytics.collection.ports import Store, StoreUnavailableError
from apidanalytics.collection.rate import RateLimit
from apidanalytics.collection.server import InForce
from apidanalytics.collection.settings import CollectionSettings, StoreSettings
from apidanalytics.collection.signature import UrlSigner
from apidanalytics.collection.tenants import Rules
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.collection_tls import certificate_problems

SIGNING_KEY: Final = ".signing-key"
"""Beside the objects of a local store: it outlives the process, and so do the URLs that were handed out."""

_SDK: Final = {
    "s3": ("apidanalytics.collection.s3", "S3Store", "botocore"),
    "gcs": ("apidanalytics.collection.gcs", "GcsStore", "google-cloud-storage"),
    "azure": ("apidanalytics.collection.azure", "AzureStore", "azure-storage-blob"),
}

log = structlog.get_logger()


def build(settings: CollectionSettings, old: "Built | None", clock: Clock) -> "Built":
    """Make what the settings say; a store that they say nothing new about stays the one it was. It blocks.

    Raises:
        ConfigurationError: with every store that cannot be made, whatever the system does.
        OSError: with every folder, file or audit log that cannot be used now.

    """
    stores: dict[str, Store] = {}
    wrong: list[str] = []
    refused: list[str] = []
    for name, wanted in settings.stores.items():
        try:
            stores[name] = _kept(name, wanted, old) or make_store(wanted, clock)
        except OSError as error:
            refused.append(f"stores.{name}: {error}")
        except ValueError as error:
            wrong.append(f"stores.{name}: {error}")
    audit = _audit_log(settings.service, old, clock)
    try:
        settings.service["audit_log"].open("ab").close()
    except OSError as error:
        refused.append(f"audit_log: {str(settings.service['audit_log'])!r} cannot be written: {error.strerror}")
    if wrong:
        raise ConfigurationError([*wrong, *refused])
    if refused:
        raise OSError("; ".join(refused))
    refresh(stores)
    in_force = InForce(
        tokens={token.hash: token for token in settings.tokens},
        rules=Rules(settings.rules),
        stores=stores,
        limit=RateLimit(settings.service["rate_limit"], clock),
        audit=audit,
    )
    return Built(settings, in_force)


class Built:
    """Settings, and what was made of them."""

    def __init__(self, settings: CollectionSettings, in_force: InForce) -> None:
        self.settings = settings
        self.in_force = in_force

    def local_stores(self) -> Iterator[tuple[str, LocalStore, str | None]]:
        """Yield each store whose PUTs come to this service, with its name and public URL."""
        for name, store in self.in_force.stores.items():
            if isinstance(store, LocalStore):
                yield name, store, self.settings.stores[name].values["public_url"]


def make_store(settings: StoreSettings, clock: Clock) -> Store:
    """Return a store.

    Raises:
        ValueError: what it needs is not installed, or its settings cannot be used.
        OSError: a folder or file cannot be used.

    """
    if settings.type == "local":
        return _local_store(settings.values, clock)
    module, name, distribution = _SDK[settings.type]
    try:
        make = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(
            f"type {settings.type} needs {distribution}, which is not installed ({error}):"
            f" pip install 'apidanalytics[{settings.type}]'"
        ) from error
    store: Store = make(**settings.values)
    return store


def check(settings: CollectionSettings, clock: Clock) -> None:
    """Try whether the stores could be made and the certificate used, and leave no trace.

    Raises:
        ConfigurationError: with what could not.

    """
    problems = certificate_problems(settings)
    for name, wanted in settings.stores.items():
        try:
            if wanted.type != "local":
                make_store(wanted, clock)
        except (OSError, ValueError) as error:
            problems.append(f"stores.{name}: {error}")
    if problems:
        raise ConfigurationError(problems)


def refresh(stores: Mapping[str, Store]) -> bool:
    """Let each store get what it needs; return whether all have it. It blocks."""
    missing = 0
    for name, store in stores.items():
        try:
            store.refresh()
        except (StoreUnavailableError, OSError) as error:
            missing += 1
            hint = "requests for this store are answered 503 unless earlier credentials still hold"
            log.error("collection.store_unavailable", store=name, reason=str(error), hint=hint)  # noqa: TRY400 - the reason says it all
    return not missing


def _kept(name: str, wanted: StoreSettings, old: Built | None) -> Store | None:
    is_same = old is not None and old.settings.stores.get(name) == wanted
    return old.in_force.stores[name] if old is not None and is_same else None


def _local_store(values: Mapping[str, Any], clock: Clock) -> LocalStore:
    folder: Path = values["path"]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer = UrlSigner(_signing_key(folder / SIGNING_KEY))
    return LocalStore(lake=Lake(folder), signer=signer, clock=clock, create_only=values["create_only"])


def _signing_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        durable.write(path, key)
        return key


def _audit_log(service: Mapping[str, Any], old: Built | None, clock: Clock) -> AuditLog:
    if old is not None and old.settings.service["audit_log"] == service["audit_log"]:
        return old.in_force.audit
    return AuditLog(service["audit_log"], rotation(service), clock)


def rotation(service: Mapping[str, Any]) -> Rotation:
    """Return when the audit log is rotated."""
    return Rotation(
        max_bytes=service["audit_max_size"],
        max_age_seconds=service["audit_max_age"],
        keep=service["audit_keep"],
    )
