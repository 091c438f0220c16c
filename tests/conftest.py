"""Fixtures that every test may use."""

import fcntl
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import harness
from tests.harness import ServiceProcess

# A slow machine is no fault of the code: a test of properties has the time limit that every test has.
hypothesis.settings.register_profile("project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("project")

# Services compile their modules once for the whole run, not at each of some hundred starts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# No test trusts the machine's certificates, and to read them all takes a tenth of an agent's start.
harness.ENVIRONMENT["SSL_CERT_FILE"] = os.devnull
# Where the run was started in the background, SIGINT is ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SERVICES = pytest.StashKey[list[ServiceProcess]]()
_LOG_LINES_SHOWN = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the fault suite is told: ``make soak ARGS="-k faults --minutes 30 --seed 7"``."""
    group = parser.getgroup("fault suite")
    group.addoption("--minutes", type=float, default=5.0, help="how long faults go on (default: 5)")
    group.addoption("--seed", type=int, default=1, help="what is sent and which faults come follows from it")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Return the path of a program; without it the test is skipped, or fails where CI is set."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and in CI no test may be skipped for that: .ci/run installs it")
        pytest.skip(f"needs {name}")

    return require


@pytest.fixture(scope="session")
def free_port(worker_id: str) -> Callable[[], int]:
    """Return free ports of 127.0.0.1, below those that outgoing connections take, and others in every test process.

    Services share a port if they are told to, so a second run of the tests on this machine must not be given one that
    the first uses: a lock file stands for each.
    """
    locks = Path(tempfile.gettempdir()) / "apidanalytics-test-ports"
    locks.mkdir(exist_ok=True)
    share = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    candidates = list(range(12000 + 2000 * (share % 8), 14000 + 2000 * (share % 8)))
    random.SystemRandom().shuffle(candidates)

    def take() -> int:
        while candidates:
            port = candidates.pop()
            # Held as long as this process lives.
            lock = os.open(locks / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    return port
        pytest.fail("no free port is left")

    return take


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """Return an empty directory whose path is short enough for a unix socket deep inside it."""
    path = Path(tempfile.mkdtemp(prefix="apa-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start_service(
    request: pytest.FixtureRequest, data_directory: Path, free_port: Callable[[], int]
) -> Iterator[Callable[..., ServiceProcess]]:
    """Return a function that starts a real service, ready to serve; settings by keyword, under their whole names.

    ``start_service(apidanalytics_workers=2)``; ``ready=False`` does not wait; ``environment=`` adds variables as
    they are, and ``wrapper=`` is a command in front. All its processes are gone when the test ends.
    """
    services = request.node.stash.setdefault(_SERVICES, [])

    def start(
        *,
        ready: bool = True,
        environment: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        **settings: Any,
    ) -> ServiceProcess:
        settings.setdefault("api_listen", f"127.0.0.1:{free_port()}")
        settings.setdefault("local_storage_path", data_directory)
        service = ServiceProcess(settings, environment=environment, wrapper=wrapper)
        services.append(service)
        service.start(ready=ready)
        return service

    yield start
    for service in services:
        service.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the log of every service of a test that failed."""
    report = yield
    if report.failed:
        for number, service in enumerate(item.stash.get(_SERVICES, []), start=1):
            lines = service.log().splitlines()[-_LOG_LINES_SHOWN:]
            report.sections.append((f"log of service {number}", "\n".join(lines)))
    return report
