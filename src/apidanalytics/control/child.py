"""A child process of the agent, whichever program of this process started it.

An upgrade replaces the agent's program and keeps its process, so the new program finds children that it never started:
all it has of them is their pid.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, Self

LOOK_SECONDS: Final = 0.5
"""How often a child is looked at that cannot be watched."""


class Child:
    """One child process. It is reaped by whoever waits for it; its exit status stays known."""

    def __init__(self, pid: int, popen: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.status: int | None = None
        """Exit code, or the number of the signal that ended it, negated; None while it lives."""
        self._popen = popen
        self._ended: asyncio.Task[int] | None = None

    def __repr__(self) -> str:
        return f"<Child {self.pid}: {'runs' if self.status is None else self.status}>"

    @classmethod
    def spawn(cls, command: Sequence[str], *, environment: Mapping[str, str], descriptors: Sequence[int]) -> Self:
        """Start a process that inherits these descriptors, and nothing on standard input.

        Raises:
            OSError: it cannot be started.

        """
        popen = subprocess.Popen(  # noqa: S603 - the command is this very interpreter and package # nosec B603
            command, stdin=subprocess.DEVNULL, env=environment, pass_fds=descriptors
        )
        return cls(popen.pid, popen)

    async def wait(self) -> int:
        """Wait for its end; return its status. Any number may wait, and giving up waiting changes nothing."""
        if self._ended is None:
            self._ended = asyncio.create_task(self._wait())
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """SIGKILL it, unless it has ended."""
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # somebody else has reaped it

    async def _wait(self) -> int:
        loop = asyncio.get_running_loop()
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return self._reap()
        except OSError:  # no descriptor is left
            while not self._has_ended():  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(LOOK_SECONDS)
            return self._reap()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._reap()

    def _has_ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # reaped elsewhere

    def _reap(self) -> int:
        try:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            self.status = 0  # reaped elsewhere: its status is lost
        if self._popen is not None:
            self._popen.returncode = self.status  # or it would warn that the child was never waited for
        return self.status


def describe_end(status: int) -> str:
    """Return how a process ended, in words, from its exit status."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
