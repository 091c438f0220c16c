"""Defects of the Go client, none of them here: each test is named by the rule that it holds, and says which it was."""

import hashlib
import math
import sqlite3
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from apidanalytics.config import load
from tests.apigeesync import faults
from tests.apigeesync.accounts import (
    DEVELOPER,
    MAPPER,
    PRODUCT,
    SCOPE,
    example_database,
    remove_key,
)
from tests.apigeesync.faults import Reply
from tests.apigeesync.oracle import selectors
from tests.apigeesync.server import InThread, StandIn
from tests.apigeesync.snapshots import write_sqlite
from tests.apigeesync.tables import SELECTOR, TABLES, Table
from tests.harness import files_below, session_members, wait_until
from tests.integration.synced import TOO_OLD, collecting


@pytest.fixture(scope="module")
def collector(free_port):
    with collecting(free_port, apidanalytics_sync_timeout=2) as collector:
        yield collector


def damaged(reply):
    """A snapshot with a broken page, under the right checksum."""
    body = bytearray(reply.body.read_bytes())
    body[4096:12288] = b"\xaa" * 8192
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    return Reply(headers={**reply.headers, "ETag": etag}, body=bytes(body), is_chunked=True)


def no_table(reply):
    """A whole snapshot, but of something else."""
    path = reply.body.with_name("other")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (id text)")
    connection.close()
    body = path.read_bytes()
    return Reply(headers={**reply.headers, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}, body=body)


# -- BUG-1: a snapshot with the name of the one in use was written over it


def test_a_new_snapshot_never_touches_the_one_in_use_even_under_the_same_name(following):
    account = following.new_account()
    following.wait_in_step()
    answer = following.look_up(account)
    following.wait_polling()
    snapshots = len(following.asked("data"))
    following.faults.add("data", faults.trickle(400_000), times=2)
    following.then("changes", TOO_OLD, times=2)
    while len(following.asked("data")) < snapshots + 2:
        assert following.look_up(account) == answer
    following.wait_polling()
    assert following.look_up(account) == answer
    first, second = following.asked("data")[-2:]
    assert first.query == second.query


# -- BUG-2: partial files were served


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut(20_000),
        faults.cut(0),
        faults.shortened(20_000),
        faults.headers(ETag='"' + "0" * 64 + '"'),
        damaged,
        no_table,
        faults.garbage(),
    ],
    ids=["cut", "empty", "shortened", "etag", "damaged", "other tables", "garbage"],
)
def test_a_snapshot_that_is_not_whole_is_never_served_but_fetched_again(following, fault):
    account = following.new_account()
    following.wait_in_step()
    answer = following.look_up(account)
    following.faults.add("data", fault)
    following.then("changes", TOO_OLD)
    while len(following.asked("data")) < 2:
        assert following.look_up(account) == answer
    following.new_key(account, "next", product="next")
    following.wait_in_step("next")


# -- BUG-3: a 400 of another kind, or a 304, ended the process


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(304),
        faults.error(400, "PARAMETER_INVALID", "A parameter has an invalid value", "since"),
        faults.status(400),
        faults.status(500),
        faults.status(204, b""),
        faults.garbage(),
        faults.document([]),
        faults.document({"changes": [{"operation": 9}]}),
        faults.document({"lastSequence": "x.y", "changes": None}),
        faults.hang_up(),
        faults.cut(10),
    ],
    ids=["304", "400", "400 html", "500", "204", "garbage", "list", "operation", "sequence", "hang up", "cut"],
)
def test_an_answer_that_says_nothing_useful_is_asked_for_again(following, fault):
    pid = following.service.pid
    account = following.new_account()
    following.wait_in_step()
    following.then("changes", fault, times=2)
    following.new_key(account, "next", product="next")
    following.wait_in_step("next")
    assert following.service.pid == pid
    assert following.service.process.poll() is None


@pytest.mark.parametrize("endpoint", ["snapshots", "data"])
def test_a_snapshot_that_is_refused_is_asked_for_again(following, endpoint):
    for status in (304, 400, 404, 500):
        following.faults.add(endpoint, faults.status(status))
    account = following.new_account()
    following.wait_in_step()
    assert following.look_up(account)[account.key].product


