"""The tenants whose files the embedded collection endpoint takes."""

import asyncio
from collections.abc import Callable, Iterable, Sequence


class Deliverable:
    """Those that the scope data names or once named, and those that the ledger knows.

    What a scope that is gone by now was acknowledged for is still delivered, also when it is packed only now.
    """

    def __init__(self, in_ledger: Callable[[], Iterable[str]]) -> None:
        """``in_ledger`` may wait for the disk."""
        self._in_ledger = in_ledger
        self._names: set[str] = set()

    def __repr__(self) -> str:
        return f"<Deliverable: {len(self._names)} tenants>"

    def add(self, names: Iterable[str]) -> None:
        """Take these from now on."""
        self._names.update(names)

    async def among(self, names: Sequence[str]) -> list[str]:
        """Return those of these names that are known; the ledger is asked unless all are.

        One of two that read the same may be in the ledger only, and must not be taken for the other.
        """
        if not self._names.issuperset(names):
            self._names.update(await asyncio.to_thread(self._in_ledger))
        return [name for name in names if name in self._names]
