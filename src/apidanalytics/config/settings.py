"""The table of all settings: each row is a key, its kind, its default and its help, and a field of ``Settings``."""

# ruff: noqa: RUF009 - each call makes a dataclasses.field
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from apidanalytics import layout
from apidanalytics.config import kinds
from apidanalytics.config.setting import METADATA, Setting, default, optional, required

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_LARGE: Final = 2**50
_DAY: Final = 86400.0
_MANY: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in effect. Durations are seconds, sizes are bytes; what is not set is None.

    The attribute of a key is the key without ``apidanalytics_``; other keys keep their whole name.
    """

    # Where things are
    local_storage_path: Path = required(
        "local_storage_path", kinds.PATH, "directory of everything that is kept", embedded=Path("data")
    )
    data_path: str = default("apidanalytics_data_path", kinds.DATA_PATH, "/ax", "data directory below it")
    apigeesync_apid_instance_id: str | None = optional(
        "apigeesync_apid_instance_id", kinds.INSTANCE_ID, "name of this collector in file names; not set: made once"
    )

    # The data API
    api_listen: str = default("api_listen", kinds.LISTEN, "127.0.0.1:9000", "where the data API listens")
    api_tls_cert: Path | None = optional("api_tls_cert", kinds.PATH, "certificate chain (PEM): HTTPS, with the key")
    api_tls_key: Path | None = optional("api_tls_key", kinds.PATH, "private key (PEM) of the certificate")
    api_tokens_file: Path | None = optional(
        "apidanalytics_api_tokens_file", kinds.PATH, "file of the bearer tokens that batches have to come with"
    )
    api_client_ca: Path | None = optional(
        "apidanalytics_api_client_ca", kinds.PATH, "authorities (PEM) of the client certificates that it asks for"
    )
    api_client_names: tuple[str, ...] | None = optional(
        "apidanalytics_api_client_names", kinds.CLIENT_NAMES, "names of which a client certificate must hold one"
    )
    base_path: str = default("apidanalytics_base_path", kinds.BASE_PATH, "/analytics", "path that batches go to")
    workers: int = default(
        "apidanalytics_workers", kinds.integer(0, 256, unit="processes"), 0, "ingest workers; 0: one per core"
    )
    max_connections: int = default(
        "apidanalytics_max_connections",
        kinds.integer(1, 1_000_000, unit="connections"),
        10_000,
        "open connections per worker",
    )
    reclaim_after: float = default(
        "apidanalytics_reclaim_after",
        kinds.duration(),
        10.0,
        "with all connections taken and others waiting, those that were quiet for so long are closed",
    )
    max_header_bytes: int = default(
        "apidanalytics_max_header_bytes", kinds.size(256, _MIB), 16 * _KIB, "longest header of a request"
    )
    max_target_bytes: int = default(
        "apidanalytics_max_target_bytes", kinds.size(256, _MIB), 8 * _KIB, "longest path and query of a request"
    )
    max_body_bytes: int = default(
        "apidanalytics_max_body_bytes", kinds.size(), 16 * _MIB, "largest body as received; above it 413"
    )
    max_payload_bytes: int = default(
        "apidanalytics_max_payload_bytes", kinds.size(), 128 * _MIB, "largest body once unzipped; above it 413"
    )
    max_batch_records: int = default(
        "apidanalytics_max_batch_records",
        kinds.integer(1, _MANY, unit="records"),
        50_000,
        "most records in a batch; above it 413",
    )
    max_record_members: int = default(
        "apidanalytics_max_record_members",
        kinds.integer(1, _MANY, unit="members"),
        10_000,
        "most members of a record in which something is to be changed; above it 413",
    )
    request_timeout: float = default(
        "apidanalytics_request_timeout", kinds.duration(), 30.0, "longest time for a request to arrive; then 408"
    )
    keepalive_timeout: float = default(
        "apidanalytics_keepalive_timeout", kinds.duration(), 300.0, "an idle connection is closed after this"
    )
    handshake_timeout: float = default(
        "apidanalytics_handshake_timeout", kinds.duration(), 10.0, "longest time for a TLS handshake"
    )
    max_pipelined_requests: int = default(
        "apidanalytics_max_pipelined_requests",
        kinds.integer(1, 10_000, unit="requests"),
        32,
        "requests of one connection that may wait for their answers",
    )
    shutdown_timeout: float = default(
        "apidanalytics_shutdown_timeout", kinds.duration(0), 30.0, "longest time to drain when stopping"
    )

    # Records
    validation: str = default(
        "apidanalytics_validation", kinds.choice("basic", "strict"), "basic", "which checks a record must pass"
    )
    tenant_fields: str = default(
        "apidanalytics_tenant_fields",
        kinds.choice("keep", "overwrite"),
        "keep",
        "what becomes of another organization or environment in a record",
    )
    developer_info: bool = default(
        "apidanalytics_developer_info", kinds.BOOLEAN, value=True, help_text="add developer data to records"
    )

    mask: dict[str, str] | None = optional(
        "apidanalytics_mask", kinds.MASK, "what is masked in records before they are written, and how"
    )
    mask_key_file: Path | None = optional(
        "apidanalytics_mask_key_file", kinds.PATH, "file with the key of the action hash"
    )

    # Scopes
    scopes_file: Path | None = optional("apidanalytics_scopes_file", kinds.PATH, "YAML file with the scope data")
    scopes_database: Path | None = optional(
        "apidanalytics_scopes_database", kinds.PATH, "SQLite database with the scope data"
    )
    apigeesync_proxy_server_base: str | None = optional(
        "apigeesync_proxy_server_base", kinds.BASE_URL, "Apigee Sync: server that gives the token"
    )
    apigeesync_snapshot_server_base: str | None = optional(
        "apigeesync_snapshot_server_base", kinds.BASE_URL, "Apigee Sync: server of the snapshots"
    )
    apigeesync_change_server_base: str | None = optional(
        "apigeesync_change_server_base", kinds.BASE_URL, "Apigee Sync: server of the change lists"
    )
    apigeesync_consumer_key: str | None = optional(
        "apigeesync_consumer_key", kinds.PRINTABLE, "Apigee Sync: account of this collector", secret=True
    )
    apigeesync_consumer_secret: str | None = optional(
        "apigeesync_consumer_secret", kinds.PRINTABLE, "Apigee Sync: its password", secret=True
    )
    apigeesync_cluster_id: str | None = optional(
        "apigeesync_cluster_id", kinds.SELECTOR, "Apigee Sync: the cluster this collector belongs to"
    )
    apigeesync_instance_name: str | None = optional(
        "apigeesync_instance_name", kinds.PRINTABLE, "name shown there; not set: the host's"
    )
    apigeesync_snapshot_proto: str = default(
        "apigeesync_snapshot_proto", kinds.choice("sqlite"), "sqlite", "form of the snapshots; only this one"
    )
    apigeesync_poll_interval: float = default(
        "apigeesync_poll_interval", kinds.duration(), 120.0, "longest pause between attempts when Apigee Sync is away"
    )
    apigeesync_diagnostic_mode: bool = default(
        "apigeesync_diagnostic_mode", kinds.BOOLEAN, value=False, help_text="serve the stored snapshot, ask for nothing"
    )
    sync_block: float = default(
        "apidanalytics_sync_block", kinds.duration(1, 3600, whole=True), 45.0, "how long a poll for changes may wait"
    )
    sync_limit: int = default(
        "apidanalytics_sync_limit", kinds.integer(1, 100_000, unit="changes"), 100, "most changes in one answer"
    )
    sync_timeout: float = default(
        "apidanalytics_sync_timeout", kinds.duration(), 60.0, "a call to Apigee Sync without progress is given up after"
    )
    use_caching: bool = default(
        "apidanalytics_use_caching", kinds.BOOLEAN, value=True, help_text="answer look-ups from memory"
    )
    cache_refresh_interval: float = default(
        "apidanalytics_cache_refresh_interval", kinds.duration(), 1800.0, "the memory of look-ups is renewed after this"
    )
    cache_max_keys: int = default(
        "apidanalytics_cache_max_keys",
        kinds.integer(1, _MANY, unit="keys"),
        345_000,
        "API keys that a worker remembers",
    )

    # Making batches durable
    durability: str = default(
        "apidanalytics_durability", kinds.choice("disk", "os", "memory"), "disk", "what a 200 waits for"
    )
    commit_linger: float = default(
        "apidanalytics_commit_linger", kinds.duration(0, 1.0), 0.001, "wait for more batches before a commit"
    )
    buffer_channel_size: int = default(
        "apidanalytics_buffer_channel_size",
        kinds.integer(1, 1_000_000, unit="batches"),
        100,
        "batches that may wait for the disk, per worker; beside tenants that flood, as many of the others",
    )
    max_inflight_bytes: int = default(
        "apidanalytics_max_inflight_bytes", kinds.size(), 32 * _MIB, "bodies in a worker at once; above it none is read"
    )
    flood_share: float = default(
        "apidanalytics_flood_share",
        kinds.fraction(0.1),
        0.5,
        "of a worker's time, while tenants post much less than others who get it; 1: all",
    )
    overload_wait: float = default(
        "apidanalytics_overload_wait", kinds.duration(0), 10.0, "wait for room in the buffer, then OVERLOADED"
    )
    overload_status: int = default(
        "apidanalytics_overload_status", kinds.number_choice(503, 500), 503, "status of the answers that say try later"
    )

    idempotency_window: float = default(
        "apidanalytics_idempotency_window", kinds.duration(), _DAY, "a repeat with the same Idempotency-Key is known"
    )
    idempotency_max_keys: int = default(
        "apidanalytics_idempotency_max_keys",
        kinds.integer(1, _MANY, unit="keys"),
        10_000_000,
        "idempotency keys that are remembered; above it 503",
    )

    # Files
    collection_interval: float = default(
        "apidanalytics_collection_interval", kinds.duration(1, _DAY, whole=True), 120.0, "time that one bucket covers"
    )
    spool_max_bytes: int = default(
        "apidanalytics_spool_max_bytes", kinds.size(), 1024 * _MIB, "a spool of this size is sealed early"
    )
    max_file_bytes: int = default(
        "apidanalytics_max_file_bytes", kinds.size(), 512 * _MIB, "records in one file; above it another one begins"
    )

    # Disk
    max_disk_bytes: int | None = optional(
        "apidanalytics_max_disk_bytes", kinds.size(_MIB, _LARGE), "what the data directory may take; not set: the disk"
    )
    min_free_disk_bytes: int = default(
        "apidanalytics_min_free_disk_bytes", kinds.size(0, _LARGE), 128 * _MIB, "kept free of new batches; 0: nothing"
    )
    tenant_max_disk_bytes: int | None = optional(
        "apidanalytics_tenant_max_disk_bytes", kinds.size(_MIB, _LARGE), "what one tenant may take of it"
    )
    full_policy: str = default(
        "apidanalytics_full_policy", kinds.choice("reject", "drop_oldest"), "reject", "what gives way when it is full"
    )

    # Upload
    uap_server_base: str = required(
        "apidanalytics_uap_server_base", kinds.BASE_URL, "collection endpoint that gives the signed URLs", embedded=""
    )
    apigeesync_bearer_token: str | None = optional(
        "apigeesync_bearer_token", kinds.TOKEN, "token for the collection endpoint", secret=True
    )
    apigeesync_bearer_token_file: Path | None = optional(
        "apigeesync_bearer_token_file", kinds.PATH, "file with that token, read again when it changes"
    )
    upload_interval: float = default(
        "apidanalytics_upload_interval", kinds.duration(), 5.0, "longest time until a new file is noticed"
    )
    upload_concurrency: int = default(
        "apidanalytics_upload_concurrency",
        kinds.integer(1, 256, unit="files"),
        4,
        "files on their way at once; one that crawls lets another go beside it",
    )
    upload_timeout: float = default(
        "apidanalytics_upload_timeout", kinds.duration(), 60.0, "an upload without progress is given up after this"
    )
    upload_attempts: int = default(
        "apidanalytics_upload_attempts",
        kinds.integer(1, 1000, unit="attempts"),
        3,
        "attempts until a file moves to failed/",
    )
    failed_retry_interval: float = default(
        "apidanalytics_failed_retry_interval", kinds.duration(), 600.0, "failed/ is tried again after this"
    )
    encrypt: bool = default(
        "apidanalytics_encrypt", kinds.BOOLEAN, value=False, help_text="ask the store to encrypt (AES256)"
    )
    ca_bundle: Path | None = optional(
        "apidanalytics_ca_bundle", kinds.PATH, "certificate authorities (PEM) for outgoing calls; not set: the system's"
    )
    configfwdproxy_url: str | None = optional("configfwdproxy_url", kinds.HOST, "host of the proxy for outgoing calls")
    configfwdproxy_port: int | None = optional("configfwdproxy_port", kinds.integer(1, 65535), "its port")
    configfwdproxy_prot: str = default(
        "configfwdproxy_prot", kinds.choice("https", "http"), "https", "how the proxy is spoken to"
    )
    configfwdproxy_user: str | None = optional("configfwdproxy_user", kinds.PRINTABLE, "user at the proxy")
    configfwdproxy_passwd: str | None = optional(
        "configfwdproxy_passwd", kinds.PRINTABLE, "password at the proxy", secret=True
    )
    ledger_retention: float = default(
        "apidanalytics_ledger_retention", kinds.duration(), 7 * _DAY, "how long the ledger lists an uploaded file"
    )
    collection_listen: str = default(
        "apidanalytics_collection_listen", kinds.LISTEN_TCP, "127.0.0.1:0", "where the embedded endpoint listens"
    )

    # Running
    log_level: str = default(
        "log_level",
        kinds.choice("debug", "info", "warning", "warn", "error", "fatal", "panic"),
        "info",
        "least level that is logged",
    )
    log_format: str = default(
        "apidanalytics_log_format", kinds.choice("auto", "text", "json"), "auto", "auto: text on a terminal, else JSON"
    )
    log_repeat_interval: float = default(
        "apidanalytics_log_repeat_interval", kinds.duration(0, _DAY), 60.0, "repeated lines are counted for this long"
    )
    log_repeat_limit: int = default(
        "apidanalytics_log_repeat_limit",
        kinds.integer(1, 1_000_000, unit="lines"),
        100,
        "lines of one event in that time; more are counted",
    )
    worker_timeout: float = default(
        "apidanalytics_worker_timeout", kinds.duration(1), 10.0, "a worker that is silent this long is replaced"
    )

    # Administration
    admin_listen: str = default(
        "apidanalytics_admin_listen", kinds.LISTEN_OR_OFF, "127.0.0.1:9001", "status page, metrics and API; off: none"
    )
    admin_token_file: Path | None = optional(
        "apidanalytics_admin_token_file", kinds.PATH, "file with the token that the administration address asks for"
    )
    admin_tls_cert: Path | None = optional(
        "apidanalytics_admin_tls_cert", kinds.PATH, "its certificate chain (PEM): HTTPS, with the key"
    )
    admin_tls_key: Path | None = optional("apidanalytics_admin_tls_key", kinds.PATH, "private key (PEM) of it")
    admin_client_ca: Path | None = optional(
        "apidanalytics_admin_client_ca", kinds.PATH, "authorities (PEM) of the client certificates that it asks for"
    )
    metrics_tenants: int = default(
        "apidanalytics_metrics_tenants",
        kinds.integer(0, 10_000, unit="tenants"),
        100,
        "tenants with metrics of their own; 0: none",
    )
    otlp_endpoint: str | None = optional(
        "apidanalytics_otlp_endpoint", kinds.BASE_URL, "base URL of an OpenTelemetry collector (OTLP over HTTP)"
    )
    otlp_interval: float = default(
        "apidanalytics_otlp_interval", kinds.duration(1), 60.0, "metrics are sent there this often"
    )

    origins: dict[str, str] = field(default_factory=dict, repr=False)
    """Where the value of each key came from; a key that is not listed has its default."""

    @property
    def data(self) -> layout.DataDirectory:
        """The data directory."""
        return layout.DataDirectory(self.local_storage_path / self.data_path.strip("/"))

    @property
    def lake(self) -> Path:
        """Where the embedded endpoint keeps the objects."""
        return self.local_storage_path / "lake"

    @property
    def scopes_directory(self) -> Path:
        """The versions of scope data that comes from a file or a database."""
        return self.local_storage_path / "scopes"

    @property
    def sync_directory(self) -> Path:
        """The versions of scope data that comes from Apigee Sync."""
        return self.local_storage_path / "apigeesync"

    @property
    def instance_id_file(self) -> Path:
        """The instance id that was made at the first start."""
        return self.local_storage_path / "instance_id"

    def to_json(self) -> bytes:
        """Return all settings, secrets too: for the pipe to a worker, and for the program that replaces this one."""
        return msgspec.json.encode(self, enc_hook=str)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Return the settings that ``to_json`` gave.

        Raises:
            msgspec.MsgspecError: it is something else.

        """
        return msgspec.json.decode(text, type=cls, dec_hook=_from_text)


SETTINGS: Final[tuple[Setting, ...]] = tuple(
    row.metadata[METADATA] for row in fields(Settings) if METADATA in row.metadata
)
"""The table, in the order of the docs."""


def _from_text(kind: type[Any], text: Any) -> Any:
    return kind(text)