# -- BUG-4: a limit on the whole time cut every snapshot that took longer


def test_a_snapshot_may_take_longer_than_the_timeout_while_it_moves_but_not_stand_still(following):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    snapshots = len(following.asked("data"))
    following.faults.add("data", faults.silence())
    following.faults.add("data", faults.lasting(2.8))
    following.then("changes", TOO_OLD)
    wait_until(lambda: len(following.asked("data")) == snapshots + 2, what="the silent one was given up")
    slow_one = following.asked("data")[-1]

    def polls_since():
        return [poll for poll in following.asked("changes") if poll.at > slow_one.at]

    wait_until(polls_since, what="the slow one is there")
    assert polls_since()[0].at - slow_one.at > 2.2
    assert len(following.asked("data")) == snapshots + 2
    assert following.look_up(account)[account.key].product


# -- BUG-5: old versions stayed on disk for ever; the snapshot's name was a path


def test_old_versions_and_leftovers_are_removed(following, collector):
    following.force_snapshot()
    following.wait_polling()
    directory = collector.service.directory / "apigeesync"
    wait_until(lambda: len(list(directory.glob("[0-9]*_*"))) == 1, what="the former versions are removed")


@pytest.mark.parametrize("name", ["../../../escaped", "1:2:\n", ""])
def test_a_hostile_name_of_a_snapshot_is_refused_or_harmless(following, collector, name, tmp_path):
    account = following.new_account()
    following.wait_in_step()
    following.faults.add("data", faults.headers(Transicator_Snapshot_TXID=name.replace("\n", "%0a")))
    following.force_snapshot()
    following.new_key(account, "next", product="next")
    following.wait_in_step("next")
    assert not [path for path in files_below(collector.service.directory.parent) if "escaped" in str(path)]


# -- BUG-6, BUG-7: a list that could not be applied was tried for ever


def poison(edit):
    """Let one change of the list be replaced."""

    def apply(answer):
        for change in answer["changes"] or []:
            edit(change)

    return faults.edited(apply)


def unknown_column(change):
    change["newRow"]["no_such_column"] = {"value": "x", "type": 25}


def no_such_operation(change):
    change["operation"] = 7


def nothing_in_it(change):
    change.pop("newRow")
    change.pop("oldRow", None)


def wrong_type(change):
    change["newRow"] = [1, 2]


@pytest.mark.parametrize("edit", [unknown_column, no_such_operation, nothing_in_it, wrong_type])
def test_a_poisonous_change_leads_to_a_new_snapshot_not_to_an_endless_loop(following, edit):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    polls = len(following.asked("changes"))
    following.faults.add("changes", poison(edit), times=3)
    following.wake()
    following.new_key(account, "next", product="next")
    following.wait_in_step("next")
    assert len(following.asked("changes")) - polls < 12


def test_a_list_that_no_snapshot_mends_is_not_asked_for_in_a_hot_loop(following):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    before, polls = len(following.asked("data")), len(following.asked("changes"))
    began = time.monotonic()
    following.faults.add("changes", faults.document({"lastSequence": "", "changes": [{}]}), times=math.inf)
    following.wake()
    wait_until(lambda: len(following.asked("changes")) >= polls + 12, what="it has tried some times")
    assert following.look_up(account)
    following.faults.clear()
    tries = following.asked("changes")[polls + 2 : polls + 12]
    pauses = [later.at - earlier.at for earlier, later in pairwise(tries)]
    assert min(pauses) >= 0.015, "the back-off has its longest pause by now, 20 ms"
    assert len(following.asked("data")) - before <= 3 + (time.monotonic() - began)


def test_a_snapshot_that_lacks_the_change_that_asked_for_it_is_not_taken_again_at_once(following, tmp_path):
    old = tmp_path / "old"
    write_sqlite(old, following.database, selectors(following.database))
    following.stand_in.ready_made = old
    following.new_account()
    wait_until(lambda: len(following.asked("data")) >= 2, what="it is taken again")
    following.stand_in.ready_made = None
    first, second = following.asked("data")[:2]
    assert second.at - first.at >= 0.9
    following.wait_in_step()


