"""A real service in a child process, as its user would run it, for tests and for the benchmark."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from apidanalytics.control.server import ask
from apidanalytics.errors import NotRunningError

ROOT = Path(__file__).parents[1]
START_TIMEOUT_SECONDS = 60.0
ENVIRONMENT: dict[str, str] = {}
"""What every service is given besides; under test as ``conftest`` says."""


def wait_until(
    is_so: Callable[[], object], *, timeout_seconds: float = 30.0, pause_seconds: float = 0.02, what: str
) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not within the time; the message names what was waited for.

    """
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_seconds:g} s: {what}")
        time.sleep(pause_seconds)


def files_below(directory: Path) -> list[Path]:
    """Return the files below a directory in which a service may be at work: what vanishes meanwhile may be missing."""
    return [Path(folder, name) for folder, _, names in os.walk(directory) for name in names]


def session_members(session: int) -> list[int]:
    """Return the pids of all living processes of a session, zombies not among them."""
    names = (path.name for path in Path("/proc").iterdir())
    return [pid for pid in map(int, filter(str.isdigit, names)) if _is_member(pid, session)]


def _is_member(pid: int, session: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it ended while we looked
        return False
    state, _, _, its_session = text.rpartition(")")[2].split()[:4]
    return state not in "ZX" and int(its_session) == session


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class ServiceProcess:
    """``python -m apidanalytics run --embedded`` with the given settings; starts again on the same directory and port.

    Settings go by environment, under their whole names, so ``local_storage_path`` and ``api_listen`` must be among
    them. The service leads a session of its own, and ``close`` ends everything that belongs to it.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = ("run", "--embedded"),
        wrapper: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
        log_path: Path | None = None,
    ) -> None:
        """``command`` is what is run instead, when the service is not started by hand.

        The log goes beside the directory unless ``log_path`` says where.
        """
        # Services of several tests run at once, and only those that look at it need the administration address.
        defaults = {"apidanalytics_admin_listen": "off"}
        self.settings = {key: _as_text(value) for key, value in {**defaults, **settings}.items()}
        self.environment = dict(environment or {})
        self.directory = Path(self.settings["local_storage_path"])
        self._command = command or (*wrapper, sys.executable, "-m", "apidanalytics", *arguments)
        self._log_path = log_path or self.directory.with_name(self.directory.name + ".log")
        self._sessions: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<ServiceProcess {self.settings['api_listen']} pid={self.process and self.process.pid}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:<port>``, or ``https`` where the service has a certificate."""
        scheme = "https" if self.settings.get("api_tls_cert") else "http"
        return f"{scheme}://{self.settings['api_listen']}"

    @property
    def pid(self) -> int:
        """The agent (or the wrapper in front of it)."""
        assert self.process is not None, "not started"
        return self.process.pid

    def variables(self) -> dict[str, str]:
        """Return the environment of the service and of commands to it: none of the caller's own settings."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(("APID_", "APIDANALYTICS_"))}
        settings = {f"APID_{key.upper()}": value for key, value in self.settings.items()}
        return {**own, "PYTHONPATH": str(ROOT / "src"), **ENVIRONMENT, **settings, **self.environment}

    # -- life

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it accepts batches (``ready=False``: do not wait)."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.directory,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.append(self.process.pid)
        if ready:
            self.wait_ready()

    def wait_ready(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait for a 200 of ``/ready``."""
        try:
            wait_until(self._is_ready, timeout_seconds=timeout_seconds, what="the service is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its log:\n{self.log()[-2000:]}") from None

    def _is_ready(self) -> bool:
        if self.process is not None and (code := self.process.poll()) is not None:
            raise ChildProcessError(f"the service ended with exit code {code}:\n{self.log()[-4000:]}")
        try:
            return self.request("GET", "/ready", timeout_seconds=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def restart(self, *, ready: bool = True) -> None:
        """Start it again where an earlier one has ended; no process of that one is left then."""
        assert self.process is None or self.process.poll() is not None, "it still runs"
        self.wait_gone()
        self.start(ready=ready)

    def wait_gone(self, timeout_seconds: float = 60.0) -> None:
        """Wait until no process of it is left, workers of a killed agent included."""
        wait_until(lambda: not self.pids(), timeout_seconds=timeout_seconds, what="all its processes are gone")

    def terminate(self, timeout_seconds: float = 60.0) -> int:
        """Stop it in order (SIGTERM) and return the exit code."""
        assert self.process is not None, "not started"
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)

    def kill_agent(self) -> None:
        """SIGKILL the agent alone; its workers notice by themselves."""
        assert self.process is not None, "not started"
        _kill(self.process.pid)
        self.process.wait()

    def kill_worker(self, index: int = 0) -> int:
        """SIGKILL one worker and return its pid."""
        pid = self.worker_pids()[index]
        _kill(pid)
        return pid

    def kill_all(self) -> None:
        """SIGKILL the agent and every worker at once, as far as that is possible from outside."""
        for pid in self.pids():
            _kill(pid)
        if self.process is not None:
            self.process.wait()
        self.wait_gone()

    def close(self) -> None:
        """End every process of it, however it is, and remove its log. The data directory stays."""
        self.kill_all()
        self._log_path.unlink(missing_ok=True)

    # -- asking it

    def pids(self) -> list[int]:
        """Every living process that any start of this service has left."""
        return [pid for session in self._sessions for pid in session_members(session)]

    def worker_pids(self) -> list[int]:
        """Pids of the running workers, by index."""
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "running"]

    def status(self) -> dict[str, Any]:
        """Return what ``apidanalytics status --json`` prints while it runs, without starting a process for it."""
        return ask(self.directory / "ax/control.sock", {"command": "status"})

    def totals(self) -> dict[str, dict[str, int]]:
        """Return the totals by state; of a stopped service, too."""
        try:
            answer = ask(self.directory / "ax/control.sock", {"command": "status", "tenants": False})
        except NotRunningError:
            answer = json.loads(self.command("status", "--json").stdout)
        totals: dict[str, dict[str, int]] = answer["totals"]
        return totals

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another ``apidanalytics`` command with the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "apidanalytics", *arguments],
            cwd=self.directory,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 30.0,
    ) -> tuple[int, bytes]:
        """Send one request over TCP on a connection of its own; return (status, body)."""
        host, _, port = self.settings["api_listen"].rpartition(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=timeout_seconds)) as connection:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()

    def post(self, scope: str, records: list[Any]) -> tuple[int, bytes]:
        """Post one batch to a scope; return (status, body)."""
        body = json.dumps({"records": records}).encode()
        return self.request("POST", f"/analytics/{scope}", body, {"Content-Type": "application/json"})

    def log(self) -> str:
        """Everything it has written so far, over all starts."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    # -- what it delivered

    def is_delivered(self, at_least: int = 0) -> bool:
        """Whether so many records were accepted, and every accepted one is in the object store or was set aside."""
        totals = {state: n["records"] for state, n in self.totals().items()}
        return totals["accepted"] >= at_least and totals["accepted"] == totals["uploaded"] + totals["set_aside"]

    def wait_delivered(self, at_least: int = 0, *, timeout_seconds: float = 60.0, pause_seconds: float = 0.1) -> None:
        """Wait until ``is_delivered``; say how many records were acknowledged, so that none is forgotten."""
        wait_until(
            lambda: self.is_delivered(at_least),
            timeout_seconds=timeout_seconds,
            pause_seconds=pause_seconds,
            what=f"at least {at_least} records are accepted, and all of them delivered",
        )

    def lake_files(self) -> list[Path]:
        """Every object of the embedded store."""
        return sorted((self.directory / "lake").glob("*~*/date=*/time=*/*.txt.gz"))

    def lake(self) -> dict[str, list[bytes]]:
        """Return the lines of every tenant, without their line feeds, read back from the embedded store."""
        lines: dict[str, list[bytes]] = {}
        for path in self.lake_files():
            tenant = path.parents[2].name
            *complete, rest = gzip.decompress(path.read_bytes()).split(b"\n")
            assert rest == b"", f"the last line of {path} is not complete"
            lines.setdefault(tenant, []).extend(complete)
        return lines


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
