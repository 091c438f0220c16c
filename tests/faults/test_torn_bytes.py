"""A spool and a staged file, cut at every byte and with every bit flipped, through the recovery that the agent does.

It never crashes and never invents; it loses nothing that was committed before the damage; and what it does not deliver
it says, and keeps. ``make test`` takes some of the cuts and every 64th bit, ``make soak`` every byte and every bit.
"""

import gzip
import json
import os
import random
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from apidanalytics.clock import SystemClock
from apidanalytics.layout import FILES_PER_SPOOL, BucketName, DataDirectory, FileName, SpoolName, name_hash
from apidanalytics.model import Claim, SpoolHeader, StagedFile
from apidanalytics.pack.compress import write_gzip
from apidanalytics.pack.packer import Outcome, Packer
from apidanalytics.pack.recover import Recovery, waiting_spools
from apidanalytics.pack.strangers import Strangers
from apidanalytics.service.parts import adoption
from apidanalytics.spool.frame import COMPRESS_FROM, Share, format_end, format_group, format_header
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.checksum import ChangedError
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.prepare import prepare, set_changed_aside
from apidanalytics.upload.shelves import Shelves

START_AT = 1_700_000_040
FIRST_NUMBER = 100_000_000_000_000
SHARES = 3
SOME = [pytest.param(f"some {share}", id=f"some of them, share {share}") for share in range(SHARES)]
"""In shares, so that several cores have something to do."""
ALL = pytest.param("all", id="all", marks=(pytest.mark.soak, pytest.mark.timeout(0)))
COARSENESS = 7
"""Of the cuts, ``make test`` makes each so-manieth."""


def line(number, size=8):
    return b'{"id":%d,"text":"%s"}\n' % (number, random.Random(number).randbytes(size).hex().encode())


def share(tenant, *numbers, times=1):
    lines = b"".join(line(number) * times for number in numbers)
    return Share(tenant=tenant, start_at=START_AT, records=len(numbers) * times, lines=lines)


GROUPS = (
    ((share("acme~prod", 1, 2), share("globex~prod", 3)), (Claim(tenant="acme~prod", key="k-1", ticket=1 << 62),)),
    ((share("acme~prod", 4, times=1000),), ()),
    ((share("globex~prod", 5), share("acme~test", 6, 7)), (Claim(tenant="acme~test", key="k-2", ticket=7),)),
    ((share("acme~prod", 8),), ()),
)
"""With keys and without, compressed and not, one tenant and several."""
ROOM = bytes(700)


def header(number):
    return SpoolHeader(
        number=number, interval_seconds=120, max_file_bytes=1 << 20, instance_id="i-1", created_at=START_AT, owner=9
    )


def frames(number):
    groups = (format_group(n, shares, claims) for n, (shares, claims) in enumerate(GROUPS, 1))
    return [format_header(header(number)), *groups]


def lines_of(groups):
    """Return the lines of these groups by tenant."""
    found: dict[str, list[bytes]] = {}
    for shares, _ in groups:
        for one in shares:
            found.setdefault(one.tenant, []).extend(one.lines.splitlines(keepends=True))
    return {tenant: sorted(lines) for tenant, lines in found.items()}


