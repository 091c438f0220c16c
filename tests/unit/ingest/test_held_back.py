"""Requests of heavy tenants are held while others are at work, and no one else's."""

from collections import deque

import pytest

from apidanalytics.ingest.held_back import LONGEST_SECONDS, MAX_HELD_BACK
from apidanalytics.ingest.lanes import MAX_PATH_BYTES, MAX_PATHS, UNNAMED_LANE, LanesByPath
from tests.unit.ingest.http_wire import OK, Server, post

SLICE_TAKES = 0.0002
HEAVY = frozenset({"/heavy"})
MANY = 200
"""More than may go ahead at once."""


class BusyServer(Server):
    """Handling a request takes time, in which the worker is busy; timers run when the test says so."""

    def __init__(self, **limits: float) -> None:
        self.busy = 0.0
        self.steps = 0  # of each request that is held
        self.breaks = False
        self.timers: deque = deque()
        super().__init__(**limits)
        held = self.state._held_back
        held._busy_seconds = lambda: self.busy
        held._call_later = lambda _, call: self.timers.append(call)

    def _handle(self, exchange):
        if exchange.is_held_back and self.steps:
            return self._in_steps(exchange)
        self.work()
        return super()._handle(exchange)

    def _in_steps(self, exchange):
        for _ in range(self.steps):
            self.work()
            yield
        if self.breaks:
            raise RuntimeError("boom")
        super()._handle(exchange)

    def run_one(self) -> None:
        self._soon.popleft()()

    def work(self) -> None:
        self.clock.time += SLICE_TAKES
        self.busy += SLICE_TAKES

    def look(self, seconds: float) -> None:
        """Let time pass, and look once more whether held requests may go ahead."""
        self.clock.time += seconds
        for _ in range(len(self.timers)):
            self.timers.popleft()()
        self.run()


def arrive(server: Server, *tenants: str, body: bytes = b"{}") -> list:
    clients = [server.connect() for _ in tenants]
    for client, tenant in zip(clients, tenants, strict=True):
        client.transport.arrive(post(body).replace(b"/analytics/testid", f"/{tenant}".encode()))
    return clients


def handled(server: Server) -> list[str]:
    return [exchange.path.decode().strip("/") for exchange in server.exchanges]


def held_back(server: BusyServer) -> BusyServer:
    """Use up what may go ahead."""
    server.state.hold_back(HEAVY)
    arrive(server, *["heavy"] * MANY)
    server.run()
    return server


def test_nobody_is_held_unless_it_is_said_who():
    server = BusyServer()
    arrive(server, *["heavy", "little"] * 5)
    server.run()
    assert handled(server) == ["heavy", "little"] * 5
    assert not server.timers


def test_a_worker_with_time_to_spare_handles_a_heavy_tenant_at_once():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    arrive(server, "heavy")
    server.run()
    assert handled(server) == ["heavy"]
    assert not server.timers


def test_another_tenant_goes_past_those_that_are_held_and_all_get_their_answers():
    server = held_back(BusyServer())
    before = len(server.exchanges)
    assert 0 < before < MANY
    (little,) = arrive(server, "little")
    server.run()
    assert handled(server)[before:] == ["little"]
    assert [answer.status for answer in little.answers] == [200]
    began = server.clock.time
    while server.timers:
        server.look(0.001)
    assert handled(server).count("heavy") == MANY
    assert all(exchange.answer is OK for exchange in server.exchanges)
    worked = (MANY - before) * SLICE_TAKES
    assert worked / (server.clock.time - began) == pytest.approx(0.5, abs=0.1)


def test_of_several_heavy_tenants_that_are_held_each_has_its_turn():
    server = BusyServer()
    server.state.hold_back(HEAVY | {"/other"})
    arrive(server, *["heavy"] * MANY)
    server.run()
    before = len(server.exchanges)
    arrive(server, "other")
    server.run()
    while "other" not in handled(server):
        server.look(0.001)
    assert "other" in handled(server)[before : before + 2]
    assert handled(server).count("heavy") < MANY


def test_those_that_are_held_go_on_when_nobody_is_held_any_more():
    server = held_back(BusyServer())
    server.state.hold_back(frozenset())
    arrive(server, "heavy")
    server.run()
    while server.timers:
        server.look(0.001)
    assert handled(server).count("heavy") == MANY + 1


def test_a_client_that_is_gone_is_not_handled():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    clients = arrive(server, *["heavy"] * MANY)
    server.run()
    before = len(server.exchanges)
    for client in clients:
        client.lose()
    while server.timers:
        server.look(0.001)
    assert len(server.exchanges) == before
    assert server.state.budget.used == 0


def test_what_is_held_counts_as_in_flight_and_no_client_is_blamed_for_it():
    server = BusyServer(request_timeout=5.0, keepalive_timeout=5.0)
    server.state.hold_back(HEAVY)
    clients = arrive(server, *["heavy"] * MANY, body=b"x" * 100)
    server.run()
    assert server.state.budget.used == 100 * (MANY - len(server.exchanges)) > 0
    server.advance(60)
    assert not any(client.transport.is_closed for client in clients if not client.answers)
    while server.timers:
        server.look(0.001)
    assert all([answer.status for answer in client.answers] == [200] for client in clients)


