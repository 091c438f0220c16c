"""All bodies in a worker have one bound; who must wait, waits in line, and nobody waits for ever."""

from apidanalytics.ingest.budget import CONNECTIONS_AT_ONCE, ROOM_PER_CONNECTION, InflightBudget
from tests.unit.ingest.http_wire import GET, OK, Client, Server, post

KB = 1000


def start_of(size: int, *, there: int) -> bytes:
    """The header and the first bytes of a body."""
    return post(b"x" * size)[: there - size]


def statuses(*clients: Client) -> list[list[int]]:
    return [client.statuses for client in clients]


def test_the_bytes_of_bodies_are_counted_from_their_first_byte_to_their_answer():
    server = Server(answers=False)
    client = server.connect().send(start_of(10 * KB, there=3 * KB))
    assert server.state.budget.used == 3 * KB
    client.send(b"x" * 7 * KB)
    assert server.state.budget.used == 10 * KB
    server.answer_all()
    assert server.state.budget.used == server.state.budget.partial == 0


def test_over_the_bound_a_connection_is_not_read_until_bodies_are_answered():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    first = server.connect().send(post(b"x" * 11 * KB))
    second = server.connect().send(post(b"x" * KB))
    second.send(GET)
    assert not second.transport.is_reading
    assert len(server.exchanges) == 2
    server.exchanges[0].respond(OK)
    server.run()
    assert second.transport.is_reading
    assert len(server.exchanges) == 3
    server.answer_all()
    assert statuses(first, second) == [[200], [200, 200]]


class FakeReader:
    def __init__(self, name: str, went_on: list[str]) -> None:
        self.name = name
        self.went_on = went_on
        self.is_within_body = False
        self.unanswered = 1
        self.lane = name[0]

    def read_on(self) -> None:
        self.went_on.append(self.name)


def test_those_who_wait_go_on_in_the_order_they_came_as_far_as_there_is_room():
    budget = InflightBudget(CONNECTIONS_AT_ONCE * ROOM_PER_CONNECTION)
    budget.used = budget.limit + 1
    went_on: list[str] = []
    for name in "abcdef":
        budget.wait(FakeReader(name, went_on))
    assert went_on == []
    budget.used -= 2 * ROOM_PER_CONNECTION
    budget.settle()
    assert went_on == ["a", "b"]
    budget.settle()
    assert went_on == ["a", "b", "c", "d"]
    budget.used = 0
    budget.settle()
    assert went_on == ["a", "b", "c", "d", "e", "f"]


def test_a_small_bound_lets_many_on_as_well_when_it_is_free():
    budget = InflightBudget(1)
    budget.used = 2
    went_on: list[str] = []
    for name in "abc":
        budget.wait(FakeReader(name, went_on))
    budget.used = 0
    budget.settle()
    assert went_on == ["a", "b"]


def test_one_body_larger_than_the_bound_is_let_through():
    server = Server(max_inflight_bytes=10 * KB)
    client = server.connect()
    client.send(start_of(100 * KB, there=50 * KB))
    client.send(b"x" * 50 * KB)
    assert client.statuses == [200]
    assert server.state.budget.privileged is None


def test_of_many_incomplete_bodies_one_after_the_other_goes_on():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    clients = [server.connect().send(start_of(20 * KB, there=6 * KB)) for _ in range(5)]
    for client in clients:
        client.send(b"x" * 14 * KB)
    done = 0
    while server.exchanges:
        assert len(server.exchanges) <= 2
        done += len(server.exchanges)
        server.answer_all()
    assert done == 5
    assert statuses(*clients) == [[200]] * 5
    assert server.state.budget.used == 0


def test_the_right_of_way_is_not_given_while_answers_will_make_room():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(post(b"x" * 9 * KB))
    half = server.connect().send(start_of(10 * KB, there=5 * KB))
    assert not half.transport.is_reading
    assert server.state.budget.privileged is None
    server.answer_all()
    assert half.transport.is_reading


def test_whoever_has_the_right_of_way_and_goes_away_passes_it_on():
    server = Server(max_inflight_bytes=10 * KB)
    first = server.connect().send(start_of(30 * KB, there=15 * KB))
    second = server.connect().send(start_of(30 * KB, there=15 * KB))
    assert (first.transport.is_reading, second.transport.is_reading) == (True, False)
    first.lose()
    server.run()
    assert second.transport.is_reading
    second.send(b"x" * 15 * KB)
    assert second.statuses == [200]


def test_whoever_has_the_right_of_way_must_still_be_in_time():
    server = Server(max_inflight_bytes=10 * KB, request_timeout=30)
    slow = server.connect().send(start_of(30 * KB, there=15 * KB))
    waiting = server.connect().send(start_of(30 * KB, there=15 * KB))
    server.advance(31)
    assert slow.statuses == [408]
    assert waiting.transport.is_reading
    waiting.send(b"x" * 15 * KB)
    assert waiting.statuses == [200]


def test_waiting_for_room_is_not_slowness():
    server = Server(answers=False, max_inflight_bytes=10 * KB, request_timeout=30)
    server.connect().send(post(b"x" * 11 * KB))
    client = server.connect().send(start_of(3 * KB, there=KB))
    client.send(b"x" * 2 * KB)
    server.advance(100)
    assert client.statuses == []
    server.answer_all()
    server.answer_all()
    assert client.statuses == [200]


