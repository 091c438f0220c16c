"""What workers remember of the developer data: the tails of the API keys that come often, in bounded memory."""

from array import array
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from typing import Final, NamedTuple, Protocol, cast

from apidanalytics.model import Developer
from apidanalytics.scopes.known_keys import KnownKeys, hash_text
from apidanalytics.scopes.news import Kind, hashes_by_kind, part_hash
from apidanalytics.scopes.remembered import Places, Tails
from apidanalytics.scopes.tails import NOBODY, WITHOUT_KEY, Learned, tail_of

LONGEST_KEY: Final = 128
"""Characters of an API key that is remembered; a longer one (a client may send megabytes) is asked for every time."""
MAX_UNKNOWN: Final = 10_000
"""Unknown keys that are remembered; then they are forgotten, all at once."""


class Answer(NamedTuple):
    """Who stands behind an API key, and on what that depends."""

    developer: Developer | None
    """None: nobody is known."""
    parts: tuple[int, ...] = ()
    """``news.part_hash`` of everything that was looked at, there or missing: of a product and an app for each row of
    the key, and at last of the developer, if somebody is known."""


class Ready(Protocol):
    """Answers that somebody else has made (``ready``)."""

    def find(self, tenant_id: str, api_key: str) -> Learned | None:
        """Return the answer; None: it has to be asked for."""

    def fill(self, tenant_id: str, api_keys: Sequence[str | None], tails: MutableSequence[bytes | None]) -> None:
        """Put in the tails of the keys in whose place there is none, as far as that is quickly done."""

    def distrust(self, hashes: Iterable[int]) -> None:
        """Have these keys and what is made of these parts asked for from now on."""


class DeveloperCache:
    """At most ``max_keys`` tails (``remembered``), each asked for once while it is remembered.

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
        self._places = Places(max_keys)
        self._tails: dict[str, Tails] = {}

    def __len__(self) -> int:
        return sum(tails.remembered() for tails in self._tails.values())

    def tails(self, tenant_id: str) -> Tails:
        """Return the tails of this tenant id, good until something is forgotten or the event loop has its turn."""
        return self._tails.get(tenant_id) or self._begin(tenant_id)

    def search(self, parts: Iterable[tuple[Kind, str, str]]) -> Iterator[None]:
        """Forget the tails that depend on one of these parts, in steps of a few milliseconds.

        Until it has come to its end nothing is remembered: what is forgotten is found again each time it is asked for,
        as it was.
        """
        return self._places.forget(hashes_by_kind(parts))

    def forget(self, keys: Iterable[tuple[str, str]], parts: Iterable[tuple[Kind, str, str]]) -> None:
        """Forget the tails of these keys, and what else is known of them and of these parts.

        Since the search for the parts came to its end the event loop may not have had its turn.
        """
        keys = list(keys)
        if self._ready is not None:
            self._ready.distrust(hash_text(*key) for key in keys)
            self._ready.distrust(part_hash(kind, identifier) for kind, _, identifier in parts)
        for tenant_id, api_key in keys:
            self._known.add(tenant_id, api_key)
            self._unknown.discard((tenant_id, api_key))
            if api_key and (tails := self._tails.get(tenant_id)) is not None:
                tails.pop(api_key, None)

    def _begin(self, tenant_id: str) -> Tails:
        tails = self._tails[tenant_id] = Tails(tenant_id, self._learn)
        return tails

    def _learn(
        self, tails: Tails, api_keys: Sequence[str | None], found: MutableSequence[bytes | None]
    ) -> Sequence[bytes]:
        """Do what ``remembered.Learn`` promises."""
        if self._ready is not None and not self._places.counts():
            self._ready.fill(tails.tenant_id, api_keys, found)
        for place, tail in enumerate(found):
            if tail is None:
                found[place] = self._learn_one(tails, api_keys[place])
        return cast("Sequence[bytes]", found)

    def _learn_one(self, tails: Tails, api_key: str | None) -> bytes:
        if api_key is None:
            return WITHOUT_KEY
        if (tail := tails.get(api_key)) is not None:
            return tail  # another record of the same batch asked for it
        found = None if self._ready is None else self._ready.find(tails.tenant_id, api_key)
        if found is None and (found := self._find(tails.tenant_id, api_key)) is None:
            return NOBODY
        if len(api_key) <= LONGEST_KEY:
            self._places.remember(tails, api_key, found)
        return found[0]

    def _find(self, tenant_id: str, api_key: str) -> Learned | None:
        """Return what is said of a key that is neither remembered nor ready; None: it is unknown."""
        if self._is_unknown(tenant_id, api_key):
            return None
        answer = self._ask(tenant_id, api_key)
        return tail_of(answer.developer), array("q", (hash_text(tenant_id, api_key), *answer.parts)).tobytes()

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
