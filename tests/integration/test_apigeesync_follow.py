"""The follower against the stand-in: real HTTP, real files, and what a worker makes of its news."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from apidanalytics.apigeesync.client import DataClient, Servers, TokenCall
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.follow import Follower
from apidanalytics.apigeesync.http import Http
from apidanalytics.apigeesync.identity import Identity
from apidanalytics.apigeesync.state import State
from apidanalytics.apigeesync.store import VersionStore
from apidanalytics.apigeesync.token import TokenKeeper
from apidanalytics.clock import SystemClock
from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.lookup import CachedScopes
from apidanalytics.scopes.news import News
from tests.apigeesync import accounts, faults
from tests.apigeesync.server import StandIn
from tests.apigeesync.snapshots import write_sqlite
from tests.apigeesync.tables import SELECTOR
from tests.steps import at_once
from tests.unit.scopes.samples import who

ACME = Tenant(org="acme", env="prod", tenant_id="acmeid")
TESTORG = Tenant(org="testorg", env="testenv", tenant_id="tenantid")
CLOCK = SystemClock()
LATER = {
    "tenant_id": "tenantid", "appcred_id": "later", "app_id": "testappid", "apiprdt_id": "testproductid",
    "status": "APPROVED", SELECTOR: "tenantid",
}  # fmt: skip
ACME_SCOPE = {
    "id": "acme", "org": "acme", "env": "prod", "scope": "acmeid",
    "apid_cluster_id": accounts.CLUSTER, SELECTOR: accounts.CLUSTER,
}  # fmt: skip


class Site:
    """A follower, and a worker's view of what it published."""

    def __init__(self, follower: Follower, tokens: TokenKeeper) -> None:
        self.follower = follower
        self.tokens = tokens
        self.scopes: CachedScopes | None = None
        self.news: list[News | None] = []
        self.look: Callable[[CachedScopes], object] = lambda _: None
        """Looks whenever something has been published."""

    async def publish(self, file: VersionFile, news: News | None) -> None:
        self.news.append(news)
        if self.scopes is None:
            self.scopes = CachedScopes(file.path, max_keys=100, refresh_interval=1800, clock=CLOCK)
        elif news is None:
            self.scopes.switch(file.path)
        else:
            at_once(self.scopes.renewal([news]))
        self.look(self.scopes)

    async def until(self, is_so: Callable[[CachedScopes], object], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while self.scopes is None or not is_so(self.scopes):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(stand_in: StandIn, directory: Path, cluster: str = accounts.CLUSTER) -> AsyncIterator[Site]:
    base = stand_in.base_url
    tokens = stand_in.tokens
    servers = Servers(proxy_base=base, snapshot_base=base, change_base=base, key=tokens.key, secret=tokens.secret)
    store = VersionStore(directory, cluster)
    http = Http(timeout_seconds=5)
    await http.open()
    identity = Identity(instance_id="i", cluster_id=cluster, instance_name="n", is_new=store.is_new, now=CLOCK.now)
    keeper = TokenKeeper(TokenCall(servers, http, identity, CLOCK), clock=CLOCK, cap_seconds=0.3, random=random.random)
    client = DataClient(servers, http, identity, keeper, block=5, limit=100)
    site: Site

    async def publish(file: VersionFile, news: News | None) -> None:
        await site.publish(file, news)

    follower = Follower(client=client, store=store, publish=publish, clock=CLOCK, cap_seconds=0.3, random=random.random)
    site = Site(follower, keeper)
    await follower.take_up()
    running = [asyncio.create_task(keeper.run()), asyncio.create_task(follower.run())]
    try:
        yield site
        assert not any(task.done() for task in running), "following ended by itself"
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await follower.aclose()
        await http.aclose()
        if site.scopes is not None:
            site.scopes.close()


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    made = StandIn(accounts.example_database())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def test_a_first_start_takes_two_snapshots_and_then_follows(stand_in: StandIn, tmp_path: Path) -> None:
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.tenant("testid") == TESTORG and scopes.sequence)
        accounts.add_scope(stand_in.database, "other", "testorg", "prod", "tenantid")
        await site.until(lambda scopes: scopes.tenant("other"))
        assert site.follower.state.state is State.FOLLOWING
    assert len(stand_in.asked("token")) == 1
    assert [request.values("scope") for request in stand_in.asked("snapshots")] == [
        [accounts.CLUSTER],
        ["tenantid", accounts.CLUSTER],
    ]
    first, second, *_ = stand_in.asked("changes")
    assert (first.values("block"), first.values("since")) == (["0"], [])
    assert second.values("block") == ["5"]
    assert second.values("since")


