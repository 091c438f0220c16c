"""Oldest first within a tenant, tenants in turn, nobody in another's way."""

import time

from hypothesis import given
from hypothesis import strategies as st

from apidanalytics.upload.queue import FairQueue
from apidanalytics.upload.states import Waiting


def file(number, tenant="a", start=None):
    return Waiting(id=number, tenant=tenant, start_at=number if start is None else start)


def drain(queue, now=0.0):
    """Take everything, one at a time, each going well."""
    taken = []
    while (found := queue.take(now)) is not None:
        taken.append(found)
        queue.finished(found.tenant, failed=False)
    return taken


def test_a_tenants_files_come_oldest_start_first_whenever_they_were_pushed():
    queue = FairQueue(1)
    for number, start in [(1, 300), (2, 100), (3, 200), (4, 100)]:
        queue.push(file(number, start=start))
    assert [found.id for found in drain(queue)] == [2, 4, 3, 1]


def test_tenants_take_turns_however_many_files_one_has():
    queue = FairQueue(1)
    for number in range(100):
        queue.push(file(number, "big"))
    queue.push(file(200, "small"))
    queue.push(file(201, "other"))
    assert [found.tenant for found in drain(queue)[:4]] == ["big", "small", "other", "big"]


def test_no_more_are_taken_than_there_are_slots():
    queue = FairQueue(2)
    for number in range(6):
        queue.push(file(number, f"t{number}"))
    assert [queue.take(0.0) is not None for _ in range(3)] == [True, True, False]
    queue.finished("t0", failed=False)
    assert queue.take(0.0) is not None


def test_one_tenant_leaves_a_slot_for_the_others():
    queue = FairQueue(4)
    for number in range(10):
        queue.push(file(number, "busy"))
    assert [queue.take(0.0) is not None for _ in range(4)] == [True, True, True, False]
    queue.push(file(20, "late"))
    assert queue.take(0.0).tenant == "late"


def take_all(queue):
    return [found.tenant for found in iter(lambda: queue.take(0.0), None)]


def test_a_tenant_that_is_alone_may_have_all_but_one_of_what_is_got_ready():
    queue = FairQueue(4, ahead=8)
    for number in range(20):
        queue.push(file(number, "busy"))
    assert take_all(queue) == ["busy"] * 11
    queue.push(file(30, "late"))
    queue.push(file(31, "late"))
    assert take_all(queue) == ["late"], "there is room for whoever comes"


def test_once_it_is_not_alone_what_is_ready_beyond_its_share_may_not_go_and_is_not_taken_again():
    queue = FairQueue(4, ahead=8)
    for number in range(11):
        queue.push(file(number, "busy"))
    take_all(queue)
    for _ in range(3):
        assert queue.may_go("busy", 0.0)
        queue.goes("busy")
    assert queue.may_go("busy", 0.0), "nobody else needs the slot"
    queue.push(file(30, "late"))
    assert take_all(queue) == ["late"]
    assert not queue.may_go("busy", 0.0)
    assert queue.may_go("late", 0.0)
    queue.finished("busy", failed=None)
    queue.push(file(10, "busy"))
    assert take_all(queue) == []
    queue.finished("busy", failed=False, went=True)
    assert queue.may_go("busy", 0.0)


def test_what_is_ready_beyond_its_share_stays_ready_until_others_lack_its_room():
    queue = FairQueue(4, ahead=8)
    for number in range(11):
        queue.push(file(number, "busy"))
    take_all(queue)
    for _ in range(3):
        queue.goes("busy")
    queue.push(file(30, "late"))
    assert take_all(queue) == ["late"]
    assert queue.may_go("busy", 0.0) is None
    queue.push(file(31, "late"))
    assert queue.may_go("busy", 0.0) is False, "all room is taken"
    queue.finished("busy", failed=None)
    assert queue.may_go("busy", 0.0) is None
    queue.hold("busy", 10.0)
    assert queue.may_go("busy", 0.0) is False


def test_a_tenant_beside_others_that_are_held_or_paused_is_alone():
    queue = FairQueue(2, ahead=2)
    for number, tenant in enumerate(["held", "paused", *["busy"] * 9]):
        queue.push(file(number, tenant))
    queue.hold("held", 10.0)
    queue.pause(frozenset({"paused"}))
    assert take_all(queue) == ["busy"] * 3


