"""The ways in which a file appears: never through a link."""

import errno
import os

import pytest

from apidanalytics import durable


def test_only_a_file_itself_is_a_plain_file(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    names = ("file", "link", "directory", "pipe", "nothing")
    assert [durable.is_plain_file(tmp_path / name) for name in names] == [True, False, False, False, False]


def test_a_link_in_place_of_a_new_file_is_replaced_and_what_it_led_to_stays(tmp_path):
    (tmp_path / "outside").write_bytes(b"kept")
    for name in ("a.part", "dangling.part"):
        (tmp_path / name).symlink_to(tmp_path / ("outside" if name == "a.part" else "new"))
    durable.write(tmp_path / "a", b"ours")
    durable.write(tmp_path / "dangling", b"ours")
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "dangling").read_bytes() == b"ours"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def test_a_directory_is_private_and_no_link(tmp_path):
    for _ in range(2):
        durable.make_private_directory(tmp_path / "own")
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.raises(NotADirectoryError, match="link is a symbolic link, and is not followed"):
        durable.make_private_directory(tmp_path / "link")


def test_what_a_failed_sync_may_have_left_out_is_written_again_for_the_next_one_to_sync(tmp_path, monkeypatch):
    path = tmp_path / "ended"
    content = os.urandom((1 << 20) + 7)
    path.write_bytes(content)
    written = {}
    pwrite = os.pwrite

    def noting(descriptor, piece, at):
        written[at] = piece[: 1 << 19]  # a short write is no end
        return pwrite(descriptor, piece[: 1 << 19], at)

    def refuse(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "pwrite", noting)
        failing.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            durable.sync_ended_file(path)
    assert b"".join(piece for _, piece in sorted(written.items())) == path.read_bytes() == content
    written.clear()
    monkeypatch.setattr(os, "pwrite", noting)
    durable.sync_ended_file(path)
    assert written == {}