async def test_only_what_a_change_concerns_is_forgotten(stand_in: StandIn, tmp_path: Path) -> None:
    accounts.add_key(stand_in.database, "quiet", "tenantid", product="p2", app="a2")
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        scopes = site.scopes
        assert scopes is not None
        statements: list[str] = []
        assert who(scopes, TESTORG, "testapikey")
        assert who(scopes, TESTORG, "quiet")
        stand_in.database.update(accounts.DEVELOPER, "tenantid", "testdeveloperid", email="new@test.com")
        await site.until(lambda _: site.news[-1] is not None and site.news[-1].parts)
        scopes._database._connection.set_trace_callback(statements.append)
        assert who(scopes, TESTORG, "quiet")
        assert statements == []
        assert who(scopes, TESTORG, "testapikey") == Developer(
            api_product="testproduct",
            developer_app="testapp",
            developer_email="new@test.com",
            developer="testdeveloper",
        )
        assert len(statements) == 1


async def test_a_key_of_a_new_tenant_comes_with_a_new_snapshot(stand_in: StandIn, tmp_path: Path) -> None:
    accounts.add_key(stand_in.database, "acmekey", "acmeid", product="p", app="a")
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence and who(scopes, ACME, "acmekey") is None)
        accounts.add_scope(stand_in.database, "acme", "acme", "prod", "acmeid")
        await site.until(lambda scopes: scopes.tenant("acme") == ACME)
        await site.until(lambda scopes: who(scopes, ACME, "acmekey"))
        accounts.remove_scope(stand_in.database, "acme")
        await site.until(lambda scopes: scopes.tenant("acme") is None and scopes.tenant_of("acme", "prod") is None)
        assert site.scopes is not None
        assert site.scopes.tenant("testid") == TESTORG


async def test_a_restart_serves_at_once_and_goes_on_from_the_stored_sequence(stand_in: StandIn, tmp_path: Path) -> None:
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        stored = site.follower.state.sequence
    await stand_in.stop()
    stand_in.requests.clear()
    async with following(stand_in, tmp_path) as site:
        assert site.scopes is not None
        assert site.scopes.tenant("testid") == TESTORG
        async with asyncio.timeout(60):
            while not site.tokens.last_error:
                await asyncio.sleep(0.01)
        assert site.follower.state.state is State.BEHIND
        await stand_in.start()
        accounts.add_scope(stand_in.database, "later", "testorg", "later", "tenantid")
        await site.until(lambda scopes: scopes.tenant("later"))
        assert not site.tokens.last_error
    assert stand_in.asked("snapshots") == []
    assert stand_in.asked("changes")[0].values("since") == [stored]


async def test_a_change_that_does_not_fit_leads_to_a_new_snapshot_and_nothing_stops(
    stand_in: StandIn, tmp_path: Path
) -> None:
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        stand_in.database.update("edgex.apid_cluster", accounts.CLUSTER, description="changed")
        async with asyncio.timeout(60):
            while len(stand_in.asked("snapshots")) < 3:
                await asyncio.sleep(0.01)
        accounts.add_scope(stand_in.database, "later", "testorg", "later", "tenantid")
        await site.until(lambda scopes: scopes.tenant("later"))


@pytest.mark.parametrize(
    "fault", [faults.cut(5000), faults.headers(ETag=f'"{"0" * 64}"'), faults.garbage(), faults.status(500)]
)
async def test_a_snapshot_that_did_not_come_whole_is_dropped_and_asked_for_again(
    stand_in: StandIn, tmp_path: Path, fault: object
) -> None:
    stand_in.faults.add("data", fault, times=2)
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.tenant("testid") == TESTORG)
    assert len(stand_in.asked("data")) == 4


