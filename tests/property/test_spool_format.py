"""Any shares, any damage: reading never crashes and never returns what was not committed."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from apidanalytics.errors import ApidAnalyticsError
from apidanalytics.model import Claim, SpoolHeader
from apidanalytics.spool.counting import count_records
from apidanalytics.spool.frame import Share, format_group, format_header
from apidanalytics.spool.segment import SegmentReader

HEADER = SpoolHeader(number=1, interval_seconds=1, max_file_bytes=1, instance_id="i", created_at=0.0)
shares = st.builds(
    Share,
    tenant=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    start_at=st.integers(0, 2**40),
    records=st.integers(1, 2**31),
    lines=st.binary(max_size=200) | st.binary(min_size=1, max_size=3).map(lambda unit: unit * 3000),
)
claims = st.builds(
    Claim,
    tenant=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    ticket=st.integers(0, 2**63 - 1),
)
groups = st.lists(st.tuples(st.lists(shares, max_size=4), st.lists(claims, max_size=2)), max_size=5)


def as_bytes(committed):
    return format_header(HEADER) + b"".join(format_group(n, *group) for n, group in enumerate(committed, 1))


def read_all(path):
    """Return all shares and all claims."""
    with SegmentReader.open(path) as reader:
        found = [
            Share(tenant=e.tenant, start_at=e.start_at, records=e.records, lines=reader.read(e))
            for e in reader.entries()
        ]
        return found, list(reader.claims())


def flat(committed):
    return [s for group, _ in committed for s in group], [c for _, claimed in committed for c in claimed]


rooms = st.integers(0, 2000).map(bytes)


@given(groups, rooms)
def test_what_is_formatted_is_read_back(tmp_path_factory, committed, room):
    path = tmp_path_factory.getbasetemp() / "format.spool"
    path.write_bytes(as_bytes(committed) + room)
    assert read_all(path) == flat(committed)


@given(groups, rooms, st.data())
@settings(max_examples=200)
def test_damage_anywhere_never_crashes_and_never_invents(tmp_path_factory, committed, room, data):
    content = bytearray(as_bytes(committed) + room)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        content[start:end] = data.draw(st.binary(max_size=40))
    path = tmp_path_factory.getbasetemp() / "damage.spool"
    path.write_bytes(bytes(content))
    count_records(path)
    try:
        found = read_all(path)
    except ApidAnalyticsError:
        return
    for things, left in zip(found, flat(committed), strict=True):
        for thing in things:
            left.remove(thing)  # raises when it is there once too often


@given(st.binary(max_size=300))
def test_any_bytes_are_no_spool_or_an_empty_one(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.spool"
    path.write_bytes(content)
    with suppress(ApidAnalyticsError):
        assert read_all(path) == ([], [])
