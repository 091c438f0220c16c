"""A real collector that follows a stand-in, and the questions that show what it knows: asked by POST, like a gateway.

What a look-up answered is read back from the spool: a batch is durable once its 200 is there, so nothing is waited
for. The spool must stay open for that, hence the long collection interval.
"""

import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from apidanalytics.control.server import ask
from apidanalytics.layout import DataDirectory
from tests.apigeesync.accounts import CLUSTER
from tests.apigeesync.oracle import oracle
from tests.apigeesync.server import InThread, StandIn
from tests.harness import ServiceProcess, wait_until

NOWHERE = "http://127.0.0.1:9/edgex"
"""A collection endpoint that is not there."""


KEYS_AT_ONCE = 10


class Known(NamedTuple):
    """What enrichment adds to a record."""

    org: str
    env: str
    product: str = ""
    app: str = ""
    email: str = ""
    developer: str = ""


def settings_for(stand_in: StandIn, cluster: str = CLUSTER) -> dict[str, Any]:
    """Return the settings that lead a service to this stand-in."""
    return {
        "apigeesync_proxy_server_base": stand_in.base_url,
        "apigeesync_snapshot_server_base": stand_in.base_url,
        "apigeesync_change_server_base": stand_in.base_url,
        "apigeesync_consumer_key": stand_in.tokens.key,
        "apigeesync_consumer_secret": stand_in.tokens.secret,
        "apigeesync_cluster_id": cluster,
        "apigeesync_poll_interval": "20ms",
    }


def _longest_until_its_end() -> int:
    """Return a collection interval that does not end soon: they are counted from 1970, so a day ends at midnight."""
    now = time.time()
    return max((86_400, 80_000), key=lambda seconds: seconds - now % seconds)


class Collector:
    """A service, and the stand-in that it follows."""

    def __init__(self, upstream: InThread, directory: Path, port: int, **settings: Any) -> None:
        self.upstream = upstream
        self.stand_in = stand_in = upstream.stand_in
        self.service = ServiceProcess(
            {
                "local_storage_path": directory,
                "api_listen": f"127.0.0.1:{port}",
                "apidanalytics_workers": 1,
                "apidanalytics_collection_interval": _longest_until_its_end(),
                "apidanalytics_uap_server_base": NOWHERE,
                **settings_for(stand_in),
                **settings,
            },
            arguments=("run",),
        )
        self.data = DataDirectory(directory / "ax")

    def __repr__(self) -> str:
        return f"<Collector {self.service!r} of {self.stand_in!r}>"

    def scopes_status(self) -> dict[str, Any]:
        """Return what ``status --json`` has under ``scopes``, without the start of a process."""
        status: dict[str, Any] = ask(self.data.control, {"command": "status"})["scopes"]
        return status

    def account(self) -> str:
        """Tell what it and its upstream did last, for the message of a test that fails."""
        requests = [f"{r.at:.3f} {r.endpoint} {dict(r.query)}" for r in self.stand_in.requests[-8:]]
        now = f"{time.monotonic():.3f} now; upstream: {self.stand_in.database!r}"
        return "\n".join([str(self.scopes_status()), *requests, now, self.service.log()[-3000:]])

    # -- look-ups

    def look_up(self, scope_id: str, api_keys: Iterable[str]) -> dict[str, Known] | None:
        """Return what records with these API keys are enriched with; None for an unknown scope."""
        found: dict[str, Known] = {}
        for keys in _pieces(list(api_keys)):
            piece = self._look_up(scope_id, keys)
            if piece is None:
                return None
            found |= piece
        return found

    def _look_up(self, scope_id: str, api_keys: list[str]) -> dict[str, Known] | None:
        probes = {str(uuid.uuid4()): key for key in api_keys}
        records = [_record(probe, client_id=key) for probe, key in probes.items()]
        status, body = self.service.post(scope_id, records)
        if status == 400 and json.loads(body)["errorCode"] == "UNKNOWN_SCOPE":
            return None
        assert status == 200, body
        return {key: self._read_back(probe) for probe, key in probes.items()}

    def look_up_tenant(self, org: str, env: str) -> bool:
        """Return whether this org and env may send records."""
        payload = {"organization": org, "environment": env, "records": [_record(str(uuid.uuid4()))]}
        headers = {"Content-Type": "application/json"}
        status, body = self.service.request("POST", "/analytics", json.dumps(payload).encode(), headers)
        assert status == 200 or json.loads(body)["errorCode"] == "UNKNOWN_SCOPE", body
        return status == 200

    def _read_back(self, probe: str) -> Known:
        for path in self.data.tmp.glob("*.spool"):
            content = path.read_bytes()
            if (place := content.find(probe.encode())) >= 0:
                line = content[content.rindex(b'{"', 0, place) : content.index(b"\n", place)]
                return _known(json.loads(line))
        raise AssertionError(f"record {probe} was acknowledged, and is in no spool")

    def expected(self, scope_id: str, api_keys: Iterable[str]) -> dict[str, Known] | None:
        """Return what ``look_up`` answers once it is in step with the tables upstream."""
        truth = oracle(self.stand_in.database)
        tenant = truth.tenant(scope_id)
        if tenant is None:
            return None
        found = {key: truth.developer(tenant, key) for key in api_keys}
        return {
            key: Known(tenant.org, tenant.env)
            if d is None
            else Known(tenant.org, tenant.env, d.api_product, d.developer_app, d.developer_email, d.developer)
            for key, d in found.items()
        }

    def wait_in_step(self, scope_ids: Iterable[str], api_keys: Iterable[str], timeout_seconds: float = 60.0) -> None:
        """Wait until every look-up answers what the tables upstream say.

        Raises:
            AssertionError: it does not in time; the message has both answers.

        """
        scope_ids, api_keys = list(scope_ids), list(api_keys)
        deadline = time.monotonic() + timeout_seconds
        while True:
            expected = {scope: self.expected(scope, api_keys) for scope in scope_ids}
            found = {scope: self.look_up(scope, api_keys) for scope in scope_ids}
            if found == expected:
                return
            assert time.monotonic() < deadline, f"expected {expected}, found {found}\n{self.account()}"
            time.sleep(0.02)

    def wait_asked(self, endpoint: str, count: int) -> None:
        """Wait until so many requests have come to an endpoint."""
        wait_until(
            lambda: len(self.stand_in.asked(endpoint)) >= count,
            what=f"{count} requests to {endpoint} (there were {len(self.stand_in.asked(endpoint))})",
        )


def _pieces(keys: list[str]) -> list[list[str]]:
    """Cut them so that their records lie in the spool as they are, not compressed; no keys: one empty piece."""
    return [keys[at : at + KEYS_AT_ONCE] for at in range(0, len(keys), KEYS_AT_ONCE)] or [[]]


def _record(probe: str, **members: str) -> dict[str, Any]:
    return {"probe": probe, "client_received_start_timestamp": int(time.time() * 1000), **members}


def _known(record: dict[str, Any]) -> Known:
    return Known(
        org=record["organization"],
        env=record["environment"],
        product=record["api_product"],
        app=record["developer_app"],
        email=record["developer_email"],
        developer=record["developer"],
    )
