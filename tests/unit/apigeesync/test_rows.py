"""What a change does to its row."""

from collections.abc import Callable

import pytest

from apidanalytics.apigeesync.errors import SnapshotNeededError
from apidanalytics.apigeesync.rows import Effect, Key, Texts, check_fit, effect_of
from apidanalytics.apigeesync.tables import SELECTOR, Table, stand_in
from apidanalytics.apigeesync.values import UNCHANGED_TOAST
from apidanalytics.apigeesync.wire import Change, Operation, Value

APP = Table(
    name="kms_app",
    columns=dict.fromkeys(("id", "tenant_id", "name", "developer_id", "callback_url", SELECTOR), 25),
    key=("tenant_id", "id"),
)
ROW = {"id": "a", "tenant_id": "t", "name": "n", "developer_id": "d", "callback_url": "u", SELECTOR: "s"}


def finding(*rows: Texts) -> Callable[[Key], Texts | None]:
    return {(row["tenant_id"], row["id"]): dict(row) for row in rows}.get


def change(operation: Operation, new: dict | None = None, old: dict | None = None, table: str = "kms.app") -> Change:
    def values(row: dict | None) -> dict[str, Value] | None:
        return None if row is None else {name: Value(value=value, type=25) for name, value in row.items()}

    return Change(operation=operation, table=table, new_row=values(new), old_row=values(old))


def effect(what: Change, *rows: Texts) -> Effect:
    return effect_of(what, APP, finding(*rows), {"s", "s2"})


def test_an_insert_makes_a_row_and_what_it_does_not_name_is_empty() -> None:
    assert effect(change(Operation.INSERT, ROW)) == Effect(before=None, after=ROW)
    some = {"id": "a", "tenant_id": "t", SELECTOR: "s"}
    assert effect(change(Operation.INSERT, some)).after == {**dict.fromkeys(ROW, ""), **some}


def test_an_insert_of_a_row_that_is_there_replaces_it() -> None:
    assert effect(change(Operation.INSERT, ROW), {**ROW, "name": "old"}).after == ROW


def test_an_update_that_finds_no_row_makes_it() -> None:
    assert effect(change(Operation.UPDATE, ROW, ROW)) == Effect(before=None, after=ROW)


def test_an_update_may_change_the_key() -> None:
    renamed = {**ROW, "id": "b"}
    assert effect(change(Operation.UPDATE, renamed, ROW), ROW) == Effect(before=ROW, after=renamed)


def test_an_update_without_the_old_row_is_found_by_its_own_key() -> None:
    assert effect(change(Operation.UPDATE, {**ROW, "name": "m"}), ROW).before == ROW
    assert effect(change(Operation.UPDATE, {**ROW, "name": "m"}, {}), ROW).before == ROW


def test_an_unchanged_long_value_stays_as_it_is() -> None:
    updated = change(Operation.UPDATE, {**ROW, "name": UNCHANGED_TOAST, "developer_id": "e"}, ROW)
    assert effect(updated, ROW).after == {**ROW, "developer_id": "e"}


def test_an_unchanged_long_value_of_a_row_that_is_not_here_needs_a_snapshot() -> None:
    with pytest.raises(SnapshotNeededError, match="not known"):
        effect(change(Operation.UPDATE, {**ROW, "name": UNCHANGED_TOAST}, ROW))


def test_an_unchanged_long_value_that_nothing_reads_may_be_missing() -> None:
    updated = change(Operation.UPDATE, {**ROW, "callback_url": UNCHANGED_TOAST}, ROW)
    assert effect(updated).after == {**ROW, "callback_url": ""}


def test_a_row_that_moves_to_a_selector_of_others_goes_and_to_one_of_ours_stays() -> None:
    assert effect(change(Operation.UPDATE, {**ROW, SELECTOR: "foreign"}, ROW), ROW) == Effect(before=ROW, after=None)
    assert effect(change(Operation.UPDATE, {**ROW, SELECTOR: None}, ROW), ROW).after is None
    assert effect(change(Operation.UPDATE, {**ROW, SELECTOR: "s2"}, ROW), ROW).after == {**ROW, SELECTOR: "s2"}


def test_a_delete_removes_the_row_there_or_not() -> None:
    assert effect(change(Operation.DELETE, old={"id": "a", "tenant_id": "t"}), ROW) == Effect(before=ROW, after=None)
    assert effect(change(Operation.DELETE, old=ROW)) == Effect(before=None, after=None)


def test_null_is_an_empty_text() -> None:
    assert effect(change(Operation.INSERT, {**ROW, "developer_id": None})).after == {**ROW, "developer_id": ""}


@pytest.mark.parametrize(
    "what",
    [
        change(Operation.DELETE),
        change(Operation.DELETE, old={"id": "a"}),
        change(Operation.INSERT),
        change(Operation.UPDATE, old=ROW),
    ],
    ids=str,
)
def test_a_change_that_does_not_say_what_it_changes_needs_a_snapshot(what: Change) -> None:
    with pytest.raises(SnapshotNeededError):
        effect(what)


def test_a_table_without_a_key_needs_a_snapshot() -> None:
    with pytest.raises(SnapshotNeededError, match="no key"):
        effect_of(change(Operation.INSERT, ROW), Table(name="kms_app", columns=APP.columns, key=()), finding(), {"s"})


@pytest.mark.parametrize(("what", "why"), [
    (change(Operation.INSERT, ROW, table="kms.nothing"), "table"),
    (change(Operation.UPDATE, {**ROW, "extra": "x"}), "column"),
    (change(Operation.DELETE, old={**ROW, "extra": "x"}), "column"),
    (change(Operation.UPDATE, {"id": "c1"}, table="edgex.apid_cluster"), "cluster"),
])  # fmt: skip
def test_a_change_that_does_not_fit_to_the_snapshot_needs_another_one(what: Change, why: str) -> None:
    with pytest.raises(SnapshotNeededError, match=why):
        check_fit(what, {"kms_app": APP, "edgex_apid_cluster": stand_in("kms_app")})


def test_a_table_that_is_known_fits_whatever_its_quotes() -> None:
    assert check_fit(change(Operation.INSERT, ROW, table='kms."app"'), {"kms_app": APP}) is APP
