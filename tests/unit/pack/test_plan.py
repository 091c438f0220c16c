"""Names and parts, decided from the entries alone."""

import pytest

from apidanalytics import layout
from apidanalytics.layout import BucketName, FileName
from apidanalytics.model import Entry
from apidanalytics.pack.index import Index
from apidanalytics.pack.plan import Part, cut, grouped, plan
from tests.unit.pack.fakes import ACME, GLOBEX, NUMBER, START_AT, header


def index_of(*entries):
    index = Index()
    index.add_all(
        Entry(tenant=tenant, start_at=start_at, records=1, bytes=size, offset=0, stored_bytes=size, codec=0)
        for tenant, start_at, size in entries
    )
    return index


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([100], [(0, 1, 100)]),
        ([50, 50], [(0, 2, 100)]),
        ([50, 51], [(0, 1, 50), (1, 1, 51)]),
        ([101, 1, 99, 1], [(0, 1, 101), (1, 2, 100), (3, 1, 1)]),
        ([1, 500, 1], [(0, 1, 1), (1, 1, 500), (2, 1, 1)]),
    ],
)
def test_parts_are_cut_between_entries_and_only_a_single_entry_may_be_larger(sizes, parts):
    chain = [(number, 1, size) for number, size in enumerate(sizes)]
    found = list(cut(chain, 100))
    assert found == [Part(first=first, entries=n, records=n, bytes=size) for first, n, size in parts]


def test_a_name_holds_what_the_contract_says():
    (file,) = plan(index_of((ACME, START_AT, 10)), header(), None)
    assert file.directory == "acme~prod~20231114221400"
    digits = layout.name_hash(NUMBER, ACME, START_AT, 0)
    assert file.name == f"{digits}_20231114221400.20231114221600_collector-1_writer_{NUMBER * 1_000_000}.txt.gz"


def test_files_are_numbered_over_the_whole_spool_and_parts_within_a_tenant_and_start():
    index = index_of((GLOBEX, START_AT, 9), (ACME, START_AT, 9), (ACME, START_AT, 9), (ACME, START_AT + 120, 9))
    names = [FileName.parse(file.name) for file in plan(index, header(max_file_bytes=10), None)]
    assert [name.n - NUMBER * layout.FILES_PER_SPOOL for name in names] == [0, 1, 2, 3]
    assert [name.hash for name in names] == [
        layout.name_hash(NUMBER, ACME, START_AT, 0),
        layout.name_hash(NUMBER, ACME, START_AT, 1),
        layout.name_hash(NUMBER, ACME, START_AT + 120, 0),
        layout.name_hash(NUMBER, GLOBEX, START_AT, 0),
    ]


def test_a_recovered_spool_marks_directory_and_file_with_the_time_in_its_own_name():
    (file,) = plan(index_of((ACME, START_AT, 10)), header(), "20231114222000.123")
    assert BucketName.parse(file.directory).recovered == "20231114222000.123"
    assert FileName.parse(file.name).recovered == "20231114222000.123"


def test_a_group_ends_at_its_number_of_files_or_its_bytes():
    files = list(plan(index_of(*[(ACME, START_AT, 10)] * 7), header(max_file_bytes=10), None))
    assert [len(group) for group in grouped(files, 3, 1000)] == [3, 3, 1]
    assert [len(group) for group in grouped(files, 100, 20)] == [2, 2, 2, 1]
    assert [len(group) for group in grouped(files, 100, 1)] == [1] * 7
    assert [file for group in grouped(files, 3, 1000) for file in group] == files
