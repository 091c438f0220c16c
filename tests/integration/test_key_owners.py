"""A worker that begins to claim keys while the agent looks for dead ones."""

import fcntl
import os

import pytest

from apidanalytics.idempotency import owner
from apidanalytics.idempotency.owner import Owner, bury_dead, is_alive


@pytest.mark.parametrize("looks_for_long", [False, True])
def test_one_that_is_taken_for_dead_before_it_has_its_lock_enters_all_the_same(tmp_path, monkeypatch, looks_for_long):
    flock = fcntl.flock
    looked: list[int] = []

    def look_first(descriptor, how):
        monkeypatch.setattr(owner.fcntl, "flock", flock)
        (new,) = tmp_path.glob("*.new")
        if looks_for_long:
            looked.append(os.open(new, os.O_RDWR))
            flock(looked[0], fcntl.LOCK_EX)
        else:
            assert list(bury_dead(tmp_path)) == [new]
        try:
            flock(descriptor, how)
        finally:
            for other in looked:
                os.close(other)

    monkeypatch.setattr(owner.fcntl, "flock", look_first)
    entered = Owner.enter(tmp_path, 7)
    assert is_alive(tmp_path, 7)
    assert list(bury_dead(tmp_path)) == []
    entered.leave()
    assert not is_alive(tmp_path, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Owner.enter(tmp_path / "none", 7)
