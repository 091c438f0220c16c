"""The signals of the agent's process, which may be several agents one after the other.

A signal that comes between two of them waits for the next one; across an upgrade the kernel keeps it.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGINT)
CHANGING: Final = (signal.SIGHUP, signal.SIGUSR2)
"""Reload and upgrade."""

TURNS: Final = 3
"""Of the loop: after so many it was told of every signal that had been caught."""

Hear = Callable[[signal.Signals], bool]
"""Told of a signal; False: it cannot be followed now, the next one is to be told."""


class Signals:
    """Tells whoever is attached."""

    def __init__(self) -> None:
        self._hear: Hear | None = None
        self.waiting: list[signal.Signals] = []
        """Those that nobody followed yet."""

    def install(self) -> None:
        """Take the process's signals. Those that came while a program before this one ended come now."""
        loop = asyncio.get_running_loop()
        for number in (*ENDING, *CHANGING):
            loop.add_signal_handler(number, self._came, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, *CHANGING))

    def attach(self, hear: Hear) -> None:
        """Tell this one from now on, and first what came since the last one."""
        self._hear = hear
        waiting, self.waiting = self.waiting, []
        for number in waiting:
            self._came(number)

    def detach(self) -> None:
        """Tell nobody until the next one is attached."""
        self._hear = None

    async def hold(self) -> bool:
        """Have the kernel keep what comes, for the program that replaces this one; False: some came just before.

        Those were caught, and would be gone with this program: they are among ``waiting``, and nothing is held.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDING, *CHANGING))
        for _ in range(TURNS):
            await asyncio.sleep(0.001)
        if self.waiting:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, *CHANGING))
        return not self.waiting

    def _came(self, number: signal.Signals) -> None:
        if self._hear is None or not self._hear(number):
            self.waiting.append(number)