class Recoverer:
    """The agent's own recovery on one directory, damage after damage."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self.data = DataDirectory(directory)
        self.ledger = ledger
        self.number = FIRST_NUMBER
        self.claims: list[Claim] = []
        self.shelves = Shelves(self.data)
        self._clock = SystemClock()
        self._strangers = Strangers()
        self._recovery = Recovery(self.data, self._clock, self._strangers)
        self._packer = Packer(
            self.data,
            ledger,
            SegmentReader.open,
            clock=self._clock,
            fallback=header,
            spool_goes=lambda _, claims: self.claims.extend(claims),
        )

    def recover_spool(self, content, *, was_sealed):
        """Return what packing says of a spool that was found like this."""
        self.clear()
        place = self.data.sealed if was_sealed else self.data.tmp
        (place / str(SpoolName(number=self.number))).write_bytes(content)
        self._recovery.sweep()
        (path,) = waiting_spools(self.data, self._strangers)
        packed = self._packer.pack(path)
        assert not waiting_spools(self.data, self._strangers)
        return packed

    def adopt(self, directory, name, content):
        """Find a file in staging/ of which the ledger knows nothing."""
        self.clear()
        path = self.data.staging / directory / name
        path.parent.mkdir()
        path.write_bytes(content)
        adoption(self.data, self.ledger, self._clock, self._strangers).run()

    def delivered(self):
        found: dict[str, list[bytes]] = {}
        for path in self.data.staging.glob("*/*"):
            tenant = BucketName.parse(path.parent.name).tenant
            found.setdefault(tenant, []).extend(gzip.decompress(path.read_bytes()).splitlines(keepends=True))
        return {tenant: sorted(lines) for tenant, lines in found.items()}

    def kept(self):
        """Return the content of what is in damaged/; each has its reason beside it."""
        files = [path for path in self.data.damaged.iterdir() if not path.name.endswith(".reason.json")]
        for path in files:
            assert json.loads(path.with_name(f"{path.name}.reason.json").read_text())["reason"]
        return [path.read_bytes() for path in files]

    def clear(self):
        self.number += 1
        self.claims.clear()
        for place in (self.data.staging, self.data.damaged, self.data.recovered, self.data.sealed, self.data.tmp):
            shutil.rmtree(place)
        self.data.create()


@pytest.fixture
def recoverer(monkeypatch):
    """Return one without syncs: nothing here is about power cuts, and there are thousands of damages."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    fast = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(dir=fast if fast.is_dir() else None))
    try:
        DataDirectory(root).create()
        with Ledger.open(root / "ledger.db", root / "damaged", 0.0) as ledger:
            yield Recoverer(root, ledger)
    finally:
        shutil.rmtree(root)


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as lines:
        yield SimpleNamespace(events=lambda: [one["event"] for one in lines], clear=lines.clear)


def places(length, amount):
    return range(length) if amount == "all" else share_of(range(0, length, COARSENESS), amount)


