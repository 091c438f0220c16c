"""What stands in damaged/ is counted cheaply."""

from apidanalytics.service import damaged


def test_a_piece_counts_once_whatever_lies_beside_it(tmp_path):
    for name in ("a.spool", "a.spool.reason.json", "b.gz", "c.part", "index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).touch()
    assert damaged.count_pieces(tmp_path) == 3


def test_a_huge_directory_is_not_counted_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(damaged, "MOST_PIECES", 5)
    for number in range(20):
        (tmp_path / str(number)).touch()
    assert damaged.count_pieces(tmp_path) == 5


def test_no_directory_has_no_piece(tmp_path):
    assert damaged.count_pieces(tmp_path / "none") == 0
