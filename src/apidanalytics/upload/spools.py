"""What the ledger knows of spools: statements that run inside the caller's transaction."""

import sqlite3
from collections.abc import Mapping

from apidanalytics.layout import SpoolName, spool_pattern
from apidanalytics.upload import rows
from apidanalytics.upload.states import Count, State


def is_packed(database: sqlite3.Connection, number: int) -> bool:
    """Tell whether every file of a spool was staged."""
    query = "SELECT 1 FROM spools WHERE number = ? AND packed_at >= 0"
    return database.execute(query, (number,)).fetchone() is not None


def accept(database: sqlite3.Connection, number: int, counts: Mapping[str, tuple[int, int]]) -> None:
    """Count (records, bytes of lines) by tenant as accepted, once per spool number."""
    if database.execute("INSERT OR IGNORE INTO spools (number) VALUES (?)", (number,)).rowcount:
        for tenant, (records, size) in counts.items():
            rows.add_total(database, tenant, State.ACCEPTED, Count(records, size))


def made_of(database: sqlite3.Connection, number: int) -> dict[str, tuple[int, int]]:
    """Return (records, bytes of lines) by tenant of what a spool became, or what was set aside of it, so far.

    It looks at every file.
    """
    query = (
        "SELECT tenant, sum(records), sum(bytes) FROM"
        " (SELECT tenant, records, bytes FROM files WHERE name GLOB ?"
        " UNION ALL SELECT tenant, records, bytes FROM set_aside WHERE records > 0 AND (name GLOB ? OR name GLOB ?))"
        " GROUP BY tenant"
    )
    files, own = spool_pattern(number), str(SpoolName(number=number)).removesuffix(".spool")
    found = database.execute(query, (files, files, f"{own}[.~]*"))
    return {tenant: (records, size) for tenant, records, size in found}