def test_while_draining_what_is_held_is_answered_before_its_connection_closes():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    clients = arrive(server, *["heavy"] * MANY)
    server.run()
    server.state.is_draining = True
    for client in clients:
        client.connection.drain()
    while server.timers:
        server.look(0.001)
    assert all([answer.status for answer in client.answers] == [200] for client in clients)


def test_requests_that_do_not_say_whose_they_are_wait_with_the_heavy_ones():
    server = BusyServer()
    held = server.state._held_back
    held._lane_of = lambda path, body: body.decode() or UNNAMED_LANE
    held._known = LanesByPath(held._lane_of)
    server.state.hold_back(frozenset({"heavy"}))
    exchanges = []
    server.answers = False
    for body in (b"heavy", b"little", UNNAMED_LANE.encode()):
        arrive(server, "x", body=body)
        exchanges += server.state._ready
        server.state._ready.clear()
    assert [exchange.body for exchange in held.sort_out(exchanges)] == [b"little"]


def test_the_lane_of_a_path_is_asked_for_once_and_again_when_there_were_too_many():
    asked: list[bytes] = []
    lanes = LanesByPath(lambda path, _: asked.append(path) or path.decode())
    assert [lanes[b"/a"], lanes[b"/a"]] == ["/a", "/a"]
    assert asked == [b"/a"]
    for number in range(MAX_PATHS):
        lanes[b"/%d" % number]
    assert len(lanes) <= MAX_PATHS
    assert b"/a" not in lanes
    assert lanes[long := b"/" + b"x" * MAX_PATH_BYTES] == long.decode()
    assert long not in lanes


def test_no_more_are_held_than_a_worker_has_room_for():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    arrive(server, "heavy")
    (exchange,) = server.state._ready
    held = server.state._held_back
    assert len(held.sort_out([exchange] * (MAX_HELD_BACK + 5))) == 5
    assert len(held) == MAX_HELD_BACK
    assert len(held.sort_out([exchange])) == 1


def test_how_many_are_held_back_is_told():
    server = held_back(BusyServer())
    waiting = MANY - len(server.exchanges)
    assert server.state.held_back == waiting > 0
    while server.timers:
        server.look(0.02)
    assert (server.state.held_back, len(server.exchanges)) == (0, MANY)
    arrive(server, "other", "heavy")
    server.run()
    assert server.state.held_back_so_far == MANY + 1, "also those that went on at once, and no one else's"


def test_what_is_held_of_clients_that_are_gone_is_let_go_of_at_the_next_sweep():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    clients = arrive(server, *["heavy"] * MANY)
    server.run()
    assert server.state.held_back > 0
    for client in clients[:-1]:
        client.lose()
    server.state.sweep()
    assert server.state.held_back == 1


def test_those_that_are_no_longer_held_are_handled_with_all_others_at_once():
    server = held_back(BusyServer())
    arrive(server, "other")
    server.run()
    server.state.hold_back(frozenset({"/other"}))
    server.run()
    assert handled(server).count("heavy") == MANY
    assert server.state.held_back == 0


def test_nobody_is_held_for_much_longer_than_two_seconds():
    server = held_back(BusyServer())
    server.clock.time += LONGEST_SECONDS / 2
    server.state.sweep()
    server.run()
    assert server.state.held_back > 0
    server.clock.time += LONGEST_SECONDS
    server.state.sweep()
    server.run()
    assert (server.state.held_back, handled(server).count("heavy")) == (0, MANY)


def test_between_two_steps_of_a_request_that_is_held_others_are_handled_and_the_pace_is_kept():
    server = BusyServer()
    server.steps = 100
    server.state.hold_back(HEAVY)
    began = server.clock.time
    arrive(server, "heavy", "heavy")
    server.run()
    assert handled(server) == []
    arrive(server, "little")
    server.run()
    assert handled(server) == ["little"]
    while server.timers:
        server.look(0.001)
    assert handled(server) == ["little", "heavy", "heavy"]
    assert 200 * SLICE_TAKES / (server.clock.time - began) == pytest.approx(0.5, abs=0.1)


def test_a_request_in_hand_is_finished_when_nobody_is_held_any_more():
    server = BusyServer()
    server.steps = 50
    server.state.hold_back(HEAVY)
    (client,) = arrive(server, "heavy")
    server.run()
    server.state.hold_back(frozenset())
    while server.timers:
        server.look(0.001)
    assert client.statuses == [200]


def test_a_defect_in_a_step_costs_one_500_and_the_next_request_is_handled():
    server = BusyServer()
    server.steps, server.breaks = 2, True
    server.state.hold_back(HEAVY)
    first, second = arrive(server, "heavy", "heavy")
    server.run()
    while server.timers:
        server.look(0.001)
    assert (first.statuses, second.statuses) == ([500], [500])


def test_what_is_out_of_here_may_go_on_at_once_when_nobody_is_held_back():
    server = held_back(BusyServer())
    held = server.state._held_back
    assert not held.may_go()
    server.state.hold_back(frozenset())
    assert held.may_go()


def test_who_has_come_in_goes_before_the_next_slice_of_what_is_held_back():
    server = BusyServer()
    server.state.hold_back(HEAVY)
    arrive(server, *["heavy"] * 10)
    server.run_one()
    before = handled(server)
    assert 0 < len(before) < 10
    arrive(server, "little")
    server.run_one()
    assert handled(server)[len(before)] == "little"
    server.run()
    assert sorted(handled(server)) == ["heavy"] * 10 + ["little"]