def test_the_delete_of_a_missing_row_is_harmless(following):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    snapshots = len(following.asked("data"))

    def doubled(answer):
        answer["changes"] = [change for change in answer["changes"] or [] for _ in range(2)]

    following.faults.add("changes", faults.edited(doubled), times=2)
    remove_key(following.database, account.key, account.tenant)
    following.wait_in_step()
    assert following.look_up(account)[account.key].product == ""
    assert len(following.asked("data")) == snapshots


def test_an_update_of_a_scope_and_a_change_of_the_cluster_are_applied(following):
    account = following.new_account()
    following.wait_in_step()
    following.database.update("edgex.apid_cluster", example_cluster(following), description="changed")
    following.database.update(SCOPE, account.scope, org=f"new-{account.org}")
    following.wait_in_step()
    assert following.look_up(account)[account.key].org == f"new-{account.org}"
    assert not following.collector.look_up_tenant(account.org, "prod")
    assert following.collector.look_up_tenant(f"new-{account.org}", "prod")


def example_cluster(following):
    (row,) = following.database.rows("edgex.apid_cluster", None)
    return row["id"]


# -- BUG-8, BUG-9: short-lived tokens made a storm; a refresh held everything up


def test_short_lived_tokens_make_no_storm(following):
    tokens = following.stand_in.tokens
    account = following.new_account()
    tokens.lifetime_seconds = 1
    tokens.revoke()
    following.wake()
    try:
        issued, began = len(tokens.issued), time.monotonic()
        time.sleep(1.5)  # that is what is measured: how many tokens in this time
        assert len(tokens.issued) - issued <= 3 + 2 * (time.monotonic() - began)
        following.new_key(account, "next", product="next")
        following.wait_in_step("next")
    finally:
        tokens.lifetime_seconds = 3599
        tokens.revoke()


def test_the_old_token_serves_while_a_new_one_is_fetched(following):
    tokens = following.stand_in.tokens
    account = following.new_account()
    following.wait_in_step()
    tokens.lifetime_seconds = 3
    tokens.revoke()
    issued = len(tokens.issued)
    following.wake()
    wait_until(lambda: len(tokens.issued) > issued, what="a token of three seconds")
    short_lived = tokens.issued[-1]
    tokens.lifetime_seconds = 3599
    following.faults.add("token", faults.silence(2.5))
    asked = len(following.asked("token"))
    wait_until(lambda: len(following.asked("token")) > asked, what="it is renewed ahead of its end")
    following.new_key(account, "meanwhile", product="meanwhile")
    following.wait_in_step("meanwhile")
    assert following.asked("changes")[-1].headers["Authorization"] == f"Bearer {short_lived}"


# -- BUG-10: no pause after failures that came slowly


def test_failures_that_come_slowly_are_followed_by_a_pause_too(following):
    slow_failure = Reply(status=503, delay_seconds=1.05)
    following.wake()
    following.then("changes", slow_failure, times=2)
    wait_until(lambda: len(failed(following)) >= 3, what="it has failed twice, and asks again")
    first, second, third = failed(following)[:3]
    assert second.at - first.at >= 1.05 + 0.015
    assert third.at - second.at >= 1.05 + 0.015


def failed(following):
    """The last requests, from the first one that failed on."""
    times = following.asked("changes")
    gaps = [n for n in range(len(times) - 1) if times[n + 1].at - times[n].at >= 1.05]
    return times[gaps[0] :] if gaps else []


# -- BUG-11: a change server that had lost its store was ignored for ever


def test_a_change_server_that_was_reset_is_followed_from_a_new_snapshot(following):
    account = following.new_account()
    following.wait_in_step()
    following.wait_polling()
    following.reset(just_before=lambda: following.new_key(account, "lost", product="lost"))
    following.wait_in_step("lost")
    following.new_key(account, "next", product="next")
    following.wait_in_step("lost", "next")


# -- BUG-12: values, moved rows and names