async def test_a_token_that_is_refused_is_replaced_and_the_call_made_once_more(
    stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.faults.add("snapshots", faults.status(401, b""))
    stand_in.faults.add("changes", faults.status(401, b""))
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        assert site.follower.state.last_error == ""
    assert len(stand_in.asked("token")) == 3


async def test_what_an_earlier_process_left_half_made_is_swept_away_and_the_rest_left_alone(
    stand_in: StandIn, tmp_path: Path
) -> None:
    for name in ("next.part", "7_1:1:", "notes"):
        (tmp_path / name).mkdir()
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes", "state.json", site.follower.state.version}


async def test_changes_count_while_a_snapshot_for_changed_scopes_is_on_its_way(
    stand_in: StandIn, tmp_path: Path
) -> None:
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        served = site.follower.state.version
        stand_in.faults.add("data", faults.slow(600), times=math.inf)
        accounts.add_scope(stand_in.database, "acme", "acme", "prod", "acmeid")
        await site.until(lambda _: len(stand_in.asked("data")) == 3)
        accounts.add_key(stand_in.database, "later", "tenantid", product="p", app="a")
        await site.until(lambda scopes: who(scopes, TESTORG, "later"))
        accounts.remove_scope(stand_in.database, "testid")
        await site.until(lambda scopes: scopes.tenant("testid") is None)
        assert site.follower.state.version == served
        assert site.follower.state.state is State.RESYNCING


async def test_a_snapshot_that_lags_behind_takes_nothing_back(stand_in: StandIn, tmp_path: Path) -> None:
    database = stand_in.database
    async with following(stand_in, tmp_path / "store") as site:
        await site.until(lambda scopes: scopes.sequence)
        stand_in.ready_made = tmp_path / "old.db"
        write_sqlite(stand_in.ready_made, database, ["tenantid", "acmeid", accounts.CLUSTER])
        known: list[bool] = []
        site.look = lambda scopes: known.append(who(scopes, TESTORG, "later") is not None)
        with database.transaction() as transaction:
            transaction.insert(accounts.MAPPER, **LATER)
            transaction.insert(accounts.SCOPE, **ACME_SCOPE)
        versions = site.news.count(None)
        await site.until(lambda _: site.news.count(None) >= versions + 2)
        assert known == [True] * len(known)
        stand_in.ready_made = None
        accounts.add_key(database, "acmekey", "acmeid", product="p", app="a")
        await site.until(lambda scopes: scopes.tenant("acme") == ACME and who(scopes, ACME, "acmekey"))


async def test_changes_are_followed_while_the_snapshot_server_is_away(stand_in: StandIn, tmp_path: Path) -> None:
    accounts.add_key(stand_in.database, "acmekey", "acmeid", product="p", app="a")
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        stand_in.faults.add("snapshots", faults.status(500), times=math.inf)
        accounts.add_scope(stand_in.database, "acme", "acme", "prod", "acmeid")
        await site.until(lambda _: site.follower.state.last_error)
        accounts.add_scope(stand_in.database, "other", "testorg", "prod", "tenantid")
        await site.until(lambda scopes: scopes.tenant("other"))
        assert "status 500" in site.follower.state.last_error
        await site.until(lambda _: len(stand_in.asked("snapshots")) >= 6)
        accounts.remove_scope(stand_in.database, "other")
        # The failures of the snapshot do not make the next pause of following longer.
        await site.until(lambda scopes: scopes.tenant("other") is None and not site.follower.state.failures)
        stand_in.faults.clear()
        await site.until(lambda scopes: who(scopes, ACME, "acmekey"))
        await site.until(lambda _: site.follower.state.state is State.FOLLOWING)
        assert not site.follower.state.last_error


@pytest.mark.parametrize("trouble", ["does not fit", "too old", "no answer"])
async def test_what_goes_wrong_meanwhile_ends_with_the_new_snapshot(
    stand_in: StandIn, tmp_path: Path, trouble: str
) -> None:
    """When the current version cannot be followed any more, the snapshot on its way may be from before: one more."""
    database = stand_in.database
    accounts.add_key(database, "acmekey", "acmeid", product="p", app="a")
    async with following(stand_in, tmp_path) as site:
        await site.until(lambda scopes: scopes.sequence)
        stand_in.faults.add("data", faults.slow(0.5))
        accounts.add_scope(database, "acme", "acme", "prod", "acmeid")
        await site.until(lambda _: len(stand_in.asked("data")) == 3)
        if trouble == "does not fit":
            database.update("edgex.apid_cluster", accounts.CLUSTER, description="changed")
        else:
            is_old = trouble == "too old"
            fault = faults.error(400, "SNAPSHOT_TOO_OLD") if is_old else faults.status(500)
            stand_in.faults.add("changes", fault, times=1 if is_old else 3)
        accounts.add_key(database, "later", "tenantid", product="p", app="a")
        await site.until(lambda scopes: who(scopes, TESTORG, "later") and who(scopes, ACME, "acmekey"))
        accounts.add_scope(database, "other", "testorg", "prod", "tenantid")
        await site.until(lambda scopes: scopes.tenant("other"))
        snapshots = 3 if trouble == "no answer" else 4
        await site.until(lambda _: len(stand_in.asked("data")) == snapshots)
