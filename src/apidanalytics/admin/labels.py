"""Which tenants have series of their own."""

from collections.abc import Collection, Mapping
from typing import Any


class LabelledTenants:
    """Chooses up to a limit, and stays with its choice, so that no series ever passes on what it has counted.

    The tenants with the most records come first. Whoever comes when all places are taken counts among the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chosen: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<LabelledTenants {len(self._chosen)} of {self._limit}>"

    def among(self, tenants: Mapping[str, Mapping[str, Any]]) -> Collection[str]:
        """Return those of these tenants, by name with their counts, that have series."""
        room = self._limit - len(self._chosen)
        if room > 0:
            new = [tenant for tenant in tenants if tenant not in self._chosen]
            new.sort(key=lambda tenant: (-tenants[tenant]["accepted"]["records"], tenant))
            self._chosen.update(dict.fromkeys(new[:room]))
        return self._chosen.keys()
