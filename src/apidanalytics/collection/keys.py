"""Every key of the collection service's file, in four tables: the service, a store, a tenant, a token.

``docs/collection.md`` shows them to people, and a test holds it against these tables.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from apidanalytics.access.keys import HASH, NAME, TENANT
from apidanalytics.config import kinds
from apidanalytics.config.kinds import choice, duration, integer, size, text
from apidanalytics.config.tables import Key
from apidanalytics.telemetry.logs import LEVELS

GZIP: Final = "application/x-gzip"
"""What the uploader of this project sends."""

MAX_EXPIRY_SECONDS: Final = 7 * 86400
"""The longest that S3 and Google Cloud Storage allow."""


PREFIX: Final = text(
    expected="names with / between them, none beginning with a dot, with {org}, {env} or {tenant} in them",
    form=r"(?!\.)[A-Za-z0-9._~={}%+-]+(/(?!\.)[A-Za-z0-9._~={}%+-]+)*",
)
MEDIA_TYPE: Final = text(expected="a media type such as application/x-gzip", form=r"[a-z0-9.+-]+/[a-z0-9.+-]+")
BUCKET: Final = text(expected="the name of a bucket", form=r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
BASE_PATH: Final = text(expected="a path such as /edgex, without / at its end", form=r"(/[A-Za-z0-9._~-]+)+")

SERVICE: Final = (
    Key(
        name="listen",
        kind=kinds.LISTEN_TCP,
        default="127.0.0.1:9080",
        help="Address of the service. A new one needs a restart.",
    ),
    Key(name="tls_cert", kind=kinds.PATH, help="Certificate chain (PEM); with it the service speaks TLS."),
    Key(name="tls_key", kind=kinds.PATH, help="Its private key (PEM)."),
    Key(
        name="base_path",
        kind=BASE_PATH,
        help="In front of `/analytics`, as in `/edgex/analytics`. A new one needs a restart.",
    ),
    Key(
        name="rate_limit",
        kind=integer(1, 1_000_000),
        default=1000,
        help="URLs a second for each token; twice as many at once. What is above is answered 429.",
    ),
    Key(
        name="audit_log",
        kind=kinds.PATH,
        default=Path("collection-audit.log"),
        help="Where every URL handed out is noted.",
    ),
    Key(
        name="audit_max_size",
        kind=size(1024),
        default=64 << 20,
        help="The audit log is rotated before it is larger.",
    ),
    Key(name="audit_max_age", kind=duration(1), default=86400.0, help="The audit log is rotated when it is older."),
    Key(name="audit_keep", kind=integer(0, 100_000), default=90, help="How many rotated audit logs are kept."),
    Key(name="shutdown_timeout", kind=duration(0), default=30.0, help="How long requests may take to end at a stop."),
    Key(name="log_level", kind=choice(*LEVELS), default="info", help="Least level that is logged."),
    Key(name="log_format", kind=choice("auto", "text", "json"), default="auto", help="Text for a terminal, or JSON."),
)

_CREATE_ONLY: Final = Key(
    name="create_only",
    kind=kinds.BOOLEAN,
    default=False,
    help="An object that is there already is never replaced.",
)
_ENDPOINT_HELP: Final = "Address of the store, where it is not the provider's own."

_S3: Final = (
    Key(name="bucket", kind=BUCKET, required=True, help="The bucket."),
    Key(
        name="region",
        kind=text(expected="a region such as eu-west-1", form=r"[a-z0-9-]{1,64}"),
        default="us-east-1",
        help="Its region.",
    ),
    Key(name="endpoint", kind=kinds.BASE_URL, help=_ENDPOINT_HELP),
    Key(
        name="addressing",
        kind=choice("virtual", "path"),
        default="virtual",
        help="Whether the bucket stands in the host name or in the path of a URL.",
    ),
    Key(
        name="access_key_id",
        kind=kinds.TOKEN,
        help="Static key pair; without it the environment's or the instance's own credentials sign.",
    ),
    Key(name="secret_access_key", kind=kinds.TOKEN, secret=True, help="Its secret part."),
    Key(name="secret_access_key_file", kind=kinds.PATH, help="File that holds the secret part instead."),
    _CREATE_ONLY,
)
_GCS: Final = (
    Key(name="bucket", kind=BUCKET, required=True, help="The bucket."),
    Key(
        name="credentials_file",
        kind=kinds.PATH,
        required=True,
        help="Key of a service account (JSON) that may create objects in the bucket.",
    ),
    Key(name="endpoint", kind=kinds.BASE_URL, help=_ENDPOINT_HELP),
    _CREATE_ONLY,
)
_AZURE: Final = (
    Key(
        name="account",
        kind=text(expected="the name of a storage account", form=r"[a-z0-9]{3,24}"),
        required=True,
        help="The storage account.",
    ),
    Key(
        name="container",
        kind=text(expected="the name of a container", form=r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
        required=True,
        help="The container.",
    ),
    Key(name="account_key", kind=kinds.TOKEN, secret=True, help="Key of the account (base64)."),
    Key(name="account_key_file", kind=kinds.PATH, help="File that holds the key instead."),
    Key(name="endpoint", kind=kinds.BASE_URL, help=_ENDPOINT_HELP),
    Key(
        name="encryption_scope",
        kind=NAME,
        help="Encryption scope that a URL asked for with `encrypt=true` is bound to.",
    ),
    _CREATE_ONLY,
)
_LOCAL: Final = (
    Key(name="path", kind=kinds.PATH, required=True, help="The folder; it is made if it is not there."),
    Key(
        name="public_url",
        kind=kinds.BASE_URL,
        help="How uploaders reach this service; without it, at the address where it listens, if that is one.",
    ),
    _CREATE_ONLY,
)
STORES: Final[Mapping[str, tuple[Key, ...]]] = MappingProxyType(
    {"s3": _S3, "gcs": _GCS, "azure": _AZURE, "local": _LOCAL}
)
"""By the store's ``type``, the keys beside it."""

STORE_NAME: Final = Key(name="name", kind=NAME, required=True, help="Of the store, as the tenants name it.")
STORE_TYPE: Final = Key(name="type", kind=choice(*STORES), required=True, help="What kind of store it is.")

TENANTS: Final = (
    Key(
        name="tenant",
        kind=TENANT,
        required=True,
        help="`<org>~<env>`, or a pattern of it; an exact name goes first, then the first pattern that fits.",
    ),
    Key(name="store", kind=NAME, required=True, help="Name of the store its objects go to."),
    Key(
        name="prefix",
        kind=PREFIX,
        default="{tenant}",
        help="In front of the key; `{org}`, `{env}` and `{tenant}` are filled in.",
    ),
    Key(
        name="expiry",
        kind=duration(1, MAX_EXPIRY_SECONDS, whole=True),
        default=900.0,
        help="How long a URL may be used.",
    ),
    Key(
        name="content_types",
        kind=MEDIA_TYPE,
        default=(GZIP,),
        many=True,
        help="What may be uploaded.",
    ),
)

TOKENS: Final = (
    Key(name="name", kind=NAME, required=True, help="Who has it; it stands in the audit log."),
    HASH,
    Key(
        name="tenants",
        kind=TENANT,
        required=True,
        many=True,
        help="For whom it may ask: names or patterns, as in `tenant`.",
    ),
)
