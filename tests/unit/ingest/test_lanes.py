"""Tenants take turns: in lanes, among requests that are ready, and for the work that is done one at a time."""

import asyncio

from apidanalytics.ingest.crowd import SLICE_SECONDS
from apidanalytics.ingest.lanes import Lanes
from apidanalytics.ingest.server_state import FEW
from apidanalytics.ingest.turns import Turns
from tests.unit.ingest.http_wire import OK, Server, post


def filled(*items: str) -> Lanes[str]:
    lanes: Lanes[str] = Lanes()
    for item in items:
        lanes.add(item[0], item)
    return lanes


def drained(lanes: Lanes[str]) -> list[str]:
    return [lanes.take() for _ in range(len(lanes))]


def test_lanes_take_turns_and_each_keeps_its_order():
    assert drained(filled("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_whoever_comes_waits_for_one_turn_of_each_other_lane():
    lanes = filled("a1", "a2", "a3")
    assert lanes.take() == "a1"
    lanes.add("b", "b1")
    assert drained(lanes) == ["a2", "b1", "a3"]


def test_what_is_removed_leaves_no_trace():
    lanes = filled("a1", "b1", "b2")
    lanes.remove("a1")
    lanes.remove("b1")
    lanes.remove("nobody")
    assert ("b2" in lanes, "b1" in lanes, lanes.has("a")) == (True, False, False)
    assert repr(lanes) == "<Lanes: 1 in 1>"
    assert lanes.firsts(9) == [("b", "b2")]
    assert drained(lanes) == ["b2"]
    assert not lanes


class SlowServer(Server):
    """Each request takes a quarter of a slice."""

    def _handle(self, exchange) -> None:
        self.clock.time += SLICE_SECONDS / 4
        super()._handle(exchange)

    def step(self) -> None:
        """Do what was to be done soon, but not what that leads to."""
        for _ in range(len(self._soon)):
            self._soon.popleft()()


def arrive(server: SlowServer, tenant: str, requests: int) -> None:
    for _ in range(requests):
        # Not ``send``, which waits for the answer.
        server.connect().transport.arrive(post(b"{}").replace(b"/testid", f"/{tenant}".encode()))


def handled(server: SlowServer) -> list[str]:
    return [exchange.path.decode().rpartition("/")[2] for exchange in server.exchanges]


def test_a_few_requests_are_handled_in_a_row_as_they_came():
    server = SlowServer()
    arrive(server, "flood", FEW - 1)
    arrive(server, "calm", 1)
    server.step()
    assert handled(server) == ["flood"] * (FEW - 1) + ["calm"]


def test_of_many_requests_tenants_take_turns():
    server = SlowServer()
    arrive(server, "flood", 50)
    arrive(server, "calm", 2)
    server.step()
    assert handled(server) == ["flood", "calm", "flood", "calm"]
    server.run()
    assert len(handled(server)) == 52


def test_who_comes_while_a_crowd_is_handled_waits_for_a_slice_at_most():
    server = SlowServer()
    arrive(server, "flood", 100)
    server.step()
    arrive(server, "calm", 1)
    server.step()
    server.step()
    assert "calm" in handled(server)
    assert len(handled(server)) <= 12
    server.run()
    assert handled(server).count("flood") == 100
    assert all(exchange.answer is OK for exchange in server.exchanges)


def test_a_crowd_of_one_tenant_keeps_its_order_and_the_next_one_is_plain_again():
    server = SlowServer()
    arrive(server, "a", 3 * FEW)
    server.run()
    arrive(server, "b", 1)
    arrive(server, "a", 1)
    server.run()
    assert handled(server) == ["a"] * 3 * FEW + ["b", "a"]
    assert server.state.requests == 3 * FEW + 2


async def work(turns: Turns, lane: str, name: str, log: list[str]) -> None:
    async with turns.one(lane):
        log.append(name)
        await asyncio.sleep(0)


async def test_work_is_done_one_at_a_time_tenant_by_tenant():
    turns, log = Turns(), []
    names = ("a1", "a2", "a3", "b1", "c1")
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(work(turns, name[0], name, log))
    assert log == ["a1", "a2", "b1", "c1", "a3"]


async def test_whoever_gives_up_waiting_passes_his_turn_on():
    turns, log = Turns(), []
    async with turns.one("a"):
        tasks = [asyncio.create_task(work(turns, name[0], name, log)) for name in ("b1", "b2", "c1")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
    tasks[0].cancel()  # it has its turn, and has not heard of it
    await asyncio.wait(tasks)
    assert log == ["c1"]
    assert not turns
    async with asyncio.timeout(60):
        await work(turns, "d", "d1", log)
