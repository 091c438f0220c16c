"""One collector that follows a stand-in, shared by the tests of a module: each of them has tenants of its own."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apigeesync import faults
from tests.apigeesync.accounts import APP, add_key, add_scope, example_database
from tests.apigeesync.changes import parse_sequence
from tests.apigeesync.collector import Collector, Known
from tests.apigeesync.database import FIRST_LSN
from tests.apigeesync.faults import Fault
from tests.apigeesync.server import InThread, Request, StandIn
from tests.harness import wait_until

TOO_OLD = faults.error(400, "SNAPSHOT_TOO_OLD", "The client is operating on an old snapshot")
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A scope and its API key, which no other test has."""

    scope: str
    org: str
    tenant: str
    key: str


@contextmanager
def collecting(port: Callable[[], int], *, ready: bool = True, **settings: Any) -> Iterator[Collector]:
    """Start a collector with a stand-in of its own; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="apa-"))
    with InThread(StandIn(example_database())) as upstream:
        collector = Collector(upstream, directory / "data", port(), **settings)
        try:
            collector.service.start(ready=ready)
            yield collector
        finally:
            collector.service.close()
    shutil.rmtree(directory, ignore_errors=True)


class Following:
    """A collector that is in step, and what came to its stand-in since the test began."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.service = collector.service
        self.stand_in = collector.stand_in
        self.database = collector.stand_in.database
        self.faults = collector.stand_in.faults
        self.accounts: list[Account] = []
        self._has_new_scopes = False
        self._begun = len(self.stand_in.requests)

    # -- upstream

    def new_account(self) -> Account:
        """Add a scope with a key upstream."""
        number = next(_numbers)
        account = Account(scope=f"s{number}", org=f"org{number}", tenant=f"t{number}", key=f"key{number}")
        add_scope(self.database, account.scope, account.org, "prod", account.tenant)
        self.new_key(account, account.key, product=f"product{number}")
        self.accounts.append(account)
        self._has_new_scopes = True
        return account

    def new_key(self, account: Account, key: str, product: str) -> None:
        number = account.scope
        add_key(
            self.database, key, account.tenant, product=product, app=f"app{number}",
            developer=f"dev{number}", email=f"{number}@example.com",
        )  # fmt: skip

    def wake(self) -> None:
        """End the long poll with a change that no look-up shows."""
        self.database.update(APP, "tenantid", "testappid", status=f"seen {next(_numbers)}")

    def then(self, endpoint: str, fault: Fault, *, times: float = 1) -> None:
        """Let the next requests go wrong, and have the next one come at once."""
        self.faults.add(endpoint, fault, times=times)
        self.wake()

    def force_snapshot(self) -> None:
        """Let the change server call for a new snapshot, and wait until that has been asked for."""
        before = len(self.asked("data"))
        self.then("changes", TOO_OLD)
        wait_until(lambda: len(self.asked("data")) > before, what="a snapshot is asked for")

    def reset(self, just_before: Callable[[], object] = lambda: None) -> None:
        """Let the change server lose its log, and wait until a snapshot is asked for.

        What happens just before is in no answer. A request that comes after the loss waits for a change, as at a real
        server: one comes again and again. It must not be done twice: what the client is at has to be beyond all
        sequences that are counted from 0.
        """
        assert self.database.last_sequence[0] >= FIRST_LSN, "it was reset before"
        snapshots = len(self.asked("data"))
        with self.database.lock:
            just_before()
            self.database.reset()

        def is_noticed() -> bool:
            self.wake()
            return len(self.asked("data")) > snapshots

        wait_until(is_noticed, pause_seconds=0.1, what="a snapshot is asked for after the reset")

    def settle(self) -> None:
        """Let all go well again, also for the request that waits already, and wait until that shows."""
        self.faults.clear()
        self.wake()
        self.wait_polling()
        self.wait_in_step()

    # -- the collector

    def asked(self, endpoint: str) -> list[Request]:
        """Return the requests of this test."""
        return [request for request in self.stand_in.requests[self._begun :] if request.endpoint == endpoint]

    def look_up(self, account: Account, *more_keys: str) -> dict[str, Known] | None:
        return self.collector.look_up(account.scope, [account.key, *more_keys])

    def wait_in_step(self, *more_keys: str, timeout_seconds: float = 60.0) -> None:
        """Wait until all look-ups answer what stands upstream, and no snapshot for new scopes is on its way."""
        scopes = ["testid", *(account.scope for account in self.accounts)]
        keys = ["testapikey", *(account.key for account in self.accounts), *more_keys]
        self.collector.wait_in_step(scopes, keys, timeout_seconds)
        if self._has_new_scopes:
            self.wait_polling()
            self._has_new_scopes = False

    def wait_polling(self) -> None:
        """Wait until it has asked for changes after everything that is in the log by now, and for nothing else."""
        last = self.database.last_sequence

        def is_polling() -> bool:
            polls = self.asked("changes")
            is_asked = bool(polls) and _since(polls[-1]) >= last
            return is_asked and self.collector.scopes_status()["state"] != "resyncing"

        wait_until(is_polling, what="it asks for what comes after the last change")


def _since(request: Request) -> tuple[int, int]:
    return parse_sequence("".join(request.values("since")))
