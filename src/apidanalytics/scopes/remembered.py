"""The tails that a worker remembers, in bounded memory.

They have so many places. While there are free ones, everybody gets one; after that, who comes for the second time in a
while gets the place of who has had one for longest. Of a million API keys most come once in a long time: remembering
each would cost more than looking it up, and drive out one that comes often. Who has lost a place gets another the next
time, so whoever comes often is remembered nearly always.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from apidanalytics.scopes.tails import WITHOUT_KEY

STRANGERS: Final = 100_000
"""Keys without a place that came; then all of them count as never seen."""
_SEEN_BYTES: Final = 1 << 20
"""One for each hash of a key, modulo this: whoever shares one is let in a little early."""
_WIDTH: Final = 4
"""Hashes in a place."""
_ANYTHING: Final = -1
"""In the place of a tail that depends on more than fits: on whatever changes."""
_WHATEVER_CHANGES: Final = array("q", [_ANYTHING] * _WIDTH).tobytes()
_PART_BYTES: Final = 8
_PLACE_BYTES: Final = len(_WHATEVER_CHANGES)
_AT_ONCE: Final = 1024
"""Places that are looked through at once: one by one it takes four times as long."""
_STEP: Final = 16
"""Times so many places are looked through between two turns of others: some 3 ms."""
_FEW: Final = 16
"""Parts among so many places for which looking for each takes less time than looking at every place."""
_LOOKED: Final = 256
"""Places that are looked at one by one in the time in which others are looked through at once."""
_WITHOUT_KEY: Final[Mapping[str | None, bytes]] = {"": WITHOUT_KEY}


class Tails(dict[str | None, bytes]):
    """The tails of one tenant id, by API key: remembered, or learned when they are asked for.

    What is raised when one cannot be learned is passed on, and nothing is remembered. None, no API key, is answered but
    never remembered: a table of text alone takes the interpreter half as long to look into.
    """

    __slots__ = ("_learn", "tenant_id")

    def __init__(self, tenant_id: str, learn: "Callable[[Tails, str], bytes]") -> None:
        super().__init__(_WITHOUT_KEY)
        self.tenant_id = tenant_id
        self._learn = learn

    def __missing__(self, api_key: str | None) -> bytes:
        return WITHOUT_KEY if api_key is None else self._learn(self, api_key)

    def remembered(self) -> int:
        """Return how many are remembered."""
        return len(self) - len(_WITHOUT_KEY)


class Places:
    """Where the remembered tails of all tenant ids stand, and what each of them depends on."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._tails: list[Tails] = []
        self._keys: list[str] = []
        self._parts = bytearray()
        self._oldest = 0
        self._seen = bytearray()
        self._strangers = STRANGERS
        self._is_searched = False

    def __repr__(self) -> str:
        return f"<Places {len(self._keys)} of {self._max_keys} taken>"

    def remember(self, tails: Tails, api_key: str, tail: bytes, parts: bytes) -> None:
        """Give a tail a place if one is due to it. ``parts`` are hashes of what it depends on (``developers.Learned``).

        It has none, or what it had was forgotten. During a search nobody gets one: what is said may be about to change.
        """
        if self._is_searched:
            return
        if len(self._keys) < self._max_keys:
            self._tails.append(tails)
            self._keys.append(api_key)
            self._parts += _filled(parts)
        elif self._has_come_before(api_key):
            place = self._free_oldest()
            self._tails[place], self._keys[place] = tails, api_key
            self._parts[place * _PLACE_BYTES : (place + 1) * _PLACE_BYTES] = _filled(parts)
        else:
            return
        tails[api_key] = tail

    def forget(self, changed: Mapping[str, set[int]]) -> Iterator[None]:
        """Forget the tails that depend on one of these parts, by tenant id, in steps of a few milliseconds.

        It looks at all places, and until it has come to its end or is closed nothing is remembered: so nothing that has
        changed escapes it.
        """
        if not changed:
            return
        changed = {tenant_id: {_ANYTHING, *parts} for tenant_id, parts in changed.items()}
        anywhere = {_ANYTHING}.union(*changed.values())
        done = 0
        self._is_searched = True
        try:
            with memoryview(self._parts).cast("q") as hashes:
                for start in range(0, len(self._keys), _AT_ONCE):
                    if done >= _STEP:
                        done = 0
                        yield
                    if there := anywhere.intersection(hashes[start * _WIDTH : (start + _AT_ONCE) * _WIDTH]):
                        done += self._forget_among(self._suspects(start, there), hashes, changed)
                    done += 1
        finally:
            self._is_searched = False

    def _suspects(self, start: int, parts: set[int]) -> Iterable[int]:
        """Return the places from this on, of those looked through at once, that may depend on one of these parts."""
        end = min(start + _AT_ONCE, len(self._keys))
        if len(parts) <= _FEW:
            patterns = [part.to_bytes(_PART_BYTES, sys.byteorder, signed=True) for part in parts]
            area = start * _PLACE_BYTES, end * _PLACE_BYTES
            if sum(self._parts.count(pattern, *area) for pattern in patterns) <= _LOOKED:
                return self._places_of(patterns, *area)
        return range(start, end)

    def _places_of(self, patterns: Iterable[bytes], first: int, end: int) -> Iterator[int]:
        for pattern in patterns:
            start = first
            while (at := self._parts.find(pattern, start, end)) >= 0:
                yield at // _PLACE_BYTES
                start = (at // _PLACE_BYTES + 1) * _PLACE_BYTES

    def _forget_among(self, places: Iterable[int], hashes: memoryview, changed: Mapping[str, set[int]]) -> int:
        """Forget the tails in those places that depend on what has changed; return the time in looks at many places."""
        looked = 0
        for looked, place in enumerate(places, 1):  # noqa: B007 - the last one counts
            tails = self._tails[place]
            parts = changed.get(tails.tenant_id)
            if parts and not parts.isdisjoint(hashes[place * _WIDTH : (place + 1) * _WIDTH]):
                tails.pop(self._keys[place], None)
        return 1 + looked // _LOOKED

    def _has_come_before(self, api_key: str) -> bool:
        if self._strangers >= STRANGERS:
            self._seen = bytearray(_SEEN_BYTES)
            self._strangers = 0
        at = hash(api_key) % _SEEN_BYTES
        if self._seen[at]:
            return True
        self._seen[at] = 1
        self._strangers += 1
        return False

    def _free_oldest(self) -> int:
        """Return the place of who has had one for longest; it is free then.

        A key that was forgotten, and has got a second place since, goes with its first one: a little early.
        """
        place = self._oldest
        self._oldest = (place + 1) % self._max_keys
        api_key = self._keys[place]
        self._tails[place].pop(api_key, None)
        self._seen[hash(api_key) % _SEEN_BYTES] = 1
        return place


def _filled(parts: bytes) -> bytes:
    """Return these hashes as they stand in a place."""
    return parts.ljust(_PLACE_BYTES, b"\0") if len(parts) <= _PLACE_BYTES else _WHATEVER_CHANGES
