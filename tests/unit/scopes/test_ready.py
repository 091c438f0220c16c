"""What is found in the file of ready answers, key by key and many at once."""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from apidanalytics.scopes import ready
from apidanalytics.scopes.ready import ENTRY, HEADER, MAGIC, READ_BYTES, UNIT, ReadyAnswers, ReadyFile
from apidanalytics.scopes.ready_build import _encode, _put

TENANT = "t"
SLOTS = 64


def tail_of(key: str, length: int = 100) -> bytes:
    return b',"developer":"%b"}\n' % key.encode().ljust(length, b".")


def hashes_of(key: str) -> list[int]:
    return [hash(key), 11, 12, 1000 + len(key)]


def write(path: Path, tails: dict[str, bytes]) -> None:
    slots = array("Q", bytes(8 * SLOTS))
    entries = b""
    for key, tail in tails.items():
        name = f"{TENANT}\0{key}".encode()
        assert _put(slots, ready.crc32(name), (HEADER.size + 8 * SLOTS + len(entries)) // UNIT)
        entries += _encode(name, hashes_of(key), tail)
    path.write_bytes(HEADER.pack(MAGIC, SLOTS, len(tails), 0) + slots.tobytes() + entries)


@contextmanager
def opened(path: Path, tails: dict[str, bytes]) -> Iterator[ReadyFile]:
    write(path, tails)
    file = ReadyFile(path)
    try:
        yield file
    finally:
        file.close()


def filled(file: ReadyFile, keys: Sequence[str | None], changed: set[int] | None = None) -> list[bytes | None]:
    tails: list[bytes | None] = [None] * len(keys)
    file.fill(TENANT, keys, tails, changed or set())
    return tails


def found(file: ReadyFile, key: str) -> bytes | None:
    learned = file.find(f"{TENANT}\0{key}".encode())
    return learned[0] if learned else None


def test_many_are_found_at_once_and_what_is_not_there_stays_open(tmp_path: Path) -> None:
    tails = {key: tail_of(key) for key in "abc"}
    with opened(tmp_path / "tails.bin", tails) as file:
        assert filled(file, ["c", "never", None, "a", ""]) == [tails["c"], None, None, tails["a"], None]
        known: list[bytes | None] = [b"remembered", None]
        file.fill(TENANT, ["a", "b"], known, set())
        assert known == [b"remembered", tails["b"]]


REST = ENTRY.size + len(f"{TENANT}\0a") + 8 * len(hashes_of("a")) + len(tail_of("a", 0)) - 1


@pytest.mark.parametrize("length", [1, 100, READ_BYTES - REST, READ_BYTES - REST + 1, READ_BYTES, 4000])
def test_however_long_an_entry_is_it_is_whole_or_left_to_who_has_time(tmp_path: Path, length: int) -> None:
    tail = tail_of("a", length)
    with opened(tmp_path / "tails.bin", {"a": tail, "b": tail_of("b")}) as file:
        assert found(file, "a") == tail
        assert filled(file, ["a", "b"])[0] == (tail if REST + length <= READ_BYTES else None)


def test_keys_of_which_the_checksums_are_equal_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "crc32", lambda _: 7)
    tails = {key: tail_of(key) for key in "abc"}
    with opened(tmp_path / "tails.bin", tails) as file:
        assert {key: found(file, key) for key in "abcd"} == {**tails, "d": None}
        assert filled(file, list("abcd")) == [tails["a"], None, None, None]


def test_what_has_changed_is_left_open(tmp_path: Path) -> None:
    tails = {key: tail_of(key) for key in ("a", "bb")}
    with opened(tmp_path / "tails.bin", tails) as file:
        assert filled(file, ["a", "bb"], {99, 1002}) == [tails["a"], None]
        assert filled(file, ["a", "bb"], {99, hash("a")}) == [None, tails["bb"]]


def test_a_file_that_was_cut_short_fills_in_nothing_and_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "tails.bin"
    write(path, {key: tail_of(key) for key in "ab"})
    answers = ReadyAnswers()
    answers.take(path, first=0, last=0)
    with path.open("r+b") as file:
        file.truncate(HEADER.size + 8 * SLOTS + 2)
    tails: list[bytes | None] = [None, None]
    answers.fill(TENANT, ["a", "b"], tails)
    assert tails == [None, None]
    assert answers.find(TENANT, "a") is None
    assert "None" in repr(answers)
    answers.fill(TENANT, ["a"], tails)
    assert tails == [None, None]


def test_an_entry_with_a_length_that_cannot_be_is_left_to_the_database(tmp_path: Path) -> None:
    path = tmp_path / "tails.bin"
    write(path, {"a": tail_of("a")})
    with path.open("r+b") as file:
        file.seek(HEADER.size + 8 * SLOTS)
        name, hashes, tail = ENTRY.unpack(file.read(ENTRY.size))
        file.seek(-ENTRY.size, 1)
        file.write(ENTRY.pack(name, hashes + 3, tail - 3))  # the end is where it was
    answers = ReadyAnswers({99})
    answers.take(path, first=0, last=0)
    tails: list[bytes | None] = [None]
    answers.fill(TENANT, ["a"], tails)
    assert tails == [None]
    assert answers.find(TENANT, "a") is None
