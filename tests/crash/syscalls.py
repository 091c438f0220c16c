"""strace at a running process: what it asks of the kernel, in order, and what the kernel is made to answer.

A trace is in the order of things: the kernel stops a thread at the entry and at the exit of a call, and strace writes
each down before the thread goes on. So what a thread did after it had learned of another's work stands after it.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

TRACED = "read,pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
STRING_BYTES = 1 << 15
_LINE = re.compile(r"(?P<thread>\d+) +(?P<text>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<file>[^,)]*)(?P<arguments>.*)")


class Strace:
    """strace attached to a process and all its threads, from ``with`` to the end of it."""

    def __init__(self, strace: str, pid: int, *arguments: str, output: Path = Path(os.devnull)) -> None:
        self._command = [strace, "--follow-forks", f"--attach={pid}", f"--output={output}", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        said = self._process.stderr.readline().decode()
        if "attached" not in said:
            self._end()
            may_not_trace(said)
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            # It waits for a process that died and that nobody has reaped; the kernel lets go of all others.
            self._process.kill()
            self._process.communicate()


def may_not_trace(said: str) -> None:
    """Skip the test, or fail it where CI is set: this user may not trace processes here."""
    if os.environ.get("CI"):
        pytest.fail(f"strace may not attach: {said}")
    pytest.skip(f"needs the right to trace processes: {said}")


@dataclass(frozen=True)
class Event:
    """The entry of a system call, or its exit."""

    is_exit: bool
    thread: str
    name: str
    file: str
    """The descriptor and what it stands for, such as ``13<TCP:[127.0.0.1:9000->127.0.0.1:4711]>``."""
    text: str
    """The arguments; for an exit also the result."""

    @property
    def has_succeeded(self) -> bool:
        return self.is_exit and not re.search(r"= -1 [A-Z]+", self.text)


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Yield entries and exits in their order from the output of ``strace -f -yy``."""
    begun: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line.rstrip("\n"))
        assert match, line
        thread, text = match["thread"], match["text"]
        if text.startswith(("---", "+++")):
            continue
        if resumed := _RESUMED.match(text):
            # The entry was told when it happened; only the exit has the content of a read.
            yield _event(thread, begun.pop(thread) + resumed["rest"], is_exit=True)
        elif text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            yield _event(thread, begun[thread], is_exit=False)
        else:
            yield _event(thread, text, is_exit=False)
            yield _event(thread, text, is_exit=True)


def _event(thread: str, text: str, *, is_exit: bool) -> Event:
    call = _CALL.match(text)
    assert call, text
    return Event(is_exit=is_exit, thread=thread, name=call["name"], file=call["file"], text=call["arguments"])


@dataclass
class Durability:
    """What a trace shows of every 200: whether the batch it is for had been written, and then synced."""

    answers: int = 0
    syncs: int = 0
    early: list[str] = field(default_factory=list)
    """Ids of records whose 200 left before they were synced."""


def judge(events: Iterable[Event], record_id: re.Pattern[str]) -> Durability:
    """Follow each record from the request to the disk, and each 200 back to its record.

    A sync covers what had been written to its file when it began, once it has succeeded.
    """
    found = Durability()
    asked: dict[str, str] = {}  # connection -> the record of its last request
    written: dict[str, set[str]] = {}  # spool -> records
    covered: dict[str, set[str]] = {}  # thread -> what the sync it is in covers
    synced: set[str] = set()
    for event in events:
        if event.name == "read" and event.is_exit and "<TCP:" in event.file:
            for found_id in record_id.findall(event.text):
                asked[event.file] = found_id
        elif event.name == "pwrite64" and event.has_succeeded:
            written.setdefault(_number(event.file), set()).update(record_id.findall(event.text))
        elif event.name in {"fdatasync", "fsync"} and not event.is_exit:
            covered[event.thread] = set(written.get(_number(event.file), ()))
        elif event.name in {"fdatasync", "fsync"} and event.has_succeeded:
            found.syncs += 1
            synced |= covered.pop(event.thread)
        elif not event.is_exit and "<TCP:" in event.file and '"HTTP/1.1 200' in event.text:
            found.answers += 1
            if asked[event.file] not in synced:
                found.early.append(asked[event.file])
    return found


def _number(file: str) -> str:
    """Return the number of the spool behind a descriptor, whatever its name is at the moment."""
    match = re.search(r"/(\w{12})\.spool", file)
    return match[1] if match else file
