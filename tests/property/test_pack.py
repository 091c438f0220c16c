"""Packing of any spool, and saving of any torn file: everything once, under its own tenant, always the same names."""

import gzip
import tempfile
import zlib
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from apidanalytics.layout import BucketName, DataDirectory, FileName, SpoolName, format_tenant
from apidanalytics.pack.packer import Outcome, Packer
from apidanalytics.pack.salvage import Salvage
from apidanalytics.spool.frame import Share, format_group, format_header
from apidanalytics.spool.segment import SegmentReader
from tests.unit.pack.fakes import NUMBER, MemoryLedger, StillClock, header
from tests.unit.pack.gofiles import gzipped, record

TENANTS = [format_tenant(org, env) for org in ("acme", "globex", "ü/~.") for env in ("prod", "test")]
STARTS = [1_700_000_040, 1_700_000_160, 1_700_000_280]

shares = st.tuples(
    st.sampled_from(TENANTS), st.sampled_from(STARTS), st.integers(1, 6), st.sampled_from([0, 900, 5000])
)
spools = st.lists(st.lists(shares, min_size=1, max_size=6), max_size=8)
batches = st.lists(st.lists(st.sampled_from([0, 10, 2000, 70_000]), min_size=1, max_size=4), min_size=1, max_size=5)


@contextmanager
def data_directory():
    with tempfile.TemporaryDirectory() as folder:
        data = DataDirectory(Path(folder) / "ax")
        data.create()
        yield data


def build(groups):
    """Return a spool's frames, and the lines of each tenant and start in the order of commit; every line is unique."""
    frames, expected, n = [], defaultdict(list), 0
    for sequence, group in enumerate(groups, start=1):
        entries = []
        for tenant, start_at, count, size in group:
            lines = [record(n + k, size) + b"\n" for k in range(count)]
            n += count
            expected[tenant, start_at] += lines
            entries.append(Share(tenant=tenant, start_at=start_at, records=count, lines=b"".join(lines)))
        frames.append(format_group(sequence, entries))
    return frames, expected


def packer_of(data, ledger):
    return Packer(data, ledger, SegmentReader.open, clock=StillClock(), fallback=header, spool_goes=lambda *_: None)


def staged(data):
    return {(path.parent.name, path.name): path.read_bytes() for path in sorted(data.staging.glob("*/*"))}


def delivered(files):
    """Return the lines of each tenant and start, files in the order of their numbers."""
    found = defaultdict(list)
    for (directory, name), content in sorted(files.items(), key=lambda item: FileName.parse(item[0][1]).n):
        bucket = BucketName.parse(directory)
        assert FileName.parse(name).start_at == bucket.start_at
        found[bucket.tenant, bucket.start_at] += gzip.decompress(content).splitlines(keepends=True)
    return found


@given(spools, st.sampled_from([1, 1000, 10_000, 1 << 20]))
@settings(deadline=None, max_examples=60)
def test_the_files_hold_every_entry_once_under_its_tenant_and_start_in_the_order_of_commit(groups, max_file_bytes):
    frames, expected = build(groups)
    with data_directory() as data:
        path = data.sealed / str(SpoolName(number=NUMBER))
        path.write_bytes(b"".join([format_header(header(max_file_bytes=max_file_bytes)), *frames]))
        ledger = MemoryLedger()
        packed = packer_of(data, ledger).pack(path)
        files = staged(data)
        assert delivered(files) == expected
        assert packed.outcome is (Outcome.PACKED if groups else Outcome.REMOVED)
        assert set(ledger.files) == set(files)
        numbers = sorted(FileName.parse(name).n for _, name in files)
        assert numbers == list(range(NUMBER * 1_000_000, NUMBER * 1_000_000 + len(files)))
        for (directory, name), content in files.items():
            file = ledger.files[directory, name]
            lines = gzip.decompress(content)
            assert (file.records, file.bytes, file.size_bytes) == (lines.count(b"\n"), len(lines), len(content))
            largest = max((len(b"".join(entry)) for entry in expected.values()), default=0)
            assert len(lines) <= max(max_file_bytes, largest)


