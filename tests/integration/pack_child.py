"""What the agent does at start in a data directory, as a program of its own, so that a test can kill it.

``pack_child.py <data directory> <Unix time>``
"""

import sys
from functools import partial
from pathlib import Path

from apidanalytics.layout import DataDirectory
from apidanalytics.model import SpoolHeader
from apidanalytics.pack import packer as packer_module
from apidanalytics.pack.adopt import Adoption
from apidanalytics.pack.packer import Packer
from apidanalytics.pack.recover import Recovery, waiting_spools
from apidanalytics.pack.strangers import Strangers
from apidanalytics.spool.segment import SegmentReader
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import State


class StillClock:
    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at

    def monotonic(self):
        return self.at


def header(number, now):
    return SpoolHeader(
        number=number, interval_seconds=120, max_file_bytes=500, instance_id="collector-1", created_at=now - 60
    )


def work(root, now):
    """Do what the agent does at start: clear, adopt, sweep, pack."""
    data, clock, strangers = DataDirectory(root), StillClock(now), Strangers()
    fallback = partial(header, now=now)
    with Ledger.open(data.ledger, data.damaged, now) as ledger:
        recovery = Recovery(data, clock, strangers)
        recovery.clear()
        Adoption(
            data, ledger, lambda file: ledger.adopted(file, State.STAGED, now), clock=clock, strangers=strangers
        ).run()
        recovery.sweep()
        packer = Packer(data, ledger, SegmentReader.open, clock=clock, fallback=fallback, spool_goes=lambda *_: None)
        for path in waiting_spools(data, strangers):
            packer.pack(path)


if __name__ == "__main__":
    packer_module.GROUP_FILES = 4
    work(Path(sys.argv[1]), float(sys.argv[2]))
