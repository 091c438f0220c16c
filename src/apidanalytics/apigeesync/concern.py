"""What the changes of a list concern, gathered for the workers."""

from typing import Final

from apidanalytics.apigeesync.rows import Effect, Texts
from apidanalytics.apigeesync.tables import APP, DEVELOPER, MAPPER, PRODUCT, SCOPES
from apidanalytics.scopes.known_keys import hash_text
from apidanalytics.scopes.news import Kind, News, part_hash

_PARTS: Final = {PRODUCT: Kind.PRODUCT, APP: Kind.APP, DEVELOPER: Kind.DEVELOPER}


class Concern:
    """Scopes, API keys and parts of developer data that may have another answer now."""

    def __init__(self) -> None:
        self.scopes: set[str] = set()
        self.keys: set[tuple[str, str]] = set()
        self.parts: set[tuple[Kind, str, str]] = set()

    def add(self, table: str, effect: Effect) -> None:
        """Count in what became of one row, as it was and as it is."""
        if effect.before == effect.after:
            return
        for row in (effect.before, effect.after):
            if row is not None:
                self._add(table, row)

    def hashes(self) -> set[int]:
        """Return the hashes of all keys and parts."""
        keys = {hash_text(*key) for key in self.keys}
        return keys | {part_hash(kind, identifier) for kind, _, identifier in self.parts}

    def news(self, after: str, sequence: str) -> News:
        """Return it as news from one sequence to the next."""
        return News(
            after=after,
            sequence=sequence,
            scopes=tuple(sorted(self.scopes)),
            keys=tuple(sorted(self.keys)),
            parts=tuple(sorted(self.parts)),
        ).shortened()

    def _add(self, table: str, row: Texts) -> None:
        if table == SCOPES:
            self.scopes.add(row["id"])
        elif table == MAPPER:
            self.keys.add((row["tenant_id"], row["appcred_id"]))
        else:
            self.parts.add((_PARTS[table], row["tenant_id"], row["id"]))
