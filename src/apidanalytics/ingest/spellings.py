"""Header names as clients spell them, learnt once instead of worked on with every request."""

from collections.abc import Callable, Mapping
from typing import Final

END: Final = b""
"""Stands as a last name behind the headers: no header has an empty name, and trailers come after it."""

Names = Mapping[bytes, bytes]
"""From lower-case header names to how this client spells them."""

_UNUSUAL: Final = frozenset((b"connection", b"expect", b"transfer-encoding", b"upgrade"))
"""Headers that change how the request is read, or what becomes of the connection."""
MAX_REMEMBERED: Final = 500
_MAX_NAMES: Final = 64
_MAX_BYTES: Final = 1024


class Spellings:
    """Remembers the names of headers, as sent.

    A client sends the same names in the same order with every request, so all of them together are the key.
    """

    __slots__ = ("_all", "_plain", "plain")

    def __init__(self) -> None:
        self._all: dict[tuple[bytes, ...], Names] = {}
        self._plain: dict[tuple[bytes, ...], Names] = {}
        self.plain: Callable[[tuple[bytes, ...]], Names | None] = self._plain.get
        """Look up names, as sent and with ``END``, of which none is unusual and one is Host; None if not known yet."""

    def names(self, sent: tuple[bytes, ...]) -> Names:
        """Return the names of any header, as sent and with ``END``; of several that differ in case only, the first."""
        names = self._all.get(sent)
        return self._learn(sent) if names is None else names

    def _learn(self, sent: tuple[bytes, ...]) -> Names:
        names: dict[bytes, bytes] = {}
        for name in sent[: sent.index(END)]:
            names.setdefault(name.lower(), name)
        if len(sent) <= _MAX_NAMES and sum(map(len, sent)) <= _MAX_BYTES:
            self._remember(sent, names)
        return names

    def _remember(self, sent: tuple[bytes, ...], names: Names) -> None:
        if len(self._all) >= MAX_REMEMBERED:  # somebody makes names up; the others are learnt again
            self._all.clear()
            self._plain.clear()
        self._all[sent] = names
        if b"host" in names and _UNUSUAL.isdisjoint(names):
            self._plain[sent] = names
