"""Which parameters are taken: the tenant, and exactly one form of path."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics import layout
from apidanalytics.collection.paths import parse_relative_path, parse_tenant_parameter
from apidanalytics.layout import FileName

FILE = "ab12_20260102030405.20260102030605_node-1_writer_7.txt.gz"
RECOVERED = "ab12_20260102030405.20260102030605_node-1_writer_7_recovered_20260102030405.678.txt.gz"


@pytest.mark.parametrize("file", [FILE, RECOVERED])
@pytest.mark.parametrize("time", ["03-04", "03-04-05"])
def test_both_forms_of_the_partition_are_taken(file, time):
    path = f"date=2026-01-02/time={time}/{file}"
    assert parse_relative_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        FILE,
        f"/date=2026-01-02/time=03-04/{FILE}",
        f"date=2026-01-02/time=03-04/{FILE}/",
        f"date=2026-01-02/time=03-04/../{FILE}",
        f"date=2026-01-02/time=03-04//{FILE}",
        f"date=2026-01-02//time=03-04/{FILE}",
        f"../date=2026-01-02/time=03-04/{FILE}",
        "date=2026-01-02/time=03-04/..",
        "date=2026-01-02/time=03-04/x.txt.gz",
        f"date=2026-01-02/time=03-05/{FILE}",
        f"date=2026-01-03/time=03-04/{FILE}",
        f"date=2026-01-02/time=03-04-06/{FILE}",
        f"date=2026-1-2/time=3-4/{FILE}",
        f"DATE=2026-01-02/time=03-04/{FILE}",
        f"date=2026-01-02/time=03-04/{FILE}\n",
        f"date=2026-01-02/time=03-04/{FILE}\0",
        f"date=2026-01-02/time=03-04/x{FILE}",
        f"date=2026-01-02/time=03-04/{FILE.replace('node-1', 'no/de')}",
        f"date=2026-01-02/time=03-04/{FILE.replace('20260102030405.', '20269902030405.')}",
        f"date=２０２６-01-02/time=03-04/{FILE}",  # noqa: RUF001
    ],
)
def test_every_other_path_is_refused_with_a_reason(path):
    with pytest.raises(ValueError, match="relative_file_path"):
        parse_relative_path(path)


@given(
    start=st.integers(0, 4_000_000_000),
    length=st.integers(1, 100_000),
    n=st.integers(0, 2**68),
    instance=st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
)
def test_every_path_of_ours_is_taken(start, length, n, instance):
    file = FileName(hash="0f0f", start_at=start, end_at=start + length, instance_id=instance, n=n)
    parse_relative_path(layout.format_object_path(str(file), start))


@given(st.text(max_size=80))
def test_any_text_is_taken_or_refused(text):
    try:
        path = parse_relative_path(text)
    except ValueError:
        return
    assert ".." not in path.split("/")


_FORM = re.compile(
    r"date=(\d{4})-(\d\d)-(\d\d)/time=(\d\d)-(\d\d)(?:-(\d\d))?/"
    r"[0-9a-f]{1,4}_(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.\d{14}_[A-Za-z0-9.-]{1,64}_writer_\d+"
    r"(_recovered_\d{14}\.\d{3})*\.txt\.gz",
    re.ASCII,
)
"""The form once more, written down independently."""


@given(
    path=st.sampled_from([f"date=2026-01-02/time=03-04/{FILE}", f"date=2026-01-02/time=03-04-05/{RECOVERED}"]),
    at=st.integers(0, 120),
    length=st.integers(0, 3),
    instead=st.sampled_from(
        ["", "..", "/", "//", "\\", "%2e", "~", " ", "\n", "\0", "0", "9", "a", "A", "é", "=", "-", "_"]
    )
    | st.text(max_size=3),
)
def test_a_path_that_was_changed_anywhere_is_taken_only_if_it_is_one_of_ours_again(path, at, length, instead):
    changed = path[:at] + instead + path[at + length :]
    try:
        taken = parse_relative_path(changed)
    except ValueError as error:
        assert "relative_file_path" in str(error)  # noqa: PT017 - either outcome is fine
        return
    assert taken == changed
    found = _FORM.fullmatch(changed)
    assert found is not None
    partition, name = found.groups()[:6], found.groups()[6:12]
    assert partition[:5] == name[:5]
    assert partition[5] in {None, name[5]}


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("acme~prod", [("acme", "prod")]),
        ("a~b~c", [("a", "b~c"), ("a~b", "c")]),
        ("a~~c", [("a", "~c"), ("a~", "c")]),
        ("größe~ä", [("größe", "ä")]),
    ],
)
def test_a_tenant_is_an_org_and_an_env(text, readings):
    assert list(parse_tenant_parameter(text)) == readings


@pytest.mark.parametrize("text", ["", "acme", "~", "~prod", "acme~", "a\ufffd~prod"])
def test_what_is_no_tenant_is_refused(text):
    with pytest.raises(ValueError, match="tenant"):
        parse_tenant_parameter(text)
