"""Docker or podman, whichever answers, by its command line."""

import json
import os
import shutil
import subprocess
import uuid
from typing import Self

IMAGE = os.environ.get("APIDANALYTICS_IMAGE", "apidanalytics:0.1.0")
"""What ``make image`` has built, and what compose file and manifests name."""

HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
POST = """
import json, sys, urllib.request
batch = {"records": [{"client_received_start_timestamp": 1700000000000, "client_id": "testapikey"}]}
request = urllib.request.Request(sys.argv[1], json.dumps(batch).encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=20).status)
"""


class Engine:
    """One of the two, and what it has made for a test: ``close`` removes all of it."""

    def __init__(self, program: str) -> None:
        self.program = program
        self._name = f"apidanalytics-test-{uuid.uuid4().hex[:8]}"
        self._containers: list[str] = []
        self._volumes: list[str] = []

    @classmethod
    def that_answers(cls) -> Self | None:
        """Return ``$ENGINE``, or docker, or podman; None where none has what it needs to run a container."""
        for name in filter(None, (os.environ.get("ENGINE"), "docker", "podman")):
            if shutil.which(name) and _run(name, "info").returncode == 0:
                return cls(name)
        return None

    def __call__(self, *arguments: object) -> str:
        """Run a command of it that must succeed; return what it printed."""
        result = self.try_(*arguments)
        assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
        return result.stdout.strip()

    def try_(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command of it, whatever becomes of it."""
        return _run(self.program, *arguments)

    def volume(self) -> str:
        """Return a new, empty volume."""
        name = f"{self._name}-{len(self._volumes)}"
        self("volume", "create", name)
        self._volumes.append(name)
        return name

    def start(self, *arguments: object) -> str:
        """Start a container in the background; return its name."""
        name = f"{self._name}-{len(self._containers)}"
        self._containers.append(name)
        self("run", "--detach", "--name", name, *arguments)
        return name

    def stop(self, container: str, seconds: int) -> int:
        """Send SIGTERM, SIGKILL after the time; return the exit code (137 after a SIGKILL)."""
        self("stop", "--time", seconds, container)
        return int(self("inspect", "--format", "{{.State.ExitCode}}", container))

    def post(self, container: str, url: str = "http://127.0.0.1:9000/analytics/testid") -> str:
        """Post a batch of one record from inside; return the status."""
        return self("exec", container, "python", "-c", POST, url)

    def status(self, container: str) -> dict:
        """Return what ``apidanalytics status --json`` says inside."""
        return json.loads(self("exec", container, "apidanalytics", "status", "--json"))

    def close(self) -> None:
        """Remove the containers and volumes of this test."""
        for container in self._containers:
            self.try_("rm", "--force", "--volumes", container)
        for volume in self._volumes:
            self.try_("volume", "rm", "--force", volume)


def _run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, stdin=subprocess.DEVNULL)
