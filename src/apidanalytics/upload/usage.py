"""How many bytes of disk each tenant's staged and failed files take, counted as the ledger's rows change.

The counts live in memory, in temporary triggers and a temporary table of the writing connection: they are right from
the first transaction on, a transaction that is rolled back takes them back too, and the file's format knows nothing
of them.
"""

import sqlite3
from typing import Final

_COST: Final = "((%s.size_bytes + 4095) / 4096 * 4096)"
"""A file takes whole blocks."""
_HERE: Final = "%s.state IN ('staged', 'failed')"
_ADD: Final = (
    f"INSERT INTO disk_usage VALUES (NEW.tenant, {_COST % 'NEW'})"  # noqa: S608 - the names are ours # nosec B608
    " ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes;"
)
_TAKE: Final = f"UPDATE disk_usage SET bytes = bytes - {_COST % 'OLD'} WHERE tenant = OLD.tenant;"  # noqa: S608 - the names are ours # nosec B608
_WATCH: Final = f"""
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE disk_usage (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO disk_usage SELECT tenant, sum({_COST % "files"}) FROM main.files WHERE {_HERE % "files"} GROUP BY tenant;
CREATE TEMP TRIGGER disk_added AFTER INSERT ON main.files WHEN {_HERE % "NEW"} BEGIN {_ADD} END;
CREATE TEMP TRIGGER disk_removed AFTER DELETE ON main.files WHEN {_HERE % "OLD"} BEGIN {_TAKE} END;
CREATE TEMP TRIGGER disk_freed AFTER UPDATE OF state ON main.files
    WHEN {_HERE % "OLD"} AND NOT {_HERE % "NEW"} BEGIN {_TAKE} END;
CREATE TEMP TRIGGER disk_taken AFTER UPDATE OF state ON main.files
    WHEN NOT {_HERE % "OLD"} AND {_HERE % "NEW"} BEGIN {_ADD} END;
"""  # noqa: S608 - nothing of it comes from outside # nosec B608


def watch(database: sqlite3.Connection) -> None:
    """Begin to count what this connection writes; it reads every staged and failed row, once."""
    database.executescript(_WATCH)


def read(database: sqlite3.Connection) -> dict[str, int]:
    """Return the bytes by tenant."""
    return dict(database.execute("SELECT tenant, bytes FROM disk_usage WHERE bytes > 0"))
