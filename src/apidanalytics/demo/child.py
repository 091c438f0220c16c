"""The real service as a child process: started, asked, hurt, and stopped."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

import apidanalytics
from apidanalytics.control.server import ask
from apidanalytics.errors import NotRunningError
from apidanalytics.layout import DataDirectory

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0


class ServiceError(Exception):
    """The service did not do what the play needs; its log says more."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(reason)
        self.log = log
        """Another service's log; None: the collector's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where and how the service runs."""

    directory: Path
    """Absolute; its ``local_storage_path``, log and lake."""
    scopes: Path
    listen: str
    collection_interval: int
    """Seconds."""
    command: Sequence[str] = (sys.executable, "-m", "apidanalytics", "run", "--embedded")
    further: Mapping[str, str] = field(default_factory=dict)
    """More of its environment."""

    @property
    def lake(self) -> Path:
        """Where the embedded collection endpoint puts the objects."""
        return self.directory / "lake"

    @property
    def log(self) -> Path:
        """What the service writes to its standard output and error."""
        return self.directory / "service.log"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the child's environment: the inherited one, with this configuration instead of any other."""
        settings = {
            "APID_LOCAL_STORAGE_PATH": str(self.directory),
            "APID_API_LISTEN": self.listen,
            "APID_APIDANALYTICS_SCOPES_FILE": str(self.scopes),
            "APID_APIDANALYTICS_COLLECTION_INTERVAL": str(self.collection_interval),
            "APID_APIDANALYTICS_UPLOAD_INTERVAL": "1",
            "APID_APIDANALYTICS_LOG_FORMAT": "text",
            "PYTHONPATH": str(Path(apidanalytics.__file__).parents[1]),
        }
        return (
            {key: value for key, value in inherited.items() if not key.startswith("APID_")}
            | settings
            | dict(self.further)
        )


def free_address() -> str:
    """Return an address on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Service:
    """One agent and its workers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, apart from this terminal, so that an interrupt reaches only us."""
        with self._stage.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and package # nosec B603
                self._stage.command,
                cwd=self._stage.directory,
                env=self._stage.environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def wait_ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until ``/ready`` answers 200.

        Raises:
            ServiceError: it ended, or did not get ready in time.

        """
        patience = aiohttp.ClientTimeout(total=1.0)

        async def is_ready() -> bool:
            try:
                async with session.get(f"http://{self._stage.listen}/ready", timeout=patience) as response:
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        if not await self.wait_until(is_ready, READY_SECONDS):
            raise ServiceError(f"the service was not ready after {READY_SECONDS:.0f} s")

    async def wait_until(self, condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Wait until something is so, looking ten times a second; return False when it was not in time.

        Raises:
            ServiceError: the service ended meanwhile.

        """
        deadline = asyncio.get_running_loop().time() + seconds
        while not await condition():
            if self._process is None or self._process.poll() is not None:
                raise ServiceError("the service ended by itself")
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    async def status(self) -> Mapping[str, Any]:
        """Return what ``apidanalytics status --json`` prints; empty while nobody answers."""
        path = DataDirectory(self._stage.directory / "ax").control
        try:
            return await asyncio.to_thread(ask, path, {"command": "status"})
        except NotRunningError:
            return {}

    async def stop(self) -> int:
        """Let it drain, and return its exit code; -9 when it had to be killed."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return await asyncio.to_thread(self.kill)

    def kill(self) -> int:
        """End it at once, with its workers, if it still lives; return its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()
