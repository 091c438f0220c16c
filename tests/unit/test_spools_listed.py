"""Which spools a data directory holds."""

import pytest

from apidanalytics.layout import DataDirectory


def test_open_sealed_and_recovered_spools_are_listed_and_nothing_else(tmp_path):
    data = DataDirectory(tmp_path / "data")
    data.create()
    spools = {
        1: data.tmp / "000000000001.spool",
        2: data.sealed / "000000000002.spool",
        0xABC: data.recovered / "000000000abc~recoveredTS~20260102030405.678.spool",
    }
    for path in spools.values():
        path.touch()
    for stranger in ("notes.txt", "1.spool", "000000000003.spool.new", "000000000004.part"):
        (data.tmp / stranger).touch()
    (data.sealed / "000000000005.spool").mkdir()
    (data.sealed / "000000000006.spool").symlink_to(spools[1])
    assert dict(data.spools()) == spools


@pytest.mark.parametrize("place", ["tmp", "sealed", "recovered"])
def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(tmp_path, place):
    data = DataDirectory(tmp_path / "data")
    data.create()
    spool = data.tmp / "000000000001.spool"
    spool.touch()
    if place == "tmp":
        spool.unlink()
    (data.root / place).rmdir()
    assert dict(data.spools()) == ({} if place == "tmp" else {1: spool}), "one that is not there has no spools"
    (data.root / place).touch()
    with pytest.raises(NotADirectoryError, match=place):
        dict(data.spools())