def test_an_idle_connection_that_waits_for_room_is_not_closed_for_it():
    server = Server(answers=False, max_inflight_bytes=10 * KB, keepalive_timeout=5)
    large = server.connect().send(post(b"x" * 11 * KB))
    passing = server.connect().send(GET)
    server.answers = True
    client = server.connect().send(GET)
    server.advance(20)
    assert not client.transport.is_reading
    assert not client.is_over
    server.exchanges[0].respond(OK)
    server.run()
    client.send(GET)
    assert passing.statuses == []
    assert statuses(large, client) == [[200], [200, 200]]


def test_a_connection_lost_in_line_leaves_no_trace():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(post(b"x" * 11 * KB))
    client = server.connect().send(start_of(3 * KB, there=KB))
    assert client.connection._intake in server.state.budget.line
    client.lose()
    assert client.connection._intake not in server.state.budget.line
    assert server.state.budget.used == 11 * KB


def test_a_refused_body_is_not_counted():
    server = Server(max_body_bytes=10 * KB)
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.connect().send(head + b"1388\r\n" + b"x" * 5000, b"GARBAGE")
    assert server.state.refusals == {400: 1}
    assert server.state.budget.used == 0


def test_100_continue_waits_for_room():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(post(b"x" * 11 * KB))
    client = server.connect().send(b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert client.statuses == []
    server.answer_all()
    assert client.statuses == [100]


def test_the_sweep_lets_on_those_whom_no_answer_lets_on():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(post(b"x" * 11 * KB))
    server.connect().send(GET)
    server.answers = True
    waiting = [server.connect().send(GET) for _ in range(3 * CONNECTIONS_AT_ONCE)]
    server.answers = False
    server.exchanges[0].respond(OK)
    server.run()
    assert server.state.budget.line
    server.advance(1)
    assert not server.state.budget.line
    assert all(client.transport.is_reading for client in waiting)


def test_those_who_wait_go_on_tenant_by_tenant():
    budget = InflightBudget(CONNECTIONS_AT_ONCE * ROOM_PER_CONNECTION)
    budget.used = budget.limit + 1
    went_on: list[str] = []
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        budget.wait(FakeReader(name, went_on))
    for _ in range(7):
        budget.used = budget.limit
        budget.settle()
    assert went_on == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_the_right_of_way_goes_from_tenant_to_tenant():
    budget = InflightBudget(10)
    budget.used = budget.partial = 20
    went_on: list[str] = []
    budget.privileged = FakeReader("z", went_on)
    for name in ("a1", "a2", "a3", "b1"):
        reader = FakeReader(name, went_on)
        reader.is_within_body = True
        budget.wait(reader)
    for _ in range(3):
        budget.privileged = None  # its body is complete, and more have come
        budget.settle()
    assert went_on == ["a1", "b1", "a2"]


def request_of(tenant: str, body: bytes) -> bytes:
    return post(body).replace(b"/testid", f"/{tenant}".encode())


def test_one_tenants_bodies_do_not_keep_another_from_posting_one_after_the_other():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    flood = [server.connect().send(request_of("flood", b"x" * 6 * KB)[: 3 * KB]) for _ in range(6)]
    assert [client.transport.is_reading for client in flood].count(False) >= 2
    calm = [server.connect() for _ in range(2)]
    for _ in range(5):
        for client in calm:
            client.send(request_of("calm", b"x" * KB))
            assert len(server.exchanges) == 1
            server.answer_all()
    assert statuses(*calm) == [[200] * 5] * 2
    assert statuses(*flood) == [[]] * 6


def test_only_one_connection_of_a_tenant_passes_at_a_time_and_only_between_requests():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(request_of("flood", b"x" * 11 * KB))
    first, second = (server.connect().send(request_of("calm", b"x" * KB)) for _ in range(2))
    assert (first.transport.is_reading, second.transport.is_reading) == (True, False)
    first.send(request_of("calm", b"x" * KB))
    assert not first.transport.is_reading  # two at once are one too many
    server.exchanges.pop(1).respond(OK)
    server.exchanges.pop(2).respond(OK)
    server.run()
    server.exchanges.pop(1).respond(OK)
    server.run()
    assert (first.transport.is_reading, second.transport.is_reading) == (False, True)
    server.answer_all()
    assert first.transport.is_reading
    assert server.state.budget.passing == {}


def test_whoever_passes_and_goes_away_in_the_middle_of_a_request_leaves_the_way_to_the_next():
    server = Server(answers=False, max_inflight_bytes=10 * KB)
    server.connect().send(request_of("flood", b"x" * 11 * KB))
    first, second = (server.connect().send(request_of("calm", b"x" * KB)) for _ in range(2))
    first.send(request_of("calm", b"x" * KB)[:50])
    first.lose()
    server.exchanges.pop().respond(OK)
    server.run()
    assert second.transport.is_reading
    assert server.state.budget.passing["/analytics/calm"] is second.connection._intake


def test_a_budget_shows_its_state():
    assert repr(InflightBudget(10)) == "<InflightBudget 0 of 10 bytes, 0 waiting>"
