"""What workers remember of the developer data: the tails asked for most recently, in bounded memory."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, Protocol, TypeAlias

from apidanalytics.model import Developer
from apidanalytics.scopes.known_keys import KnownKeys, hash_text
from apidanalytics.scopes.news import Kind, hashes_by_tenant, part_hash
from apidanalytics.scopes.tails import NOBODY, WITHOUT_KEY, tail_of

LONGEST_KEY: Final = 128
"""Characters of an API key that is remembered; a longer one (a client may send megabytes) is asked for every time."""
MAX_UNKNOWN: Final = 10_000
"""Unknown keys that are remembered; then they are forgotten, all at once."""
_AT_ONCE: Final = 512
"""Keys whose parts are looked through at once: one by one it takes four times as long."""


class Answer(NamedTuple):
    """Who stands behind an API key, and on what that depends."""

    developer: Developer | None
    """None: nobody is known."""
    parts: tuple[int, ...] = ()
    """``news.part_hash`` of everything that was looked at, there or missing."""


Learned: TypeAlias = tuple[bytes, bytes]
"""The same as it is remembered: a tail, and the hashes (of other things too, perhaps) in the machine's own order.

No NamedTuple: one is made for every look-up that memory does not answer, and takes longer.
"""


class Ready(Protocol):
    """Answers that somebody else has made (``ready``)."""

    def find(self, tenant_id: str, api_key: str) -> Learned | None:
        """Return the answer; None: it has to be asked for."""

    def distrust(self, hashes: Iterable[int]) -> None:
        """Have these keys and what is made of these parts asked for from now on."""


class Tails(dict[str | None, bytes]):
    """The tails of one tenant id, by API key: remembered, or learned when they are asked for.

    What is raised when one cannot be learned is passed on, and nothing is remembered.
    """

    __slots__ = ("_learn", "former", "parts", "tenant_id")

    def __init__(self, tenant_id: str, learn: "Callable[[Tails, str], bytes]", former: "Tails | None" = None) -> None:
        super().__init__({None: WITHOUT_KEY, "": WITHOUT_KEY})
        self.tenant_id = tenant_id
        self._learn = learn
        self.parts: dict[str, bytes] = {}
        """What each tail depends on, as in ``Learned``."""
        self.former = former
        """Those of before that are still good, and are taken over when they are asked for."""

    def __missing__(self, api_key: str) -> bytes:
        return self._learn(self, api_key)

    def forget(self, api_key: str) -> None:
        """Forget this one, if it is here."""
        if self.parts.pop(api_key, None) is not None:
            del self[api_key]

    def forget_dependent(self, changed: set[int]) -> None:
        """Forget those that depend on one of these parts. It looks at all of them: some 20 ms for 100,000."""
        stale: list[str] = []
        items = iter(self.parts.items())
        while some := list(islice(items, _AT_ONCE)):
            if not changed.isdisjoint(_read(b"".join([parts for _, parts in some]))):
                stale += [api_key for api_key, parts in some if not changed.isdisjoint(_read(parts))]
        for api_key in stale:
            self.forget(api_key)


class DeveloperCache:
    """At most ``max_keys`` tails, each asked for once while it is remembered.

    When half of them are new, those that were not asked for since then are forgotten: that costs nothing at a look-up.

    What is ready is not asked for, and what ``known`` calls unknown neither: so a flood of unknown keys drives out
    nothing.
    """

    def __init__(
        self, ask: Callable[[str, str], Answer], known: KnownKeys, max_keys: int, ready: Ready | None = None
    ) -> None:
        self._ask = ask
        self._ready = ready
        self._known = known
        self._unknown: set[tuple[str, str]] = set()
        self._max_new = max(max_keys // 2, 1)
        self._new = 0
        self._tails: dict[str, Tails] = {}
        self._former: dict[str, Tails] = {}

    def __len__(self) -> int:
        tails = [*self._tails.values(), *self._former.values()]
        return sum(len(one.parts) + (len(one.former.parts) if one.former else 0) for one in tails)

    def tails(self, tenant_id: str) -> Tails:
        """Return the tails of this tenant id, good until something is forgotten or the event loop has its turn."""
        return self._tails.get(tenant_id) or self._begin(tenant_id)

    def forget(self, keys: Iterable[tuple[str, str]], parts: Iterable[tuple[Kind, str, str]]) -> None:
        """Forget the tails of these keys, and those that depend on one of these parts."""
        keys, parts = list(keys), list(parts)
        if self._ready is not None:
            self._ready.distrust(hash_text(*key) for key in keys)
            self._ready.distrust(part_hash(kind, identifier) for kind, _, identifier in parts)
        for tenant_id, api_key in keys:
            self._known.add(tenant_id, api_key)
            self._unknown.discard((tenant_id, api_key))
            for tails in self._every(tenant_id):
                tails.forget(api_key)
        for tenant_id, changed in hashes_by_tenant(parts).items():
            for tails in self._every(tenant_id):
                tails.forget_dependent(changed)

    def _begin(self, tenant_id: str) -> Tails:
        tails = self._tails[tenant_id] = Tails(tenant_id, self._learn, self._former.pop(tenant_id, None))
        return tails

    def _every(self, tenant_id: str) -> Iterator[Tails]:
        """Return all that is remembered of a tenant id."""
        tails = self._tails.get(tenant_id)
        former = self._former.get(tenant_id) if tails is None else tails.former
        yield from (found for found in (tails, former) if found is not None)

    def _learn(self, tails: Tails, api_key: str) -> bytes:
        former = tails.former
        if former is not None and (tail := former.get(api_key)) is not None:
            parts = former.parts[api_key]
        else:
            ready = self._ready
            found = None if ready is None else ready.find(tails.tenant_id, api_key)
            if found is None and (found := self._find(tails.tenant_id, api_key)) is None:
                return NOBODY
            tail, parts = found
        if len(api_key) <= LONGEST_KEY:
            tails[api_key] = tail
            tails.parts[api_key] = parts
            self._new += 1
            if self._new >= self._max_new:
                self._turn()
        return tail

    def _turn(self) -> None:
        """Begin anew, and forget what was there before the last turn and not asked for since."""
        for tails in self._tails.values():
            tails.former = None
        self._former, self._tails, self._new = self._tails, {}, 0

    def _find(self, tenant_id: str, api_key: str) -> Learned | None:
        """Return what is said of a key that is neither remembered nor ready; None: it is unknown."""
        if self._is_unknown(tenant_id, api_key):
            return None
        answer = self._ask(tenant_id, api_key)
        return tail_of(answer.developer), array("q", answer.parts).tobytes()

    def _is_unknown(self, tenant_id: str, api_key: str) -> bool:
        key = (tenant_id, api_key)
        if key in self._unknown:
            return True
        if self._known.may_hold(tenant_id, api_key):
            return False
        if len(api_key) <= LONGEST_KEY:
            if len(self._unknown) >= MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown.add(key)
        return True


def _read(parts: bytes) -> memoryview:
    return memoryview(parts).cast("q")
