"""Plants the mistake that ``PLANTED_MISTAKE`` names into every process of a service, before its own code runs.

Python imports a module of this name at its start when the folder is in ``PYTHONPATH``.
"""

import os
import secrets
import time
from dataclasses import replace

import msgspec


def ack_before_write():
    from apidanalytics.model import Outcome
    from apidanalytics.spool.writer import SpoolWriter

    append = SpoolWriter.append

    def hasty(self, batch, done):
        taken = append(self, batch, lambda _: None)
        if taken:
            self._loop.call_soon(done, Outcome.COMMITTED)
        return taken

    SpoolWriter.append = hasty


def spool_without_lock():
    from apidanalytics.spool import file

    class NoLocks:
        LOCK_EX = LOCK_NB = 0
        flock = staticmethod(lambda *_: None)

    file.fcntl = NoLocks


def number_used_twice():
    secrets.randbits = lambda _: 12


def sealed_under_another_number():
    from apidanalytics.spool.file import OpenSpool

    move = OpenSpool._move
    OpenSpool._move = lambda self, target: move(self, target.with_name("000000000001.spool"))


def failed_commit_not_cut_back():
    from apidanalytics.spool.file import OpenSpool

    def leave(self):
        self._empty = False  # or else a spool with nothing but the failed group would go
        self.end = os.fstat(self._descriptor).st_size  # or else sealing would cut it off

    OpenSpool.cut_back = leave


def group_in_two_writes():
    from apidanalytics.spool.file import OpenSpool

    append = OpenSpool.append

    def in_two(self, shares, claims=()):
        halves = [halve(share) for share in shares]
        append(self, [first for first, _ in halves], claims)
        append(self, [second for _, second in halves])

    def halve(share):
        lines = share.lines.splitlines(keepends=True)
        middle = len(lines) // 2
        return tuple(
            replace(share, lines=b"".join(part), records=len(part)) for part in (lines[:middle], lines[middle:])
        )

    OpenSpool.append = in_two


def bucket_of_the_packing_time():
    from apidanalytics.pack import index

    add_all = index.Index.add_all

    def add_now(self, entries):
        now = int(time.time())
        add_all(self, (msgspec.structs.replace(entry, start_at=now) for entry in entries))

    index.Index.add_all = add_now


def tenants_mixed():
    from apidanalytics.pack import index

    add_all = index.Index.add_all

    def add_mixed(self, entries):
        entries = list(entries)
        tenants = [entry.tenant for entry in entries]
        shifted = tenants[-1:] + tenants[:-1]
        add_all(self, map(lambda e, t: msgspec.structs.replace(e, tenant=t), entries, shifted))

    index.Index.add_all = add_mixed


def names_drawn_anew():
    from apidanalytics.layout import FILES_PER_SPOOL
    from apidanalytics.pack import packer

    plan = packer.plan

    def plan_anew(index, header, recovered):
        return plan(index, replace(header, number=time.time_ns() % 2**48 // FILES_PER_SPOOL), recovered)

    packer.plan = plan_anew


def deleted_before_upload():
    from apidanalytics.upload import client, outcome

    async def forget(self, delivery):
        return outcome.Delivered(etag=None)

    client.CollectionClient.deliver = forget


def claims_of_the_dead_forgotten():
    from apidanalytics.idempotency import settler

    assert settler.claims_of
    settler.claims_of = lambda *_: ([], {})


def stored_before_the_commit():
    from apidanalytics.idempotency.index import KeyIndex

    answer = KeyIndex._answer

    def hasty(self, wish, *others, **more):
        verdict, claim = answer(self, wish, *others, **more)
        if claim is not None:
            self._mark_stored([claim])
        return verdict, claim

    KeyIndex._answer = hasty


def one_tenant_is_large():
    """No mistake: whoever posts first counts as flooding for good, so both lanes of the spool are always in use."""
    from apidanalytics.spool.company import Company

    def saw(self, batches, _now):
        self.heavy = self.heavy or frozenset(tenant for tenant, _ in [*batches][:1])

    Company.saw = saw
    Company.is_even = lambda *_: False


if "PLANTED_MISTAKE" in os.environ:
    globals()[os.environ["PLANTED_MISTAKE"]]()
