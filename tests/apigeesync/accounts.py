"""Scopes and API keys, as the rows of many tables that they are upstream."""

from datetime import UTC, datetime

from tests.apigeesync.database import Database, Transaction
from tests.apigeesync.tables import SELECTOR
from tests.apigeesync.values import Value

CLUSTER = "4c6bb536-0d64-43ca-abae-17c08f1a7e58"
SCOPE = "edgex.data_scope"
MAPPER = "kms.app_credential_apiproduct_mapper"
PRODUCT = "kms.api_product"
APP = "kms.app"
CREDENTIAL = "kms.app_credential"
DEVELOPER = "kms.developer"

_CREATED = datetime(2017, 2, 27, 7, 40, 25, 94_000, tzinfo=UTC)
_BY = "admin@stand-in.example"
_EDGEX = {"created": _CREATED, "created_by": _BY, "updated": _CREATED, "updated_by": _BY}
_KMS = {"created_at": _CREATED, "created_by": _BY, "updated_at": _CREATED, "updated_by": _BY}


def example_database(cluster: str = CLUSTER) -> Database:
    """Return a database of one cluster with the scope ``testid`` (testorg, testenv) and the key ``testapikey``."""
    database = Database()
    database.load(
        "edgex.apid_cluster",
        [
            {
                "id": cluster,
                "name": "demo",
                "description": "",
                "umbrella_org_app_name": "demo",
                **_EDGEX,
                SELECTOR: cluster,
            }
        ],
    )
    add_scope(database, "testid", "testorg", "testenv", "tenantid", cluster=cluster)
    add_key(
        database,
        "testapikey",
        "tenantid",
        product="testproduct",
        app="testapp",
        developer="testdeveloper",
        email="testdeveloper@test.com",
    )
    return database


def add_scope(
    database: Database, scope_id: str, org: str, env: str, tenant_id: str, *, cluster: str = CLUSTER, **values: Value
) -> None:
    """Let this org and env send records under this scope id; other columns by name."""
    row: dict[str, Value] = {"id": scope_id, "apid_cluster_id": cluster, "scope": tenant_id, "org": org, "env": env}
    database.insert(SCOPE, **{**row, **_EDGEX, SELECTOR: cluster, **values})


def remove_scope(database: Database, scope_id: str) -> None:
    """Remove a scope; the API keys of its tenant stay, as upstream."""
    database.delete(SCOPE, scope_id)


def add_key(
    database: Database, key: str, tenant_id: str, *, product: str, app: str, developer: str = "", email: str = ""
) -> None:
    """Add an API key of an app, and what of product, app and developer is not there yet; all in one transaction."""
    with database.transaction() as transaction:
        if developer and database.get(DEVELOPER, tenant_id, _id(developer)) is None:
            _add(transaction, DEVELOPER, _id(developer), tenant_id, username=developer, email=email, status="ACTIVE")
        if database.get(PRODUCT, tenant_id, _id(product)) is None:
            _add(transaction, PRODUCT, _id(product), tenant_id, name=product, is_public=True, quota_interval=5)
        if database.get(APP, tenant_id, _id(app)) is None:
            owner = _id(developer) if developer else None
            _add(transaction, APP, _id(app), tenant_id, name=app, developer_id=owner, status="APPROVED")
        if database.get(CREDENTIAL, tenant_id, key) is None:
            row: dict[str, Value] = {"id": key, "tenant_id": tenant_id, "app_id": _id(app), "issued_at": _CREATED}
            transaction.insert(CREDENTIAL, **row, **_KMS, **{SELECTOR: tenant_id})
        ends: dict[str, Value] = {
            "tenant_id": tenant_id,
            "appcred_id": key,
            "app_id": _id(app),
            "apiprdt_id": _id(product),
        }
        transaction.insert(MAPPER, **ends, status="APPROVED", **{SELECTOR: tenant_id})


def remove_key(database: Database, key: str, tenant_id: str) -> None:
    """Remove an API key with all its products; what it led to stays."""
    with database.transaction() as transaction:
        for row in database.rows(MAPPER):
            if (row["tenant_id"], row["appcred_id"]) == (tenant_id, key):
                transaction.delete(MAPPER, tenant_id, key, row["app_id"], row["apiprdt_id"])
        transaction.delete(CREDENTIAL, tenant_id, key)


def _id(name: str) -> str:
    return f"{name}id"


def _add(transaction: Transaction, table: str, row_id: str, tenant_id: str, **values: Value) -> None:
    transaction.insert(table, id=row_id, tenant_id=tenant_id, **values, **_KMS, **{SELECTOR: tenant_id})
