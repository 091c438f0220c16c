"""What workers remember of the developer data: the answers asked for most recently, in bounded memory."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from apidanalytics.model import Developer
from apidanalytics.scopes.known_keys import KnownKeys, hash_text
from apidanalytics.scopes.news import Kind, hashes_by_tenant, part_hash

LONGEST_KEY: Final = 128
"""Characters of an API key that is remembered; a longer one (a client may send megabytes) is asked for every time."""


class Answer(NamedTuple):
    """Who stands behind an API key, and on what that depends."""

    developer: Developer | None
    """None: nobody is known."""
    parts: tuple[int, ...] = ()
    """``news.part_hash`` of everything that was looked at, there or missing."""


class Ready(Protocol):
    """Answers that somebody else has made (``ready``)."""

    def find(self, tenant_id: str, api_key: str) -> Answer | None:
        """Return the answer; None: it has to be asked for."""

    def distrust(self, hashes: Iterable[int]) -> None:
        """Have these keys and what is made of these parts asked for from now on."""


class DeveloperCache:
    """At most ``max_keys`` answers, "nobody" among them, each asked for once while it is remembered.

    When half of them are new, those that were not asked for since then are forgotten: that costs nothing at a look-up.

    What is ready is not asked for, but remembered as well: finding it takes ten times as long. What ``known`` calls
    unknown is never asked for, so a flood of unknown keys drives out nothing.
    """

    def __init__(
        self, ask: Callable[[str, str], Answer], known: KnownKeys, max_keys: int, ready: Ready | None = None
    ) -> None:
        self._ask = ask
        self._ready = ready
        self._known = known
        self._max_new = max(max_keys // 2, 1)
        self._answers: dict[tuple[str, str], Answer] = {}
        self._former: dict[tuple[str, str], Answer] = {}

    def __len__(self) -> int:
        return len(self._answers) + len(self._former)

    def get(self, tenant_id: str, api_key: str) -> Developer | None:
        """Return the answer, from memory if it is there. What ``ask`` raises is passed on and not remembered."""
        key = (tenant_id, api_key)
        answer = self._answers.get(key)
        return self._learn(key) if answer is None else answer[0]

    def forget(self, keys: Iterable[tuple[str, str]], parts: Iterable[tuple[Kind, str, str]]) -> None:
        """Forget the answers for these keys, and those that depend on one of these parts."""
        keys, parts = list(keys), list(parts)
        if self._ready is not None:
            self._ready.distrust(hash_text(*key) for key in keys)
            self._ready.distrust(part_hash(kind, identifier) for kind, _, identifier in parts)
        for key in keys:
            self._known.add(*key)
            self._answers.pop(key, None)
            self._former.pop(key, None)
        changed = hashes_by_tenant(parts)
        if changed:
            for answers in (self._answers, self._former):
                _forget_dependent(answers, changed)

    def _learn(self, key: tuple[str, str]) -> Developer | None:
        answer = self._former.pop(key, None)
        if answer is None and self._ready is not None:
            answer = self._ready.find(*key)
        if answer is None:
            if not self._known.may_hold(*key):
                return None
            answer = self._ask(*key)
        if len(key[1]) <= LONGEST_KEY:
            self._answers[key] = answer
            if len(self._answers) >= self._max_new:
                self._former, self._answers = self._answers, {}
        return answer[0]


def _forget_dependent(answers: dict[tuple[str, str], Answer], changed: Mapping[str, set[int]]) -> None:
    """Forget the answers that depend on one of these parts, by tenant id."""
    nothing: set[int] = set()
    stale = [key for key, answer in answers.items() if not changed.get(key[0], nothing).isdisjoint(answer[1])]
    for key in stale:
        del answers[key]