def bits(length, amount):
    """Return every bit, or about every 64th one, not always the same of its byte."""
    return range(length * 8) if amount == "all" else share_of([64 * n + n % 8 for n in range(length // 8)], amount)


def share_of(all_of_them, amount):
    return all_of_them[int(amount.removeprefix("some ")) :: SHARES]


def flipped(content, bit):
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def test_one_of_the_groups_is_large_enough_to_be_compressed():
    assert [len(shares[0].lines) >= COMPRESS_FROM for shares, _ in GROUPS] == [False, True, False, False]


@pytest.mark.parametrize("amount", [*SOME, ALL])
def test_a_spool_cut_anywhere_gives_every_group_before_the_cut(recoverer, said, amount):
    length = len(b"".join(frames(FIRST_NUMBER)))
    for cut in places(length, amount):
        parts = frames(recoverer.number + 1)
        ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
        packed = recoverer.recover_spool(b"".join(parts)[:cut], was_sealed=False)
        whole = [group for group, end in zip(GROUPS, ends[1:], strict=True) if end <= cut]
        assert recoverer.delivered() == lines_of(whole), cut
        assert recoverer.claims == [claim for _, claims in whole for claim in claims], cut
        if cut and cut not in ends:
            assert packed.torn_bytes or packed.outcome is Outcome.SET_ASIDE, f"nothing is said of the cut at {cut}"
            assert {"pack.torn", "pack.set_aside"} & set(said.events()), cut
        said.clear()


def test_a_sealed_spool_from_which_whole_groups_were_cut_off_says_so(recoverer):
    for left in range(len(GROUPS) + 3):
        first = format_header(replace(header(recoverer.number + 1), marks_end=True))
        content = b"".join([first, *frames(recoverer.number + 1)[1:], format_end(len(GROUPS) + 1)][:left])
        recoverer.recover_spool(content, was_sealed=True)
        assert recoverer.delivered() == lines_of(GROUPS[: max(left - 1, 0)])
        assert recoverer.kept() == ([content] if left < len(GROUPS) + 2 else [])


@pytest.mark.parametrize("amount", [*SOME, ALL])
@pytest.mark.parametrize("was_sealed", [False, True], ids=["of a process that died", "sealed"])
def test_a_spool_with_a_flipped_bit_gives_all_other_groups_and_says_so(recoverer, said, was_sealed, amount):
    room = b"" if was_sealed else ROOM
    length = len(b"".join(frames(FIRST_NUMBER))) + len(room)
    for bit in bits(length, amount):
        parts = frames(recoverer.number + 1)
        ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
        content = flipped(b"".join(parts) + room, bit)
        packed = recoverer.recover_spool(content, was_sealed=was_sealed)
        hit = sum(end <= bit // 8 for end in ends)  # 0: the header; n: the n-th group; one more: the room
        assert recoverer.delivered() == lines_of([group for n, group in enumerate(GROUPS, 1) if n != hit]), bit
        assert packed.damaged_bytes or packed.torn_bytes or packed.outcome is Outcome.SET_ASIDE, bit
        if was_sealed or hit < len(GROUPS):
            assert recoverer.kept() == [content], f"what cannot be read is kept: bit {bit}"
            assert "pack.set_aside" in said.events()
        said.clear()


# -- a staged file

LINES = [line(number, 24) for number in range(14)]


@pytest.fixture
def staged(recoverer):
    """Return (directory, name, content) of a staged file of the next spool."""

    def make():
        number = recoverer.number + 1
        directory = str(BucketName(tenant="acme~prod", start_at=START_AT))
        name = FileName(
            hash=name_hash(number, "acme~prod", START_AT, 0),
            start_at=START_AT,
            end_at=START_AT + 120,
            instance_id="i-1",
            n=number * FILES_PER_SPOOL,
        )
        path = recoverer.data.root / "whole"
        written = write_gzip(path, LINES)
        file = StagedFile(
            directory=directory,
            name=str(name),
            tenant="acme~prod",
            start_at=START_AT,
            records=len(LINES),
            bytes=sum(map(len, LINES)),
            size_bytes=written.size_bytes,
            sha256=written.sha256,
            md5=written.md5,
        )
        return file, path.read_bytes()

    return make


@pytest.mark.parametrize("amount", [*SOME, ALL])
def test_a_staged_file_that_nobody_knows_and_that_was_cut_is_set_aside_whole(recoverer, said, staged, amount):
    for cut in places(len(staged()[1]), amount):
        file, content = staged()
        recoverer.adopt(file.directory, file.name, content[:cut])
        assert recoverer.delivered() == {}
        assert recoverer.kept() == [content[:cut]], cut
        assert "pack.set_aside" in said.events(), cut
        said.clear()


@pytest.mark.parametrize("amount", [*SOME, ALL])
def test_a_staged_file_that_nobody_knows_and_that_has_a_flipped_bit_invents_nothing(recoverer, said, staged, amount):
    for bit in bits(len(staged()[1]), amount):
        file, whole = staged()
        content = flipped(whole, bit)
        recoverer.adopt(file.directory, file.name, content)
        found = recoverer.delivered().get("acme~prod", [])
        assert not set(found) - set(LINES), f"invented: {set(found) - set(LINES)}, bit {bit}"
        if found != sorted(LINES):
            assert recoverer.kept() == [content], bit
            assert "pack.set_aside" in said.events(), bit
        said.clear()


@pytest.mark.parametrize("amount", [*SOME, ALL])
@pytest.mark.parametrize("harm", ["cut", "flip"])
def test_a_staged_file_that_is_known_is_sent_as_it_was_made_or_not_at_all(recoverer, said, staged, amount, harm):
    length = len(staged()[1])
    for at in places(length, amount) if harm == "cut" else bits(length, amount):
        file, whole = staged()
        content = whole[:at] if harm == "cut" else flipped(whole, at)
        recoverer.clear()
        path = recoverer.data.staging / file.directory / file.name
        path.parent.mkdir()
        path.write_bytes(content)
        recoverer.ledger.stage([file], 1.0)
        (known,) = recoverer.ledger.waiting()
        (prepared,) = prepare(recoverer.ledger, recoverer.shelves, [known.id], 2.0)
        assert isinstance(prepared.content, ChangedError), at
        set_changed_aside(recoverer.ledger, recoverer.shelves, prepared.known, str(prepared.content), 2.0)
        assert recoverer.kept() == [content], at
        assert "upload.file_changed" in said.events(), at
        said.clear()
