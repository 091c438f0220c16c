"""Names on disk: whatever they are made of, they stay in their directory and parse to just that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.layout import (
    MAX_TENANT_BYTES,
    BucketName,
    FileName,
    SpoolName,
    format_key_index,
    format_tenant,
    parse_key_index,
    parse_tenant,
)

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(
    ["..", ".", "/", "a~b", "%2F", "\0", "-", "~"]
)
INSTANTS = st.integers(0, 4_000_000_000)
RECOVERED = st.none() | st.from_regex(r"[0-9]{14}\.[0-9]{3}", fullmatch=True)


@given(TEXTS, TEXTS)
def test_a_tenant_s_name_is_one_part_of_a_path_and_parses_to_its_org_and_env(org, env):
    name = format_tenant(org, env)
    assert name.isascii()
    assert not set(name) & set("/\0")
    assert name.count("~") == 1, "so it is neither . nor .."
    assert parse_tenant(name) == (org, env)


@given(TEXTS, TEXTS, INSTANTS, RECOVERED)
def test_the_name_of_a_bucket_parses_to_what_it_was_made_of(org, env, start_at, recovered):
    bucket = BucketName(tenant=format_tenant(org, env), start_at=start_at, recovered=recovered)
    assert BucketName.parse(str(bucket)) == bucket


@given(st.integers(0, 2**48 - 1), st.integers(0, 999_999), INSTANTS, INSTANTS, RECOVERED)
def test_the_name_of_a_file_parses_to_what_it_was_made_of(spool, part, start_at, end_at, recovered):
    name = FileName(
        hash="0aF9".lower(), start_at=start_at, end_at=end_at, instance_id="a-1.b", n=spool * 1_000_000 + part,
        recovered=recovered,
    )  # fmt: skip
    assert FileName.parse(str(name)) == name


@given(st.integers(0, 2**48 - 1), RECOVERED)
def test_the_name_of_a_spool_parses_to_its_number(number, recovered):
    name = SpoolName(number=number, recovered=recovered)
    assert SpoolName.parse(str(name)) == name


@given(st.integers(1, 999_999_999))
def test_the_name_of_an_index_of_keys_parses_to_its_number(number):
    assert parse_key_index(format_key_index(number)) == number


@pytest.mark.parametrize("parse", [BucketName.parse, FileName.parse, SpoolName.parse, parse_key_index])
@given(name=TEXTS)
def test_any_other_name_is_refused_and_nothing_worse(parse, name):
    try:
        parse(name)
    except ValueError:
        return
    assert "/" not in name


def test_the_longest_tenant_leaves_room_for_the_rest_of_a_directory_s_name():
    name = BucketName(tenant="o" * (MAX_TENANT_BYTES - 2) + "~e", start_at=0, recovered="20260101000000.000")
    assert len(str(name)) <= 255
