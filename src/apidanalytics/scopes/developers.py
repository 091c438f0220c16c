"""What workers remember of the developer data: the answers asked for most recently, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from apidanalytics.model import Developer

LONGEST_KEY: Final = 128
"""Characters of an API key that is remembered; a longer one (a client may send megabytes) is asked for every time."""


class DeveloperCache:
    """At most ``max_keys`` answers, "nobody" among them, each asked for once while it is remembered."""

    def __init__(self, ask: Callable[[str, str], Developer | None], max_keys: int) -> None:
        self._ask = ask
        self._max_keys = max_keys
        self._answers: OrderedDict[tuple[str, str], Developer | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, tenant_id: str, api_key: str) -> Developer | None:
        """Return the answer, from memory if it is there. What ``ask`` raises is passed on and not remembered."""
        key = (tenant_id, api_key)
        try:
            self._answers.move_to_end(key)
            return self._answers[key]
        except KeyError:
            return self._learn(key)

    def _learn(self, key: tuple[str, str]) -> Developer | None:
        answer = self._ask(*key)
        if len(key[1]) <= LONGEST_KEY:
            self._answers[key] = answer
            if len(self._answers) > self._max_keys:
                self._answers.popitem(last=False)
        return answer
