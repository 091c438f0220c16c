"""Who may still write how much, who waits, and what is dropped: decided from limits and one measurement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.quota.decide import OPEN, Decision, Limits, Usage, decide

MIB = 1 << 20
FULL = Decision(full="apidanalytics_max_disk_bytes")


def usage(used=0, spooled=0, free=1 << 40, files=None, spools=None):
    return Usage(
        used_bytes=used,
        spooled_bytes=spooled,
        free_bytes=free,
        files_by_tenant=files or {},
        spooled_by_tenant=spools or {},
    )


def test_without_limits_there_is_room_for_half_of_what_is_free():
    decision = decide(Limits(), usage(free=100))
    assert (decision.full, decision.room_bytes, decision.share_bytes) == (None, 50, None)


def test_a_spooled_byte_counts_twice_so_that_packing_has_room():
    decision = decide(Limits(max_bytes=100), usage(used=40, spooled=40))
    assert decision.room_bytes == 10
    assert decide(Limits(max_bytes=100), usage(used=50, spooled=50)).full == "apidanalytics_max_disk_bytes"


def test_the_reserve_is_left_free_and_so_is_room_to_pack():
    assert decide(Limits(min_free_bytes=100), usage(free=160, spooled=20)).room_bytes == 20
    assert decide(Limits(min_free_bytes=100), usage(free=120, spooled=20)).full == "apidanalytics_min_free_disk_bytes"


@pytest.mark.parametrize(("used", "before", "is_full"), [(990, OPEN, False), (1000, OPEN, True), (910, FULL, True)])
def test_what_is_full_stays_so_until_the_low_water_mark(used, before, is_full):
    assert bool(decide(Limits(max_bytes=1000), usage(used=used), before).full) is is_full


def test_below_the_low_water_mark_service_goes_on_by_itself():
    assert decide(Limits(max_bytes=1000), usage(used=900), FULL).full is None
    limits, before = Limits(min_free_bytes=1000), Decision(full="apidanalytics_min_free_disk_bytes")
    assert decide(limits, usage(free=1090), before).full
    assert decide(limits, usage(free=1100), before).full is None


def test_room_that_is_too_small_for_those_who_wait_is_none():
    assert decide(Limits(max_bytes=1000), usage(used=960), wanted_bytes=21).full
    assert decide(Limits(max_bytes=1000), usage(used=960), wanted_bytes=20).full is None


def test_a_batch_larger_than_there_can_be_room_for_does_not_stop_the_others():
    assert decide(Limits(max_bytes=1000), usage(used=890), wanted_bytes=1 << 30).full is None
    assert decide(Limits(max_bytes=1000), usage(used=890), FULL, wanted_bytes=1 << 30).full is None


def test_a_tenant_over_its_share_does_not_concern_the_others():
    limits = Limits(tenant_max_bytes=100)
    decision = decide(limits, usage(files={"a": 100, "b": 60, "c": 10}, spools={"b": 10}))
    assert decision.full is None
    assert decision.full_tenants == {"a"}
    assert decision.shares == {"a": 0, "b": 10}
    assert decision.share_bytes == 25


def test_a_tenant_waits_until_nine_tenths_of_its_share():
    limits, before = Limits(tenant_max_bytes=100), Decision(full_tenants=frozenset({"a"}))
    assert decide(limits, usage(files={"a": 91}), before).full_tenants == {"a"}
    assert decide(limits, usage(files={"a": 89}), before).full_tenants == frozenset()


def test_nothing_is_dropped_unless_that_is_the_policy():
    measured = usage(used=150, files={"a": 150})
    rejecting = decide(Limits(max_bytes=100, tenant_max_bytes=100), measured)
    assert (rejecting.drop_bytes, rejecting.drop_of_tenants) == (0, {})
    dropping = decide(Limits(max_bytes=100, tenant_max_bytes=100, drops_oldest=True), measured)
    assert (dropping.drop_bytes, dropping.drop_of_tenants) == (61, {"a": 61})


@given(
    limits=st.builds(
        Limits,
        max_bytes=st.none() | st.integers(MIB, 100 * MIB),
        min_free_bytes=st.integers(0, 50 * MIB),
        drops_oldest=st.booleans(),
    ),
    others=st.integers(0, 200 * MIB),
    spooled=st.integers(0, 200 * MIB),
    free=st.integers(0, 200 * MIB),
    was_full=st.booleans(),
)
def test_whatever_was_let_in_can_be_packed_within_every_limit(limits, others, spooled, free, was_full):
    before = FULL if was_full else OPEN
    decision = decide(limits, usage(used=others + spooled, spooled=spooled, free=free), before)
    if decision.room_bytes:
        # The worst: all of the room is taken, and every spooled byte is packed before any is removed.
        new = decision.room_bytes
        assert free - new - (spooled + new) >= limits.min_free_bytes
        assert limits.max_bytes is None or others + 2 * (spooled + new) <= limits.max_bytes
    assert not (decision.full and decision.room_bytes)
    assert limits.drops_oldest or not decision.drop_bytes
