"""Batches with an ``Idempotency-Key`` and a real service: kills, restarts, delivery, and an index that fails."""

import contextlib
import http.client
import json
import os

import pytest

from apidanalytics import failpoints
from apidanalytics.control.server import ask
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Claim
from tests.crash.load import amounts
from tests.harness import wait_until
from tests.integration.test_keys import write_spool
from tests.small_disk import small_disk

SETTINGS = {"apidanalytics_collection_interval": 1, "apidanalytics_upload_interval": 1}


class Client:
    """Posts to the first scope of the embedded example, each time on a connection of its own."""

    def __init__(self, service) -> None:
        self.service = service
        self.stored = 0

    def post(self, key: str | None, n: int = 1) -> tuple[int, str]:
        """Return the status, and ``replayed`` or the errorCode; (0, "") when there is no answer."""
        body = json.dumps({"records": [{"client_received_start_timestamp": 1_700_000_000_000, "n": n}]})
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
        host, _, port = self.service.settings["api_listen"].rpartition(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=30)) as connection:
            try:
                connection.request("POST", "/analytics/testid", body, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException):
                return 0, ""
        is_replayed = response.headers["Idempotency-Replayed"] == "true"
        answer = response.status, "replayed" if is_replayed else json.loads(text)["errorCode"] if text else ""
        self.stored += answer == (200, "")
        return answer

    def insist(self, key: str, n: int = 1) -> tuple[int, str]:
        """Post until there is a 200."""
        answers = []

        def is_taken():
            answers.append(self.post(key, n))
            return answers[-1][0] == 200

        wait_until(is_taken, pause_seconds=0.05, what="a 200")
        return answers[-1]


def index_of(service):
    (path,) = service.directory.glob("ax/keys/index*.db")
    return path


def spoil(path):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


def test_a_key_counts_once_through_workers_a_kill_delivery_and_a_restart_and_damage_costs_only_the_index(start_service):
    # The third group of a worker is committed, and nobody is told.
    armed = {failpoints.VARIABLE: "spool.after_sync=kill@3"}
    service = start_service(**SETTINGS, apidanalytics_workers=2, environment=armed)
    client = Client(service)
    killed = 0
    for n in range(5):  # two workers commit four
        first = client.post(f"k{n}", n)
        killed += first == (0, "")
        assert client.insist(f"k{n}", n) == (200, "replayed")
    assert killed
    client.stored += killed
    assert {client.post("k1", 1) for _ in range(6)} == {(200, "replayed")}  # whichever worker it reaches
    assert client.post("k1", 99) == (422, "IDEMPOTENCY_KEY_REUSED")

    assert service.terminate() == 0
    service.environment.clear()
    service.restart()
    wait_until(lambda: amounts(service).get("uploaded") == client.stored, what="all of it is delivered")
    assert not list(service.directory.glob("ax/sealed/*")) + list(service.directory.glob("ax/recovered/*"))
    assert client.post("k1", 1) == (200, "replayed")

    spoil(index_of(service))  # while it runs
    assert client.insist("new", 1) == (200, "")
    # The other worker may be the one that finds the damage: then the key is in use until its spool is sealed.
    assert client.insist("new", 1) == (200, "replayed")
    assert client.post(None) == (200, "")

    assert service.terminate() == 0
    os.truncate(index_of(service), 5000)  # while it does not
    service.restart()
    assert client.insist("newer", 1) == (200, "")
    assert client.insist("newer", 1) == (200, "replayed")

    wait_until(lambda: amounts(service)["uploaded"] == client.stored, what="all of it is delivered")
    assert sum(map(len, service.lake().values())) == client.stored
    assert amounts(service, "files")["set_aside"] == 2
    audit = service.command("audit", "--json")
    assert audit.returncode == 0, audit.stdout
    notes = json.loads(audit.stdout)["notes"]
    assert len(notes) == 2
    assert "Idempotency-Key was used between" in notes[0]


@pytest.fixture
def ordinary_user(require_tool):
    """Return the command in front of a service that makes file modes count for it, also where the tests are root's."""
    return () if os.geteuid() else (require_tool("setpriv"), "--bounding-set=-dac_override,-dac_read_search")


def findings_of(service):
    answer = ask(service.directory / "ax/control.sock", {"command": "status", "tenants": False})
    return {finding["code"]: finding["text"] for finding in answer["findings"]}


def test_a_damaged_index_beside_a_spool_that_cannot_be_read_is_replaced_and_status_says_so(
    start_service, ordinary_user
):
    service = start_service(**SETTINGS, apidanalytics_workers=1, wrapper=ordinary_user)
    client = Client(service)
    assert client.post("before") == (200, "")
    claims = [Claim(tenant="testorg~testenv", key=key, ticket=n) for n, key in enumerate(("unread", "again"), 1)]
    unread = write_spool(DataDirectory(service.directory / "ax").tmp, 1, 5, *claims)
    unread.chmod(0)
    unread = unread.rename(service.directory / "ax/sealed" / unread.name)
    spoil(index_of(service))

    assert client.post("new") == (200, "")
    assert client.post("again") == (200, "")
    wait_until(lambda: {"keys_lost", "packing_failed"} <= findings_of(service).keys(), what="status says so")
    assert f"{unread.name} (Permission denied)" in findings_of(service)["keys_lost"]

    unread.chmod(0o600)
    wait_until(lambda: not unread.exists(), what="it is packed")
    assert client.post("unread") == (200, "replayed")
    assert "keys.used_again" in service.log()
    wait_until(lambda: "packing_failed" not in findings_of(service), what="packing is well")


@pytest.fixture
def small_keys(data_directory):
    """Return the folder of the index, on a file system of its own."""
    with small_disk(data_directory / "ax/keys", megabytes=1) as path:
        yield path


def test_while_the_index_has_no_room_batches_with_a_key_get_503_and_then_it_goes_on(small_keys, start_service):
    service = start_service(**SETTINGS, apidanalytics_workers=1)
    client = Client(service)
    assert client.post("before") == (200, "")
    filler = small_keys / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    # What the log of the index has taken before, it can still use.
    wait_until(lambda: client.post(os.urandom(8).hex()) == (503, "STORAGE_UNAVAILABLE"), what="it is full")
    assert client.post(None) == (200, "")
    filler.unlink()
    assert client.post("after") == (200, "")
    assert client.post("before") == (200, "replayed")
    wait_until(lambda: amounts(service)["uploaded"] == client.stored, what="all of it is delivered")
    assert not list(service.directory.glob("ax/damaged/*"))
