"""News of a live file that were heard of and do not count yet, joined when they do."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from apidanalytics.scopes.news import News


class Heard:
    """Keeps news in the order in which their change lists were committed."""

    def __init__(self) -> None:
        self._news: list[News] = []

    def __repr__(self) -> str:
        return f"<Heard of {len(self._news)} change lists>"

    def add(self, news: Iterable[News]) -> None:
        """Keep these, which follow upon what is kept."""
        self._news += news

    def take(self, held: str, sequence: str) -> News | None:
        """Return what changed after one sequence up to another, as one, and drop it; None: it was not heard of yet.

        What came after stays. ``after`` of the answer is another than ``held`` when something between was missed.
        """
        sequences = [news.sequence for news in self._news]
        if sequence not in sequences:
            return None
        start = sequences.index(held) + 1 if held in sequences else 0
        end = sequences.index(sequence) + 1
        taken, self._news = self._news[start:end], self._news[end:]
        return joined(taken)

    def clear(self) -> None:
        """Drop everything: it counts, or everything is read anew."""
        self._news.clear()


def joined(news: Sequence[News]) -> News:
    """Return news that follow upon each other as one; where one is missing between, anything may have changed."""
    is_whole = all(former.sequence == one.after for former, one in pairwise(news))
    return News(
        after=news[0].after,
        sequence=news[-1].sequence,
        is_all=not is_whole or any(one.is_all for one in news),
        scopes=tuple({scope: None for one in news for scope in one.scopes}),
        keys=tuple({key: None for one in news for key in one.keys}),
        parts=tuple({part: None for one in news for part in one.parts}),
    ).shortened()
