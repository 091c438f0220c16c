"""Adds up what several processes counted, so that a sum never goes back when one of them is replaced."""

from collections.abc import Iterable, Mapping
from typing import Any

Counters = Mapping[str, Any]
"""Numbers, lists of numbers, and mappings of these, that only grow in one process."""


def added(one: Any, other: Any) -> Any:
    """Return the sum of two numbers, lists or mappings of the same form; what only one of them has stays as it is."""
    if isinstance(one, Mapping):
        names = dict.fromkeys((*one, *other))
        return {
            name: added(one[name], other[name]) if name in one and name in other else one.get(name, other.get(name))
            for name in names
        }
    if isinstance(one, list):
        return [left + right for left, right in zip(one, other, strict=True)]
    return one + other


def total(all_counters: Iterable[Counters]) -> dict[str, Any]:
    """Return the sum of all."""
    summed: dict[str, Any] = {}
    for counters in all_counters:
        summed = added(summed, counters)
    return summed
