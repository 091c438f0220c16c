"""Where each tenant's records are: the ledger's totals and what still lies in spools, added up."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

STATES = ("accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "dropped")
Counts = dict[str, dict[str, int]]

_NOTHING = {"records": 0, "bytes": 0, "files": 0}
"""Shared by all tenants, most of which have nothing in most states; never changed, but replaced."""

TRIES = 5
"""How often the ledger is read again while spools are being accepted."""


class Count(Protocol):
    """An amount of data."""

    @property
    def records(self) -> int:
        """Number of records."""

    @property
    def bytes(self) -> int:
        """Length of their lines."""

    @property
    def files(self) -> int:
        """Number of files that hold them."""


class Ledger(Protocol):
    """What is asked of the ledger."""

    def totals(self) -> Mapping[str, Mapping[Any, Count]]:
        """Return the totals by tenant and state."""

    def is_accepted(self, spool_number: int) -> bool:
        """Tell whether this spool's records are in the totals already."""


def count_by_tenant(
    ledger: Ledger, spools: Iterable[tuple[int, Path]], count_records: Callable[[Path], Mapping[str, tuple[int, int]]]
) -> dict[str, Counts]:
    """Return records, bytes and files by tenant and state.

    While a spool is being packed, the ledger has accepted it but not staged all of it: what is missing still counts
    as spooled. With no such spool nothing is balanced, so that a difference shows.
    """
    # The content first: a spool that is packed and removed meanwhile is in the totals, which are read afterwards.
    contents = {number: count_records(path) for number, path in spools}
    accepted, counts = _consistent_totals(ledger, contents)
    if accepted:
        _balance(counts)
    for number in contents.keys() - accepted:
        for tenant, (records, size) in contents[number].items():
            _add(counts, tenant, "spooled", records, size, 1)
            _add(counts, tenant, "accepted", records, size, 0)
    return counts


def _consistent_totals(ledger: Ledger, numbers: Iterable[int]) -> tuple[set[int], dict[str, Counts]]:
    """Return which of these spools the ledger has accepted, and its totals, as of one moment."""
    accepted = {number for number in numbers if ledger.is_accepted(number)}
    for _ in range(TRIES):
        counts: dict[str, Counts] = {}
        for tenant, states in ledger.totals().items():
            for state, count in states.items():
                _add(counts, tenant, str(state), count.records, count.bytes, count.files)
        before, accepted = accepted, {number for number in numbers if ledger.is_accepted(number)}
        if accepted == before:
            break
    return accepted, counts


def _balance(counts: dict[str, Counts]) -> None:
    for tenant, states in counts.items():
        for amount in ("records", "bytes"):
            known = sum(states[state][amount] for state in STATES if state != "accepted")
            missing = max(states["accepted"][amount] - known, 0)
            _add(counts, tenant, "spooled", *((missing, 0) if amount == "records" else (0, missing)), 0)


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum over all tenants."""
    summed: dict[str, Counts] = {}
    _add(summed, "", "accepted", 0, 0, 0)
    for tenant in counts:
        for state, amounts in tenant.items():
            _add(summed, "", state, amounts["records"], amounts["bytes"], amounts["files"])
    return summed[""]


def _add(counts: dict[str, Counts], tenant: str, state: str, records: int, size: int, files: int) -> None:
    states = counts.get(tenant)
    if states is None:
        states = counts[tenant] = dict.fromkeys(STATES, _NOTHING)
    if records or size or files:
        was = states[state]
        states[state] = {
            "records": was["records"] + records,
            "bytes": was["bytes"] + size,
            "files": was["files"] + files,
        }
