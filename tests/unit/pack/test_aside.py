"""damaged/: nothing is lost on the way there, and nothing is counted twice."""

import json

import pytest

from apidanalytics.model import Damage
from apidanalytics.pack.aside import Why
from tests.unit.pack.fakes import ACME, GLOBEX

WHY = Why(reason="checksum does not match", amounts={"": (0, 7)}, damage=(Damage(offset=5, length=7, reason="crc"),))


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "0123.spool"
    path.write_bytes(b"evidence")
    return path


def names(data):
    return sorted(path.name for path in data.damaged.iterdir())


def test_a_copy_leaves_the_original_where_it_is(data, aside, original):
    aside.copy(original, WHY)
    assert original.read_bytes() == b"evidence"
    assert (data.damaged / "0123.spool").read_bytes() == b"evidence"


def test_the_reason_beside_it_says_what_and_where_and_when(data, aside, original):
    aside.copy(original, WHY)
    assert json.loads((data.damaged / "0123.spool.reason.json").read_text()) == {
        "name": "0123.spool",
        "reason": "checksum does not match",
        "records": 0,
        "bytes": 7,
        "damage": [{"offset": 5, "length": 7, "reason": "crc"}],
        "at": "2023-11-14T22:18:20.123+00:00",
    }


def test_a_move_takes_the_original_away_under_the_name_it_is_given(data, aside, original):
    aside.move(original, WHY, name="other.txt.gz")
    assert not original.exists()
    assert names(data) == ["other.txt.gz", "other.txt.gz.reason.json"]


def test_doing_it_again_after_a_crash_keeps_one_copy_and_counts_once(data, ledger, aside, original):
    aside.copy(original, WHY)
    aside.copy(original, WHY)
    aside.move(original, WHY)
    assert names(data) == ["0123.spool", "0123.spool.reason.json"]
    assert ledger.aside == {("0123.spool", "checksum does not match"): ("", 0, 7)}


def test_a_name_taken_by_other_content_is_not_overwritten(data, ledger, aside, original):
    aside.copy(original, WHY)
    original.write_bytes(b"other evidence")
    aside.copy(original, WHY)
    assert (data.damaged / "0123.spool").read_bytes() == b"evidence"
    assert (data.damaged / "0123.spool.2").read_bytes() == b"other evidence"
    assert {name for name, _ in ledger.aside} == {"0123.spool", "0123.spool.2"}


def test_each_tenant_is_counted_by_itself(ledger, aside, original):
    aside.copy(original, Why(reason="unreadable", amounts={ACME: (2, 20), GLOBEX: (1, 9)}))
    assert sorted(ledger.aside.values()) == [(ACME, 2, 20), (GLOBEX, 1, 9)]
