from collections import Counter, deque
from collections.abc import Callable

import pytest
import structlog

from apidanalytics.ingest.waiting import WaitingLine
from apidanalytics.model import Batch, Outcome
from tests.unit.ingest.batches import FakeSpool, FakeTimers


class Gate:
    """A line of ten seconds, and what became of each batch in it."""

    def __init__(self) -> None:
        self.spool = FakeSpool()
        self.timers = FakeTimers()
        self.line = WaitingLine(self.spool, self.timers, 10.0)
        self.log: list[str] = []

    def append(self, name: str) -> None:
        """Append a batch: its first letter is the tenant."""
        batch = Batch(tenant=name[0], start_at=0, records=1, lines=name.encode())

        def done(outcome: Outcome) -> None:
            self.log.append(f"{name} {outcome.value}")

        if not self.line.offer(batch, done):
            self.line.wait(batch, done, lambda: self.log.append(f"{name} given up"))

    @property
    def kept(self) -> list[str]:
        return [batch.lines.decode() for batch in self.spool.batches]


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_with_room_a_batch_goes_straight_to_the_spool(gate: Gate):
    gate.append("a")
    assert gate.log == ["a committed"]
    assert len(gate.line) == 0


def test_what_finds_no_room_waits_and_goes_in_order(gate: Gate):
    gate.spool.room = 1
    for name in "abcd":
        gate.append(name)
    assert gate.kept == ["a"]
    gate.spool.make_room(2)
    assert gate.kept == ["a", "b", "c"]
    gate.spool.make_room(1)
    assert gate.kept == ["a", "b", "c", "d"]
    assert len(gate.line) == 0


def test_a_newcomer_does_not_overtake_those_who_wait(gate: Gate):
    gate.spool.room = 0
    gate.append("a1")
    gate.spool.room = 1
    gate.append("a2")
    assert gate.kept == []
    gate.spool.make_room(0)
    assert gate.kept == ["a1"]


def test_who_waited_too_long_is_given_up_and_not_kept(gate: Gate):
    gate.spool.room = 0
    gate.append("a")
    gate.timers.advance(4)
    gate.append("b")
    gate.timers.advance(5.9)
    assert gate.log == []
    gate.timers.advance(0.1)
    assert gate.log == ["a given up"]
    gate.spool.make_room(5)
    assert gate.log == ["a given up", "b committed"]
    gate.timers.advance(60)
    assert gate.log == ["a given up", "b committed"]


def test_each_is_given_up_at_its_own_time(gate: Gate):
    gate.spool.room = 0
    for name in "abc":
        gate.append(name)
        gate.timers.advance(1)
    gate.timers.advance(7)
    assert gate.log == ["a given up"]
    gate.timers.advance(1)
    assert gate.log == ["a given up", "b given up"]
    gate.timers.advance(1)
    assert gate.log == ["a given up", "b given up", "c given up"]


def test_the_line_works_again_after_it_was_empty(gate: Gate):
    for _ in range(3):
        gate.spool.room = 0
        gate.append("x")
        gate.timers.advance(3)
        gate.spool.make_room(1)
        gate.timers.advance(20)
    assert gate.log == ["x committed"] * 3


def test_overload_is_logged_once_and_so_is_its_end(gate: Gate):
    with structlog.testing.capture_logs() as logs:
        gate.spool.room = 0
        for name in "abc":
            gate.append(name)
            gate.timers.advance(6)
        gate.timers.advance(60)
        gate.append("d")
        gate.spool.make_room(3)
        gate.append("e")
    assert [entry["event"] for entry in logs] == ["ingest.overloaded", "ingest.accepting_again"]


def test_tenants_that_wait_take_turns_and_each_ones_batches_keep_their_order(gate: Gate):
    gate.spool.room = 0
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        gate.append(name)
    gate.spool.make_room(4)
    assert gate.kept == ["a1", "b1", "c1", "a2"]
    gate.append("d1")
    gate.spool.make_room(10)
    assert gate.kept == ["a1", "b1", "c1", "a2", "b2", "a3", "d1", "a4"]


def test_where_one_tenant_finds_no_room_another_may(gate: Gate):
    append = gate.spool.append
    gate.spool.append = lambda batch, done, **how: batch.tenant != "a" and append(batch, done, **how)
    for name in ("a1", "a2", "b1", "b2"):
        gate.append(name)
    assert gate.kept == ["b1", "b2"]
    gate.spool.room = 0
    for name in ("b3", "c1", "b4"):
        gate.append(name)
    gate.spool.make_room(10)
    assert gate.kept == ["b1", "b2", "b3", "c1", "b4"]
    gate.spool.append = append
    gate.spool.make_room(10)
    assert gate.kept[5:] == ["a1", "a2"]