def test_of_a_tenant_that_fails_nothing_more_goes_of_what_was_ready_than_one_at_a_time():
    queue = FairQueue(4, ahead=8)
    for number in range(11):
        queue.push(file(number))
    take_all(queue)
    queue.goes("a")
    queue.goes("a")
    queue.finished("a", failed=True, went=True)
    assert queue.may_go("a", 0.0) is False
    queue.finished("a", failed=True, went=True)
    assert queue.may_go("a", 0.0)


def test_with_one_slot_a_tenant_may_use_it():
    queue = FairQueue(1)
    queue.push(file(1))
    assert queue.take(0.0) is not None


def test_a_tenant_in_trouble_gets_one_slot_and_all_such_tenants_half_of_them():
    queue = FairQueue(4)
    for number in range(40):
        queue.push(file(number, f"bad{number % 4}"))
    for found in [queue.take(0.0) for _ in range(4)]:
        queue.finished(found.tenant, failed=True)
    first, second = queue.take(0.0), queue.take(0.0)
    assert first.tenant != second.tenant
    assert queue.take(0.0) is None
    for number in range(50, 54):
        queue.push(file(number, "good"))
    assert queue.take(0.0).tenant == "good"


def test_a_success_ends_a_tenants_trouble():
    queue = FairQueue(4)
    for number in range(10):
        queue.push(file(number))
    queue.finished(queue.take(0.0).tenant, failed=True)
    queue.finished(queue.take(0.0).tenant, failed=False)
    assert queue.failures("a") == 0
    assert sum(queue.take(0.0) is not None for _ in range(4)) == 3


def test_a_file_that_says_nothing_of_its_tenant_leaves_its_state():
    queue = FairQueue(4)
    for number in range(3):
        queue.push(file(number))
    queue.finished(queue.take(0.0).tenant, failed=True)
    queue.finished(queue.take(0.0).tenant, failed=None)
    assert queue.failures("a") == 1


def test_a_deferred_file_waits_for_its_time_and_the_others_do_not():
    queue = FairQueue(1)
    queue.push_later(file(1), 10.0)
    queue.push(file(2))
    assert [found.id for found in drain(queue, 9.9)] == [2]
    assert queue.next_at() == 10.0
    assert [found.id for found in drain(queue, 10.0)] == [1]
    assert queue.next_at() is None


def test_a_held_tenant_waits_and_the_others_do_not():
    queue = FairQueue(1)
    queue.push(file(1, "a"))
    queue.push(file(2, "b"))
    queue.hold("a", 10.0)
    queue.push(file(3, "a"))
    assert [found.id for found in drain(queue, 9.9)] == [2]
    assert [found.id for found in drain(queue, 10.0)] == [1, 3]


def test_tenants_can_be_left_out():
    queue = FairQueue(4)
    queue.push(file(1, "a"))
    queue.push(file(2, "b"))
    assert queue.take(0.0, unless=frozenset("a")).tenant == "b"
    assert queue.take(0.0, unless=frozenset("a")) is None


def test_what_is_done_leaves_nothing_behind():
    queue = FairQueue(2)
    for number in range(100):
        queue.push(file(number, f"t{number}"))
    queue.push_later(file(200, "t1"), 5.0)
    assert (len(queue), queue.tenants) == (101, 100)
    drain(queue, 5.0)
    assert (len(queue), queue.tenants) == (0, 0)
    assert repr(queue) == "<FairQueue 0 waiting, 0 running, 0 tenants>"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("later"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("hold"), st.integers(0, 4), st.integers(0, 9)),
        st.tuples(st.just("take"), st.just(0), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 9), st.sampled_from([True, False, None])),
    ),
    max_size=120,
)


