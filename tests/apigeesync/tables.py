"""The tables that Apigee Sync copies, as far as apid's plugins read them: columns with their PostgreSQL types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BOOL: Final = 16
BYTEA: Final = 17
BIGINT: Final = 20
INT: Final = 23
TEXT: Final = 25
FLOAT4: Final = 700
FLOAT8: Final = 701
VARCHAR: Final = 1043
TIMESTAMP: Final = 1114
TIMESTAMPTZ: Final = 1184

INTEGERS: Final = {21, INT, BIGINT, 26}
FLOATS: Final = {FLOAT4, FLOAT8}
TIMESTAMPS: Final = {TIMESTAMP, TIMESTAMPTZ}

SELECTOR: Final = "_change_selector"
"""The column that says which scope a row belongs to; a table without it is not copied."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the PostgreSQL database."""

    name: str
    """``<schema>.<table>``, without quotes."""
    columns: Mapping[str, int]
    """The type OID of each column."""
    key: tuple[str, ...]
    """The primary key; empty: it has none."""
    is_identity_full: bool = True
    """REPLICA IDENTITY FULL: changes carry the old row. Otherwise they carry its key, or nothing."""
    needs_quotes: bool = field(default=False)
    """The name is a reserved word or has capitals: changes name it with double quotes."""

    @property
    def wire_name(self) -> str:
        """The name that changes give."""
        schema, _, name = self.name.partition(".")
        return f'{schema}."{name}"' if self.needs_quotes else self.name

    @property
    def sqlite_name(self) -> str:
        """The name in a snapshot."""
        return self.name.replace(".", "_", 1)


def _table(name: str, key: str, columns: str, **types: int) -> Table:
    """Every column is text unless it is named in ``types``; all tables have the selector."""
    names = [*columns.split(), SELECTOR]
    return Table(name=name, columns={n: types.get(n, TEXT) for n in names}, key=tuple(key.split()))


_EDGEX: Final = {"id": VARCHAR, "created": TIMESTAMP, "updated": TIMESTAMP}
_KMS: Final = {"created_at": TIMESTAMP, "updated_at": TIMESTAMP}
_WHO: Final = "created_at created_by updated_at updated_by"

TABLES: Final = (
    _table(
        "edgex.apid_cluster",
        "id",
        "id name description umbrella_org_app_name created created_by updated updated_by",
        **_EDGEX,
    ),
    _table(
        "edgex.data_scope",
        "id",
        "id apid_cluster_id scope org env org_scope env_scope created created_by updated updated_by",
        **_EDGEX,
    ),
    _table(
        "kms.api_product",
        "tenant_id id",
        "id tenant_id name display_name description api_resources approval_type environments is_public quota "
        f"quota_interval quota_time_unit {_WHO}",
        **_KMS,
        is_public=BOOL,
        quota_interval=INT,
    ),
    _table(
        "kms.app",
        "tenant_id id",
        f"id tenant_id name display_name callback_url status company_id developer_id parent_id type {_WHO}",
        **_KMS,
    ),
    _table(
        "kms.app_credential",
        "tenant_id id",
        f"id tenant_id consumer_secret app_id method_type status issued_at expires_at {_WHO}",
        **_KMS,
        issued_at=TIMESTAMP,
        expires_at=TIMESTAMP,
    ),
    _table(
        "kms.app_credential_apiproduct_mapper",
        "tenant_id appcred_id app_id apiprdt_id",
        "tenant_id appcred_id app_id apiprdt_id status",
    ),
    _table(
        "kms.company",
        "tenant_id id",
        f"id tenant_id name display_name status {_WHO}",
        **_KMS,
    ),
    _table(
        "kms.developer",
        "tenant_id id",
        f"id tenant_id username first_name last_name password email status {_WHO}",
        **_KMS,
    ),
    _table(
        "kms.organization",
        "id",
        f"id tenant_id name display_name type customer_id description {_WHO}",
        **_KMS,
    ),
)
"""What every database begins with."""
