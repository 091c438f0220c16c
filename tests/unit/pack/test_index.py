"""Positions of a spool's entries, chained per tenant and start."""

import tracemalloc

from apidanalytics.model import Entry
from apidanalytics.pack.index import Index
from tests.unit.pack.fakes import ACME, GLOBEX


def entry(n, tenant=ACME, start_at=60):
    return Entry(
        tenant=tenant, start_at=start_at, records=n, bytes=n * 100, offset=n << 33, stored_bytes=n * 10, codec=1
    )


def test_the_entries_of_a_tenant_and_start_come_back_as_they_were_in_the_order_of_commit():
    index = Index()
    index.add_all([entry(1), entry(2, GLOBEX), entry(3), entry(4, start_at=120), entry(5)])
    number, _, _ = next(index.sizes((ACME, 60)))
    assert list(index.entries((ACME, 60), number, 3)) == [entry(1), entry(3), entry(5)]


def test_a_part_of_a_chain_begins_at_the_entry_that_planning_named():
    index = Index()
    index.add_all([entry(1), entry(2, GLOBEX), entry(3), entry(5)])
    second = [number for number, _, _ in index.sizes((ACME, 60))][1]
    assert list(index.entries((ACME, 60), second, 1)) == [entry(3)]


def test_chains_are_sorted_by_tenant_and_start_whatever_came_first():
    index = Index()
    index.add_all([entry(1, GLOBEX), entry(2, start_at=120), entry(3)])
    assert index.chains() == [(ACME, 60), (ACME, 120), (GLOBEX, 60)]


def test_counts_add_up_by_tenant_over_all_starts():
    index = Index()
    index.add_all([entry(1), entry(2, start_at=120), entry(4, GLOBEX)])
    assert index.counts() == {ACME: (3, 300), GLOBEX: (4, 400)}


def test_a_hundred_thousand_entries_take_less_than_four_megabytes():
    entries = (entry(n % 90 + 1, f"org{n % 100}~prod") for n in range(100_000))
    index = Index()
    tracemalloc.start()
    try:
        index.add_all(entries)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(index) == 100_000
    assert held < 4_000_000
    assert repr(index) == "<Index 100000 entries of 100 tenants and starts>"