def test_a_row_that_moves_to_a_foreign_scope_is_gone_and_one_that_moves_between_ours_stays(following):
    account, other = following.new_account(), following.new_account()
    following.wait_in_step()
    developer = (account.tenant, f"dev{account.scope}id")
    following.database.update(DEVELOPER, *developer, **{SELECTOR: other.tenant})
    following.wait_in_step()
    assert following.look_up(account)[account.key].developer == f"dev{account.scope}"
    following.database.update(DEVELOPER, *developer, **{SELECTOR: "foreign"})
    following.wait_in_step()
    assert following.look_up(account)[account.key].developer == ""


def test_an_update_without_old_row_and_under_a_quoted_name_counts(following):
    table = next(table for table in TABLES if table.name == PRODUCT)
    following.database.create(Table(**{**vars(table), "is_identity_full": False, "needs_quotes": True}))
    account = following.new_account()
    following.wait_in_step()
    following.database.update(PRODUCT, account.tenant, f"product{account.scope[1:]}id", name="renamed")
    following.wait_in_step()
    following.database.create(table)
    assert following.look_up(account)[account.key].product == "renamed"


def test_an_update_of_a_row_that_was_never_seen_adds_it(following):
    account = following.new_account()
    following.wait_in_step()
    key = (account.tenant, f"app{account.scope}id")

    def without_inserts(answer):
        answer["changes"] = [change for change in answer["changes"] or [] if change["operation"] != 1]

    following.faults.add("changes", faults.edited(without_inserts), times=2)
    following.new_key(account, "unseen", product="unseen")
    following.wait_polling()
    following.database.update(MAPPER, account.tenant, "unseen", key[1], "unseenid", status="REVOKED")
    following.database.update(PRODUCT, account.tenant, "unseenid", description="seen now")
    following.wait_in_step("unseen")


# -- BUG-18: the token went along every redirect


def test_the_token_does_not_go_along_a_redirect_to_another_host(following):
    with InThread(StandIn(example_database())) as elsewhere:
        elsewhere.stand_in.is_open = True
        following.stand_in.data_location = elsewhere.stand_in.base_url + "/data"
        following.then("changes", TOO_OLD)
        wait_until(lambda: elsewhere.stand_in.asked("data") or len(following.asked("snapshots")) > 1, what="a redirect")
        following.stand_in.data_location = "/data"
        for request in elsewhere.stand_in.asked("data"):
            assert not {"authorization", "apid_instance_id", "apid_cluster_id"} & {n.lower() for n in request.headers}
    following.wake()
    following.then("changes", TOO_OLD)
    following.wait_polling()


# -- BUG-19, BUG-20: a second listener, profiling, and the token for everybody


def test_only_the_configured_address_listens_and_it_gives_no_token_and_no_profile(following):
    pids = session_members(following.service.pid)
    assert listening_ports(pids) == {int(following.service.settings["api_listen"].rpartition(":")[2])}
    for path in ("/accesstoken", "/debug/pprof/", "/debug/pprof/heap"):
        status, body = following.service.request("GET", path)
        assert status == 404
        assert following.stand_in.tokens.issued[-1].encode() not in body


def listening_ports(pids):
    """Every TCP port on which one of these processes listens."""
    sockets = set()
    for file in (file for pid in pids for file in Path(f"/proc/{pid}/fd").iterdir()):
        with suppress(FileNotFoundError):  # it was closed meanwhile
            sockets.add(str(file.readlink()))
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()]
    listening = "0A"
    return {
        int(line[1].rpartition(":")[2], 16)
        for line in lines
        if line[3] == listening and f"socket:[{line[9]}]" in sockets
    }


# -- BUG-21: a bare number was nanoseconds


def test_a_bare_number_is_seconds(tmp_path):
    intervals = {"apigeesync_poll_interval": "5"}
    required = {"local_storage_path": str(tmp_path), "apidanalytics_uap_server_base": "http://127.0.0.1:9"}
    settings = load(config_file=None, environ={}, overrides={**required, **intervals})
    assert settings.apigeesync_poll_interval == 5.0
