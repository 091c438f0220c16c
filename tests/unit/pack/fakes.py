"""A ledger in memory, a spool in memory, and a clock that stands still."""

from dataclasses import dataclass, field

from apidanalytics.errors import DamagedError
from apidanalytics.layout import spool_of
from apidanalytics.model import Claim, Damage, Entry, SpoolHeader

NUMBER = 0x0123456789AB
START_AT = 1_700_000_040
ACME = "acme~prod"
GLOBEX = "globex~test"


class StillClock:
    def __init__(self, at=1_700_000_300.123):
        self.at = at

    def now(self):
        return self.at

    def monotonic(self):
        return self.at


class MemoryLedger:
    """What PackLedger promises, kept in dictionaries; ``events`` lists the calls that changed something."""

    def __init__(self):
        self.files = {}
        self.counts = {}
        self.headers = {}
        self.packed_spools = set()
        self.given_up_spools = set()
        self.aside = {}
        self.events = []

    def known(self, directory, names):
        found = {name: self.files.get((directory, name)) for name in names}
        return {name: (file.records, file.bytes) for name, file in found.items() if file is not None}

    def files_in(self, directory):
        return {name: file for (where, name), file in self.files.items() if where == directory}

    def is_packed(self, spool_number):
        return spool_number in self.packed_spools

    def made_of(self, spool_number):
        made = {}
        for (_, name), file in self.files.items():
            if spool_of(name) == spool_number:
                records, size = made.get(file.tenant, (0, 0))
                made[file.tenant] = (records + file.records, size + file.bytes)
        return made

    def is_accepted(self, spool_number):
        return spool_number in self.counts

    def accepted(self, spool_number, counts):
        self.counts.setdefault(spool_number, dict(counts))

    def assumed(self, header):
        return self.headers.setdefault(header.number, header)

    def stage(self, files, staged_at):
        self.events.append(("stage", len(files)))
        for file in files:
            known = self.files.setdefault((file.directory, file.name), file)
            assert known == file

    def packed(self, spool_number, _at):
        self.events.append(("packed", spool_number))
        self.packed_spools.add(spool_number)

    def given_up(self, spool_number, _at):
        self.given_up_spools.add(spool_number)

    def set_aside(self, name, records, bytes, reason, at, tenant=""):  # noqa: A002
        self.aside.setdefault((name, reason), (tenant, records, bytes))

    def adopt(self, file):
        if (file.directory, file.name) not in self.files:
            self.stage([file], 0.0)


def header(number=NUMBER, **changes):
    base = {
        "number": number,
        "interval_seconds": 120,
        "max_file_bytes": 1 << 20,
        "instance_id": "collector-1",
        "created_at": 1_700_000_041.5,
    }
    return SpoolHeader(**{**base, **changes})


@dataclass
class FakeSpool:
    """A spool reader over lines held in memory."""

    header: SpoolHeader | None = field(default_factory=header)
    shares: list[tuple[str, int, bytes]] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    torn_bytes: int = 0
    lacks_end: bool = False
    unreadable: set[int] = field(default_factory=set)
    """Numbers of entries that read() refuses."""
    claimed: list[Claim] = field(default_factory=list)
    reads: int = 0
    is_closed: bool = False

    def add(self, tenant, lines, start_at=START_AT):
        self.shares.append((tenant, start_at, lines))
        return self

    def entries(self):
        for number, (tenant, start_at, lines) in enumerate(self.shares):
            yield Entry(
                tenant=tenant,
                start_at=start_at,
                records=lines.count(b"\n"),
                bytes=len(lines),
                offset=number,
                stored_bytes=len(lines),
                codec=0,
            )

    def claims(self):
        return iter(self.claimed)

    def read(self, entry):
        self.reads += 1
        if entry.offset in self.unreadable:
            raise DamagedError(f"entry {entry.offset} is unreadable")
        return self.shares[entry.offset][2]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.is_closed = True


def lines(*numbers):
    return b"".join(b'{"n":%d}\n' % number for number in numbers)