@given(spools.filter(bool), st.data())
@settings(deadline=None, max_examples=40)
def test_packing_again_after_losing_anything_gives_the_same_names_and_bytes(groups, choose):
    frames, _ = build(groups)
    content = b"".join([format_header(header(max_file_bytes=3000)), *frames])
    with data_directory() as data:
        path = data.sealed / str(SpoolName(number=NUMBER))
        path.write_bytes(content)
        ledger = MemoryLedger()
        packer_of(data, ledger).pack(path)
        first, known = staged(data), dict(ledger.files)
        for directory, name in choose.draw(st.sets(st.sampled_from(sorted(first)))):
            (data.staging / directory / name).unlink()
            del ledger.files[directory, name]
        for key in choose.draw(st.sets(st.sampled_from(sorted(first)))):
            ledger.files.pop(key, None)
        ledger.packed_spools.clear()
        path.write_bytes(content)
        packer_of(data, ledger).pack(path)
        assert staged(data) == first
        assert ledger.files == known


@given(spools.filter(lambda groups: len(groups) >= 2), st.data())
@settings(deadline=None, max_examples=60)
def test_a_flipped_bit_costs_one_group_and_the_spool_is_kept(groups, choose):
    frames, _ = build(groups)
    # The last group stays good: damage at the very end may look like a torn write.
    hit = choose.draw(st.integers(0, len(frames) - 2))
    frame = bytearray(frames[hit])
    frame[choose.draw(st.integers(0, len(frame) - 1))] ^= 1 << choose.draw(st.integers(0, 7))
    _, expected = build(groups)
    lost = set().union(*(lines_of(group, groups) for number, group in enumerate(groups) if number == hit))
    with data_directory() as data:
        path = data.sealed / str(SpoolName(number=NUMBER))
        content = b"".join([format_header(header()), *frames[:hit], bytes(frame), *frames[hit + 1 :]])
        path.write_bytes(content)
        ledger = MemoryLedger()
        packer_of(data, ledger).pack(path)
        found = delivered(staged(data))
        assert {key: [line for line in lines if line not in lost] for key, lines in expected.items()} == {
            key: found.get(key, []) for key in expected
        }
        assert (data.damaged / path.name).read_bytes() == content
        assert ledger.aside
        assert not path.exists()


def lines_of(group, groups):
    """Return the lines of one group of a spool."""
    frames_before = groups[: next(n for n, other in enumerate(groups) if other is group)]
    first = sum(count for other in frames_before for _, _, count, _ in other)
    lines = set()
    for _, _, count, size in group:
        lines |= {record(first + k, size) + b"\n" for k in range(count)}
        first += count
    return lines


@given(spools, st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_of_a_torn_spool_every_whole_group_is_delivered_and_nothing_else(groups, cut):
    frames, _ = build(groups)
    head = format_header(header())
    content = b"".join([head, *frames])
    end = max(len(content) - cut, len(head))
    whole, position = 0, len(head)
    for frame in frames:
        position += len(frame)
        whole += position <= end
    _, expected = build(groups[:whole])
    with data_directory() as data:
        path = data.recovered / str(SpoolName(number=NUMBER, recovered="20231114222000.123"))
        path.write_bytes(content[:end])
        packer_of(data, MemoryLedger()).pack(path)
        assert delivered(staged(data)) == expected
        assert list(data.damaged.iterdir()) == []


@given(batches, st.data())
@settings(deadline=None, max_examples=150)
def test_of_a_go_file_cut_anywhere_every_flushed_batch_is_saved_and_nothing_that_is_incomplete(sizes, choose):
    numbered = iter(range(10_000))
    lines = [[record(next(numbered), size) for size in batch] for batch in sizes]
    content, flushed = gzipped(lines, closed=choose.draw(st.booleans()))
    cut = choose.draw(st.integers(0, len(content)))
    everything = [line + b"\n" for batch in lines for line in batch]
    certain = sum(len(batch) for batch, end in zip(lines, flushed, strict=True) if end <= cut)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content[:cut])
        salvage = Salvage(path)
        saved = list(salvage.lines())
    assert saved == everything[: len(saved)]
    assert len(saved) >= certain
    assert not salvage.fault
    assert salvage.bad_lines == 0


@given(st.binary(max_size=300), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_bytes_at_all_are_read_without_an_error(content, as_gzip):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(zlib.compress(content, wbits=31) if as_gzip else content)
        salvage = Salvage(path)
        assert all(line.endswith(b"}\n") for line in salvage.lines())
