"""Answers become values, or are refused; nothing in them may do harm."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.apigeesync.wire import Operation, read_changes, read_error, read_txid


def body(**members: object) -> bytes:
    return json.dumps(
        {"lastSequence": "0.1390e840.2", "firstSequence": "0.1380aa00.0", "changes": None, **members}
    ).encode()


@pytest.mark.parametrize("changes", [None, []])
def test_a_list_without_changes_may_be_null(changes: object) -> None:
    answer = read_changes(body(changes=changes))
    assert answer.changes == ()
    assert str(answer.last) == "0.1390e840.2"


@pytest.mark.parametrize(("table", "name"), [
    ("kms.app", "kms_app"), ('kms."user"', "kms_user"), ("a.b.c", "a_b_c"), ('"Kms"."App"', "kms_app"),
])  # fmt: skip
def test_a_table_has_the_name_that_snapshots_give_it(table: str, name: str) -> None:
    (change,) = read_changes(body(changes=[{"operation": 3, "table": table, "oldRow": {}}])).changes
    assert change.table_name == name
    assert change.operation is Operation.DELETE


@pytest.mark.parametrize("content", [
    b"", b"<html>", b"null", b"[]", b"{}", b"\xff", body(lastSequence=""), body(lastSequence="x"),
    body(firstSequence="x"),
    body(changes=[{"operation": 4, "table": "t"}]), body(changes=[{"table": "t"}]), body(changes={}), b"[" * 100_000,
])  # fmt: skip
def test_what_is_no_change_list_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        read_changes(content)


def test_an_error_says_its_code_and_what_it_is_about() -> None:
    text = b'{"code": "PARAMETER_INVALID", "error": "A parameter has an invalid value", "description": "since"}'
    assert read_error(text) == ("PARAMETER_INVALID", "A parameter has an invalid value: since")
    assert read_error(b"<html>500</html>") == ("", "")


def test_an_error_does_not_repeat_what_is_secret() -> None:
    text = "no account k1 with s3cret; sent: client_secret=other, Authorization: Bearer t0ken"
    said = read_error(json.dumps({"code": "s3cret", "error": text}).encode(), ["s3cret", "k1", ""])
    assert said == ("***", "no account *** with ***; sent: client_secret=***, Authorization: Bearer ***")
    over_the_cut = json.dumps({"error": "." * 195 + "s3cret"}).encode()
    assert read_error(over_the_cut, ["s3cret"]) == ("", "." * 195 + "***")


@given(st.text())
def test_an_error_is_cut_and_printable(text: str) -> None:
    code, what = read_error(json.dumps({"code": text, "error": text}).encode())
    assert len(code) <= 60
    assert len(what) <= 200
    assert (code + what).isprintable()


@pytest.mark.parametrize("txid", ["229444:229444:", "229444:229449:229445,229446", "1:2:" + "7," * 1000])
def test_the_name_of_a_snapshot_is_taken(txid: str) -> None:
    assert read_txid(txid) == txid


@pytest.mark.parametrize(
    "txid", ["", "bootstrap", "../../etc", "1:2:/..", "1:2", "1:2:3\n", ".", "1:2:3;x", "\uff11:2:"]
)
def test_a_hostile_name_is_refused(txid: str) -> None:
    with pytest.raises(ValueError, match="name"):
        read_txid(txid)
