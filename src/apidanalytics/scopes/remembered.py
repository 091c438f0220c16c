"""The tails that a worker remembers, in bounded memory.

They have so many places. While there are free ones, everybody gets one; after that, who is counted for the third time
in a while gets the place of who has had one for longest. Of a million API keys most come once in a long time:
remembering each would cost more than looking it up, and drive out one that comes often. Who has lost a place gets
another the next time, so whoever comes often is remembered nearly always. What is found again with little effort is
counted one time in four, by lot: counting looks into memory that is seldom used, and that takes a third as long as
finding.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from random import random
from typing import Final, Protocol, cast

from apidanalytics.scopes.dependents import Dependents, kept
from apidanalytics.scopes.news import Kind
from apidanalytics.scopes.tails import WITHOUT_KEY, Learned, TailTable

STRANGERS: Final = 75_000
"""Times that keys without a place were counted; then all of them count as never seen."""
COUNTED: Final = 0.25
"""The share of what is found with little effort that is counted."""
_OFTEN: Final = 2
"""Times that a key was counted before, by which it comes often enough for the place of another."""
_SEEN_BYTES: Final = 1 << 20
"""One for each hash of a key, modulo this: whoever shares one is let in a little early."""
_WITHOUT_KEY: Final[Mapping[str | None, bytes]] = {"": WITHOUT_KEY}


class Learn(Protocol):
    """Finds the tails that are not remembered."""

    def __call__(
        self, tails: "Tails", api_keys: Sequence[str | None], found: MutableSequence[bytes | None], /
    ) -> Sequence[bytes]:
        """Put in the tails of the keys in whose place there is none, and return all of them."""


class Tails(TailTable):
    """The tails of one tenant id, by API key: remembered, or learned when they are asked for.

    What is raised when one cannot be learned is passed on, and nothing is remembered. None, no API key, is answered but
    never remembered: a table of text alone takes the interpreter half as long to look into.
    """

    __slots__ = ("_learn", "tenant_id")

    def __init__(self, tenant_id: str, learn: Learn) -> None:
        super().__init__(_WITHOUT_KEY)
        self.tenant_id = tenant_id
        self._learn = learn

    def __missing__(self, api_key: str | None) -> bytes:
        return WITHOUT_KEY if api_key is None else self._learn(self, (api_key,), [None])[0]

    def of(self, api_keys: Sequence[str | None], /) -> Sequence[bytes]:
        """Return the tails of several keys, in their order.

        All that are remembered in one go, so that the processor has several on their way from the memory at once; then
        the others in one go, for which the interpreter would start with a cold cache each time.
        """
        found = list(map(self.get, api_keys))
        return cast("list[bytes]", found) if all(found) else self._learn(self, api_keys, found)

    def remembered(self) -> int:
        """Return how many are remembered."""
        return len(self) - len(_WITHOUT_KEY)


class Places:
    """Where the remembered tails of all tenant ids stand, and what each of them depends on."""

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._tails: list[Tails] = []
        self._keys: list[str] = []
        self._dependents = Dependents()
        self._oldest = 0
        self._is_full = max_keys < 1
        self._seen = bytearray(_SEEN_BYTES)
        self._strangers = 0
        self._is_searched = False

    def __repr__(self) -> str:
        return f"<Places {len(self._keys)} of {self._max_keys} taken>"

    def counts(self) -> bool:
        """Tell whether to ``remember`` what is found with little effort: all while places are free, then some."""
        return not self._is_full or random() < COUNTED  # noqa: S311 - no secret # nosec B311

    def remember(self, tails: Tails, api_key: str, learned: Learned) -> None:
        """Give a tail a place if one is due to it.

        It has none, or what it had was forgotten. During a search nobody gets one: what is said may be about to change.
        """
        if self._is_full:
            at = hash(api_key) % _SEEN_BYTES
            times = self._seen[at]
            if times < _OFTEN:
                self._seen[at] = times + 1
                self._strangers += 1
                if self._strangers >= STRANGERS:
                    self._forget_strangers()
                return
        if not self._is_searched:
            self._take_place(tails, api_key, learned[1])
            tails[api_key] = learned[0]

    def forget(self, changed: Mapping[Kind, Mapping[str, set[int]]]) -> Iterator[None]:
        """Forget the tails that depend on one of these parts, by kind and tenant id, in steps of a millisecond or two.

        Until it has come to its end or is closed nothing is remembered: so nothing that has changed escapes it.
        """
        self._is_searched = True
        try:
            for kind, by_tenant in changed.items():
                short = {tenant_id: set(map(kept, parts)) for tenant_id, parts in by_tenant.items()}
                for number, places in enumerate(self._dependents.search(kind, set().union(*short.values()))):
                    if number:
                        yield
                    self._forget_among(places, kind, short)
        finally:
            self._is_searched = False

    def _forget_among(self, places: Iterable[int], kind: Kind, changed: Mapping[str, set[int]]) -> None:
        for place in places:
            parts = changed.get(self._tails[place].tenant_id)
            if parts and self._dependents.depends(place, kind, parts):
                self._take_out(place)

    def _take_place(self, tails: Tails, api_key: str, hashes: bytes) -> None:
        if self._is_full:
            place = self._free_oldest()
            self._tails[place], self._keys[place] = tails, api_key
            self._dependents.put(place, hashes)
        else:
            self._tails.append(tails)
            self._keys.append(api_key)
            self._dependents.append(hashes)
            self._is_full = len(self._keys) >= self._max_keys

    def _forget_strangers(self) -> None:
        self._seen = bytearray(_SEEN_BYTES)
        self._strangers = 0

    def _free_oldest(self) -> int:
        """Return the place of who has had one for longest; it is free then.

        A key that was forgotten, and has got a second place since, goes with its first one: a little early.
        """
        place = self._oldest
        self._oldest = (place + 1) % self._max_keys
        self._take_out(place)
        return place

    def _take_out(self, place: int) -> None:
        """Forget the tail in a place. Its key gets another one the next time that it comes."""
        api_key = self._keys[place]
        self._tails[place].pop(api_key, None)
        self._seen[hash(api_key) % _SEEN_BYTES] = _OFTEN
