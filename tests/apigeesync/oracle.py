"""What a collector must answer by now: the rules of look-ups, written down plainly, over the rows upstream."""

from tests.apigeesync.accounts import APP, CLUSTER, DEVELOPER, MAPPER, PRODUCT, SCOPE
from tests.apigeesync.database import Database
from tests.unit.scopes.samples import Oracle, Rows


def selectors(database: Database, cluster: str = CLUSTER) -> list[str]:
    """Return what the cluster has to ask for: the scopes of its ``data_scope`` rows, and itself."""
    rows = [row for row in database.rows(SCOPE, [cluster]) if row["apid_cluster_id"] == cluster]
    found = {str(row[column] or "") for row in rows for column in ("scope", "org_scope", "env_scope")}
    return [*sorted(found - {""}), cluster]


def oracle(database: Database, cluster: str = CLUSTER) -> Oracle:
    """Return what answers as a collector of this cluster that is in step."""
    with database.lock:
        wanted = selectors(database, cluster)

        def rows(table: str, *columns: str) -> list[tuple[str | None, ...]]:
            return [tuple(row[column] for column in columns) for row in database.rows(table, wanted)]  # type: ignore[misc]

        return Oracle(
            Rows(
                scopes=rows(SCOPE, "id", "scope", "org", "env"),
                mapper=rows(MAPPER, "tenant_id", "appcred_id", "app_id", "apiprdt_id"),
                products=rows(PRODUCT, "id", "tenant_id", "name"),
                apps=rows(APP, "id", "tenant_id", "name", "developer_id"),
                developers=rows(DEVELOPER, "id", "tenant_id", "username", "email"),
            )
        )
