"""The stand-in for Apigee Sync speaks its protocol: what other tests build on it can be relied on."""

import asyncio
import contextlib
import hashlib
import math
import sqlite3
import subprocess
import sys
import time

import aiohttp
import pytest

from apidanalytics.model import Developer, Tenant
from apidanalytics.scopes.database import ScopeDatabase
from tests.apigeesync import accounts, changes, faults, values
from tests.apigeesync.accounts import CLUSTER, example_database
from tests.apigeesync.commands import Console, MisunderstoodError
from tests.apigeesync.database import Database
from tests.apigeesync.sending import negotiate
from tests.apigeesync.server import SQLITE, TXID, StandIn
from tests.apigeesync.tables import FLOAT4, FLOAT8, SELECTOR, TABLES, TEXT, TIMESTAMPTZ, Table
from tests.harness import ROOT

SCOPES = [("scope", "tenantid"), ("scope", CLUSTER)]
CREDENTIALS = {"client_id": "consumer-key", "client_secret": "consumer-secret", "grant_type": "client_credentials"}


class Client:
    """Asks a stand-in, as apid would."""

    def __init__(self, session, stand_in):
        self.session, self.stand_in, self.headers = session, stand_in, {}

    async def log_in(self):
        async with self.session.post(f"{self.stand_in.base_url}/accesstoken", data=CREDENTIALS) as response:
            token = (await response.json())["accessToken"]
        self.headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path, *query, accept=""):
        headers = {**self.headers, "Accept": accept}
        url = f"{self.stand_in.base_url}{path}"
        async with self.session.get(url, params=list(query), headers=headers, allow_redirects=False) as response:
            return response.status, response.headers, await response.read()

    async def changes(self, *query, scopes=SCOPES):
        url = f"{self.stand_in.base_url}/changes"
        async with self.session.get(url, params=[*scopes, *query], headers=self.headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def stand_in():
    stand_in = StandIn(example_database())
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def client(stand_in):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        client = Client(session, stand_in)
        await client.log_in()
        yield client


@contextlib.asynccontextmanager
async def snapshot(client, tmp_path, *scopes):
    """The data snapshot, open."""
    status, headers, body = await client.get("/data", *(scopes or SCOPES), ("type", "sqlite"))
    assert status == 200
    assert headers["ETag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    path = tmp_path / "sqlite3"
    path.write_bytes(body)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        yield connection, headers[TXID]


# -- tokens


async def test_a_token_is_for_who_knows_the_secret_and_for_its_lifetime_only(stand_in, client):
    async with client.session.post(f"{stand_in.base_url}/accesstoken", data={**CREDENTIALS, "client_id": "x"}) as no:
        assert no.status == 401
    assert (await client.changes())[0] == 200
    stand_in.tokens.revoke()
    assert (await client.get("/changes"))[0] == 401
    stand_in.tokens.lifetime_seconds = 0
    await client.log_in()
    assert (await client.get("/snapshots", *SCOPES))[0] == 401
    assert (await client.get("/data", *SCOPES))[0] == 401


# -- snapshots


async def test_snapshots_redirect_to_data_without_the_path_prefix(client):
    status, headers, _ = await client.get("/snapshots", ("selector", "b"), ("scope", "a"), accept=SQLITE)
    assert (status, headers["Location"]) == (303, "/data?selector=a&selector=b&type=sqlite")


@pytest.mark.parametrize(
    ("query", "accept", "status", "code"),
    [
        ([("scope", "A")], "no/thing", 400, b"INVALID_REQUEST_PARAM"),
        ([("scope", "")], "", 400, b"INVALID_REQUEST_PARAM"),
        ([], "no/thing", 400, b"MISSING_SCOPE"),
        ([("scope", "a")], "no/thing", 415, b"UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_snapshots_refuse_in_the_order_of_the_original(client, query, accept, status, code):
    answer, _, body = await client.get("/snapshots", *query, accept=accept)
    assert (answer, code in body) == (status, True)


async def test_a_snapshot_has_the_layout_that_apid_reads(client, tmp_path):
    async with snapshot(client, tmp_path) as (connection, info):
        assert connection.execute("SELECT * FROM _transicator_metadata").fetchall() == [("snapshot", info)]
        columns = set(connection.execute("SELECT tableName, columnName FROM _transicator_tables WHERE primaryKey = 1"))
        assert {("edgex_data_scope", "id"), ("kms_app", "tenant_id"), ("kms_app", "id")} <= columns
        assert connection.execute("SELECT count(*) FROM edgex_apid_cluster").fetchone() == (1,)
        row = "SELECT created, typeof(created), org_scope, env FROM edgex_data_scope"
        assert connection.execute(row).fetchall() == [("2017-02-27 07:40:25.094+00:00", "text", "", "testenv")]
        row = "SELECT is_public, quota_interval, quota FROM kms_api_product"
        assert connection.execute(row).fetchall() == [("t", 5, "")]
    with contextlib.closing(ScopeDatabase(tmp_path / "sqlite3")) as database:
        tenant = Tenant(org="testorg", env="testenv", tenant_id="tenantid")
        assert database.tenant("testid").by_uuid["testid"] == tenant
        assert database.developer("tenantid", "testapikey").developer == Developer(
            api_product="testproduct",
            developer_app="testapp",
            developer_email="testdeveloper@test.com",
            developer="testdeveloper",
        )


async def test_a_snapshot_holds_the_rows_of_its_scopes_only(client, tmp_path):
    async with snapshot(client, tmp_path, ("scope", CLUSTER)) as (connection, _):
        assert connection.execute("SELECT count(*) FROM edgex_data_scope").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM kms_app").fetchone() == (0,)


async def test_a_snapshot_lacks_what_is_not_committed_and_the_changes_after_it_have_it(stand_in, client, tmp_path):
    with stand_in.database.transaction() as transaction:
        transaction.update(accounts.DEVELOPER, "tenantid", "testdeveloperid", email="new@test.com")
        accounts.add_scope(stand_in.database, "s2", "acme", "prod", "t2")
        async with snapshot(client, tmp_path) as (connection, info):
            assert connection.execute("SELECT email FROM kms_developer").fetchone() == ("testdeveloper@test.com",)
        assert info.split(":")[2] == str(transaction.txid)
    _, answer = await client.changes(("snapshot", info))
    assert [change["newRow"]["email"]["value"] for change in answer["changes"]] == ["new@test.com"]


async def test_a_null_float_fails_the_whole_snapshot(stand_in, client):
    stand_in.database.create(Table(name="kms.rate", columns={"id": TEXT, "x": FLOAT8, SELECTOR: TEXT}, key=("id",)))
    stand_in.database.insert("kms.rate", id="r", **{SELECTOR: CLUSTER})
    assert (await client.get("/data", *SCOPES, ("type", "sqlite")))[0] == 500


async def test_without_a_type_a_snapshot_is_json_to_read_by_eye(client):
    status, headers, body = await client.get("/data", *SCOPES)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert b'"name": "edgex.data_scope"' in body


# -- changes


async def test_a_change_list_has_the_form_of_the_original(stand_in, client):
    stand_in.database.log.clear()
    accounts.add_scope(stand_in.database, "s2", "acme", "prod", "t2")
    accounts.remove_scope(stand_in.database, "s2")
    _, answer = await client.changes()
    inserted, deleted = answer["changes"]
    assert (inserted["operation"], inserted["table"], "oldRow" in inserted) == (1, "edgex.data_scope", False)
    assert inserted["newRow"]["id"] == {"value": "s2", "type": 1043}
    assert inserted["newRow"]["created"] == {"value": "2017-02-27 07:40:25.094", "type": 1114}
    assert inserted["newRow"]["org_scope"]["value"] is None
    assert (deleted["operation"], "newRow" in deleted) == (3, False)
    assert answer["lastSequence"] == deleted["sequence"]
    assert int(deleted["sequence"].split(".")[1], 16) == deleted["commitSequence"]


async def test_a_page_is_followed_by_the_rest(stand_in, client):
    _, before = await client.changes()
    with stand_in.database.transaction() as transaction:
        for number in range(150):
            transaction.update(accounts.DEVELOPER, "tenantid", "testdeveloperid", email=f"{number}@test.com")
    _, page = await client.changes(("since", before["lastSequence"]))
    _, rest = await client.changes(("since", page["lastSequence"]))
    _, end = await client.changes(("since", rest["lastSequence"]))
    assert page["lastSequence"] == page["changes"][-1]["sequence"]
    assert (len(page["changes"]), len(rest["changes"]), end["changes"]) == (100, 50, None)


async def test_a_long_poll_ends_with_the_change_or_with_its_time(stand_in, client):
    since = ("since", (await client.changes())[1]["lastSequence"])
    waiting = asyncio.create_task(client.changes(since, ("block", "60")))
    while len(stand_in.asked("changes")) < 2:
        await asyncio.sleep(0.001)
    accounts.add_scope(stand_in.database, "s9", "acme", "prod", "t9", **{SELECTOR: "foreign"})  # is not waited for
    accounts.add_scope(stand_in.database, "s2", "acme", "prod", "t2")
    assert [change["newRow"]["id"]["value"] for change in (await waiting)[1]["changes"]] == ["s2"]
    stand_in.longest_block_seconds = 0.05
    started = time.monotonic()
    _, answer = await client.changes(
        ("since", changes.format_sequence(stand_in.database.last_sequence)), ("block", "59")
    )
    assert answer["changes"] is None
    assert time.monotonic() - started >= 0.05


async def test_a_row_that_moves_to_another_scope_is_told_to_the_old_one_only(stand_in, client):
    stand_in.database.log.clear()
    stand_in.database.update(accounts.DEVELOPER, "tenantid", "testdeveloperid", **{SELECTOR: "t2"})
    _, answer = await client.changes()
    assert [change["newRow"][SELECTOR]["value"] for change in answer["changes"]] == ["t2"]
    assert (await client.changes(scopes=[("scope", "t2")]))[1]["changes"] is None


async def test_without_full_identity_updates_carry_no_old_row_and_deletes_reach_nobody(stand_in, client):
    table = next(table for table in TABLES if table.name == accounts.DEVELOPER)
    stand_in.database.create(Table(**{**vars(table), "is_identity_full": False, "needs_quotes": True}))
    stand_in.database.log.clear()
    stand_in.database.update(accounts.DEVELOPER, "tenantid", "testdeveloperid", unchanged=("password",), email="e")
    stand_in.database.delete(accounts.DEVELOPER, "tenantid", "testdeveloperid")
    (change,) = (await client.changes())[1]["changes"]
    assert (change["operation"], change["table"], "oldRow" in change) == (2, 'kms."developer"', False)
    assert change["newRow"]["password"]["value"] == values.UNCHANGED_TOAST


async def test_a_client_that_missed_purged_changes_is_told_so_but_not_at_its_first_question(stand_in, client):
    stand_in.database.purge()
    status, answer = await client.changes(("since", "0.1.0"))
    assert (status, answer["code"]) == (400, "SNAPSHOT_TOO_OLD")
    assert (await client.changes(("since", "0.0.0")))[0] == 200
    last = (await client.changes())[1]["lastSequence"]
    assert (await client.changes(("since", last)))[1]["changes"] is None
    stand_in.database.reset()
    assert (await client.changes(("since", last)))[1]["lastSequence"] == "0.0.0"


@pytest.mark.parametrize(
    ("parameter", "description"),
    [
        (("limit", "100001"), "limit too high, exceeds max 100000"),
        (("limit", "x"), "limit"),
        (("block", "1.5"), "block"),
        (("since", "123"), "since"),
        (("since", "123456789.0.0"), "since"),
        (("snapshot", "bootstrap"), "snapshot"),
        (("scope", "a b"), "Invalid char in scope param"),
    ],
)
async def test_changes_refuse_parameters_of_a_wrong_form(client, parameter, description):
    status, answer = await client.changes(parameter)
    assert (status, answer["code"], answer["description"]) == (400, "PARAMETER_INVALID", description)


def test_sequences_are_compared_as_numbers():
    assert changes.parse_sequence("0.9.0") < changes.parse_sequence("0.10.0") < changes.parse_sequence("1.0.0")
    assert changes.format_sequence(changes.parse_sequence("1.2F.a")) == "1.2f.a"


def test_values_have_their_form_on_either_way():
    at = accounts._CREATED
    assert values.in_change(at, TIMESTAMPTZ) == "2017-02-27 07:40:25.094+00"
    assert values.in_change(at, 1114, values.TimestampForm.REPAIRED) == "2017-02-27 07:40:25.094 +0000 UTC"
    assert values.in_snapshot(at.replace(microsecond=0), 1114) == "2017-02-27 07:40:25+00:00"
    assert values.in_change(1.23, FLOAT4) == "1.2300000190734863"
    assert (values.in_change(True, 16), values.in_snapshot(False, 16)) == ("true", "f")
    assert values.in_change(b"\xff", 17) == "\ufffd"


def test_a_media_type_is_chosen_by_weight_then_by_order():
    offered = ("application/json", SQLITE)
    assert negotiate("", offered) == negotiate("*/*", offered) == "application/json"
    assert negotiate(f"application/json;q=0.5, {SQLITE}", offered) == SQLITE
    assert negotiate("application/*", offered) == "application/json"
    assert negotiate("text/html", offered) is None


# -- faults


@pytest.mark.parametrize("fault", [faults.hang_up(), faults.cut(3), faults.silence(0.02)])
async def test_a_connection_can_break(stand_in, client, fault):
    stand_in.faults.add("changes", fault, times=math.inf)  # a client may try again by itself on another connection
    with pytest.raises(aiohttp.ClientError):
        await client.changes()
    stand_in.faults.clear()
    assert (await client.changes())[0] == 200


@pytest.mark.parametrize("fault", [faults.cut(5000), faults.cut(0)])
async def test_a_snapshot_can_break_off(stand_in, client, fault):
    stand_in.faults.add("data", fault)
    with pytest.raises(aiohttp.ClientError):
        await client.get("/data", *SCOPES, ("type", "sqlite"))


async def test_answers_can_be_replaced_or_altered_and_all_goes_well_again(stand_in, client):
    stand_in.faults.add("changes", faults.status(500), times=2)
    stand_in.faults.add("data", faults.headers(ETag='"0"', Transicator_Snapshot_TXID="../x"))
    assert [(await client.get("/changes"))[0] for _ in range(3)] == [500, 500, 200]
    _, headers, _ = await client.get("/data", *SCOPES, ("type", "sqlite"))
    assert (headers["ETag"], headers[TXID]) == ('"0"', "../x")
    stand_in.faults.add("changes", faults.edited(lambda answer: answer.update(lastSequence="x")), times=math.inf)
    assert {(await client.changes())[1]["lastSequence"] for _ in range(2)} == {"x"}
    stand_in.faults.clear()
    assert (await client.changes())[1]["lastSequence"] != "x"


async def test_it_can_be_away_and_come_back_on_the_same_port(stand_in, client):
    url = stand_in.base_url
    await stand_in.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.changes()
    await stand_in.start()
    assert stand_in.base_url == url
    assert (await client.changes())[0] == 200


# -- by hand


def test_a_person_changes_scopes_and_keys_by_commands():
    database = example_database()
    console = Console(stand_in=StandIn(database))
    for line in ("scope add s2 acme prod t2", "key add k2 t2 gold shop", "scope rename s2 acme test"):
        assert console.execute(line) == "ok\n"
    assert "acme~test" in console.execute("show")
    assert "key k2" in console.execute("show")
    for line in ("key remove k2 t2", "scope remove s2", "fault data cut 2", "token revoke", "changes purge", ""):
        console.execute(line)
    assert "s2" not in console.execute("show")
    for line in ("scop add", "scope add x", "scope remove nobody", "fault data nothing", "fault nowhere 500"):
        with pytest.raises(MisunderstoodError):
            console.execute(line)


def test_started_by_hand_it_prints_a_configuration_and_takes_commands():
    done = subprocess.run(
        [sys.executable, "-m", "tests.apigeesync", "--port", "0"],
        cwd=ROOT,
        input="scope remove testid\nshow\nnonsense\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "apigeesync_snapshot_server_base: http://127.0.0.1:" in done.stdout
    assert "testorg" not in done.stdout
    assert "nonsense: no such command" in done.stdout
    assert done.stderr == ""


def test_tables_without_a_key_hold_equal_rows_once():
    database = Database([Table(name="public.log", columns={"line": TEXT, SELECTOR: TEXT}, key=())])
    database.load("public.log", [{"line": "a"}, {"line": "b"}])
    assert len(database.rows("public.log")) == 2
