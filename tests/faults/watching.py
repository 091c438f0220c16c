"""What the service says of itself while it is hurt: how often it was in the states that floods bring about."""

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apidanalytics.control.server import ask
from apidanalytics.errors import NotRunningError

EXPRESS = "commits of the express lane"
HELD = "requests held back"
STORED = "floods noticed, of what is stored"
REFUSED = "floods noticed, of what is refused"
LOOK_SECONDS = 0.2


class Watcher:
    """Adds up counters that begin again with every agent. What comes between a look and a kill is missed."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._last: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watching")
        self.seen: Counter[str] = Counter({EXPRESS: 0, HELD: 0, STORED: 0, REFUSED: 0})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    @property
    def missing(self) -> list[str]:
        """What was never seen."""
        return [what for what, number in self.seen.items() if not number]

    def take(self, counters: Mapping[str, Any]) -> None:
        """Add what is more than at the last look; less means that another agent has begun to count."""
        now = Counter(_named(counters))
        is_new = any(now[name] < number for name, number in self._last.items())
        self.seen.update(now if is_new else now - self._last)
        self._last = now

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                answer = ask(self._control, {"command": "metrics"}, 5)
            except NotRunningError:
                continue  # it was just killed
            if "counters" in answer:
                self.take(answer["counters"])


def _named(counters: Mapping[str, Any]) -> dict[str, int]:
    floods = counters.get("floods", {})
    return {
        EXPRESS: counters.get("express_groups", 0),
        HELD: counters.get("held_back_so_far", 0),
        STORED: floods.get("stored", 0),
        REFUSED: floods.get("refused", 0),
    }