def test_a_flood_of_one_tenant_delays_another_by_one_turn_only(gate: Gate):
    gate.spool.room = 0
    for n in range(1000):
        gate.append(f"a{n}")
    gate.append("b")
    gate.spool.make_room(2)
    assert gate.kept == ["a0", "b"]
    assert len(gate.line) == 999


def test_who_is_given_up_is_so_at_his_time_whosever_turn_it_is(gate: Gate):
    gate.spool.room = 0
    gate.append("a1")
    gate.timers.advance(1)
    gate.append("b1")
    gate.append("a2")
    gate.timers.advance(9)
    assert gate.log == ["a1 given up"]
    gate.timers.advance(1)
    assert sorted(gate.log[1:]) == ["a2 given up", "b1 given up"]
    assert len(gate.line) == 0


class TestPassing:
    """One batch of each tenant that does not wait goes past those that do."""

    @pytest.fixture
    def full(self, gate: Gate) -> Gate:
        """Return a gate whose buffer is full, with a flood of ``a`` in line."""
        gate.spool.outcome = None
        gate.spool.room = 0
        for n in range(50):
            gate.append(f"a{n}")
        gate.spool.places_beyond = 32
        return gate

    def test_another_tenants_batch_is_in_the_buffer_at_once(self, full: Gate):
        full.append("b1")
        full.append("c1")
        full.append("a50")
        assert full.kept == ["b1", "c1"]
        assert len(full.line) == 51

    def test_its_next_one_waits_until_that_one_is_committed(self, full: Gate):
        full.append("b1")
        full.append("b2")
        assert full.kept == ["b1"]
        full.spool.waiting.pop()(Outcome.COMMITTED)
        full.append("b3")  # behind b2, whose turn has not come
        assert full.kept == ["b1"]
        full.spool.room = 0
        full.spool.make_room(3)
        assert full.kept == ["b1", "a0", "b2", "a1"]
        full.append("b4")
        assert full.kept[4:] == []
        full.spool.make_room(2)
        assert full.kept[4:] == ["b3", "a2"]

    @pytest.mark.parametrize("outcome", list(Outcome))
    def test_whatever_became_of_it_the_next_one_may_pass(self, full: Gate, outcome: Outcome):
        full.append("b1")
        full.spool.waiting.pop()(outcome)
        full.spool.room = 0
        full.append("b2")
        assert full.kept == ["b1", "b2"]
        assert full.log == [f"b1 {outcome.value}"]

    def test_when_all_places_are_taken_everybody_waits(self, full: Gate):
        full.spool.places_beyond = 2
        for name in "bcd":
            full.append(name)
        assert full.kept == ["b", "c"]
        full.spool.make_room(4)
        assert full.kept == ["b", "c", "a0", "d"]


class Queue(FakeSpool):
    """A spool of 100 places that ends a group of ten at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: deque[Callable[[Outcome], None]] = deque()

    def append(self, batch: Batch, done: Callable[[Outcome], None], *, beyond: int = 0) -> bool:
        if len(self.queue) >= 100 + beyond:
            return False
        self.queue.append(done)
        return True

    def end_a_group(self) -> None:
        for done in [self.queue.popleft() for _ in range(10)]:
            done(Outcome.COMMITTED)
        assert self.on_room is not None
        self.on_room()


def test_those_who_pass_never_keep_the_line_from_moving():
    """Two hundred tenants with a batch each, that post again as soon as they are answered."""
    spool = Queue()
    line = WaitingLine(spool, FakeTimers(), 10.0)
    answered: Counter[int] = Counter()
    free = list(range(200))

    def post(tenant: int) -> None:
        def done(_outcome: Outcome) -> None:
            answered[tenant] += 1
            free.append(tenant)

        batch = Batch(tenant=f"t{tenant}~e", start_at=0, records=1, lines=b"{}\n")
        if not line.offer(batch, done):
            line.wait(batch, done, pytest.fail)

    for _ in range(400):
        while free:
            post(free.pop())
        spool.end_a_group()
    assert min(answered[tenant] for tenant in range(200)) > 0
    assert max(answered.values()) < 4 * min(answered.values())
