"""Work that is done in steps, done at once."""

from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


def at_once(steps: Generator[None, None, T]) -> T:
    """Take all steps, and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def count(steps: Iterator[None]) -> int:
    """Take all steps; return how often others have their turn."""
    return sum(1 for _ in steps)