@given(steps=STEPS, slots=st.integers(1, 5))
def test_whatever_happens_every_file_comes_once_and_in_the_order_of_its_tenant(steps, slots):
    queue = FairQueue(slots)
    due: dict[str, list[tuple[int, int]]] = {}
    later: list[tuple[float, str, tuple[int, int]]] = []
    held: dict[str, float] = {}
    running: list[str] = []
    pushed, taken, now = 0, [], 0.0

    def check_take():
        found = queue.take(now)
        for at, tenant, key in [entry for entry in later if entry[0] <= now]:
            later.remove((at, tenant, key))
            due.setdefault(tenant, []).append(key)
        for tenant in [tenant for tenant, until in held.items() if until <= now]:
            del held[tenant]
        if found is not None:
            assert len(running) < slots
            assert found.tenant not in held
            assert (found.start_at, found.id) == min(due[found.tenant])
            due[found.tenant].remove((found.start_at, found.id))
            running.append(found.tenant)
            taken.append(found.id)
        return found

    for number, (what, first, second) in enumerate(steps):
        now += 0.5
        tenant = f"t{first}"
        if what == "push":
            queue.push(file(number, tenant, second))
            due.setdefault(tenant, []).append((second, number))
            pushed += 1
        elif what == "later":
            queue.push_later(file(number, tenant, second), now + second)
            later.append((now + second, tenant, (second, number)))
            pushed += 1
        elif what == "hold" and tenant not in held:
            queue.hold(tenant, now + second)
            held[tenant] = now + second
        elif what == "take":
            check_take()
        elif what == "finish" and running:
            queue.finished(running.pop(first % len(running)), failed=second)
        assert len(queue) == sum(map(len, due.values())) + len(later)
    now += 100
    while running or len(queue):
        while check_take() is not None:
            pass
        queue.finished(running.pop(), failed=False)
    assert check_take() is None
    assert len(taken) == len(set(taken)) == pushed
    assert queue.tenants == 0


@given(tenants=st.integers(2, 6), files=st.integers(3, 10), slots=st.integers(1, 4))
def test_no_healthy_tenant_waits_for_more_than_one_turn_of_each_other(tenants, files, slots):
    queue = FairQueue(slots)
    for number in range(tenants * files):
        queue.push(file(number, f"t{number % tenants}"))
    order = [found.tenant for found in drain(queue)]
    for turn in range(files):
        assert len(set(order[turn * tenants : (turn + 1) * tenants])) == tenants


def test_a_file_costs_the_same_among_many_as_among_few():
    def cost(count):
        queue = FairQueue(4)
        for number in range(count):
            queue.push(file(number, f"t{number % (count // 10)}"))
        begun = time.perf_counter()
        for _ in range(500):
            queue.finished(queue.take(0.0).tenant, failed=False)
        return time.perf_counter() - begun

    assert min(cost(100_000) for _ in range(3)) < 20 * min(cost(1_000) for _ in range(3))


def test_many_failing_tenants_are_not_looked_through_for_each_file():
    queue = FairQueue(4)
    for number in range(1000):
        queue.push(file(number, f"t{number}"))
    while queue._healthy:
        tenant = queue.take(0.0).tenant
        queue.push(file(2000, tenant))
        queue.finished(tenant, failed=True)
    taken = [queue.take(0.0), queue.take(0.0)]
    assert all(taken), "half of the slots are theirs"

    class Untouchable(dict):
        def items(self):
            raise AssertionError("looked through")

    queue._rings = (queue._healthy, Untouchable(queue._failing), queue._slow)
    assert queue.take(0.0) is None


def test_everything_goes_at_once_when_asked_also_what_was_put_off_and_a_tenant_that_was_held():
    queue = FairQueue(4)
    queue.push_later(file(1), 100.0)
    queue.push(file(2, "held"))
    queue.hold("held", 200.0)
    assert queue.take(0.0) is None
    queue.release_all(0.0)
    assert sorted(found.id for found in drain(queue)) == [1, 2]
    assert queue.next_at() is None


def test_nothing_shortens_a_hold_that_was_asked_for():
    queue = FairQueue(4)
    queue.push(file(1, "ours"))
    queue.push(file(2, "asked"))
    queue.hold("ours", 100.0)
    queue.hold("asked", 50.0, asked=True)
    queue.hold("asked", 100.0)
    queue.release_all(10.0)
    assert [found.id for found in drain(queue)] == [1]
    assert queue.next_at() == 50.0
    assert queue.take(49.9) is None
    assert queue.take(50.0).id == 2


def test_a_longer_hold_replaces_a_shorter_one_and_not_the_other_way_round():
    queue = FairQueue(4)
    queue.push(file(1, "a"))
    queue.hold("a", 10.0)
    queue.hold("a", 600.0)
    queue.hold("a", 20.0)
    assert queue.take(599.9) is None
    assert queue.take(600.0).id == 1
