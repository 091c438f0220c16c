"""What a connection does when the answer, room for more, and the end of it all come in one moment, or come early."""

import asyncio
import gc
import socket

import pytest

from apidanalytics.upload.connection import Connection, ConnectionEndedError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PIECE = b"x" * 100


class Full(asyncio.Transport):
    """A transport that has no room after each piece, and then tells what happens, all in one turn of the loop."""

    def __init__(self, connection, happens):
        super().__init__()
        self._connection = connection
        self._happens = happens
        self.buffered = 0

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def get_write_buffer_size(self):
        return self.buffered

    def abort(self):
        pass

    def write(self, data):
        if data == PIECE:
            self.buffered = len(data)
            self._connection.pause_writing()
            asyncio.get_running_loop().call_soon(self._happens, self._connection)


async def pieces(count):
    for _ in range(count):
        yield PIECE


async def exchange(count, happens, on_taken=lambda: None):
    connection = Connection()
    connection.connection_made(Full(connection, happens))
    answer = await connection.exchange(b"PUT", pieces(count), size_bytes=count * len(PIECE), on_taken=on_taken)
    return answer.status, connection.sent


def room(connection):
    connection.transport.buffered = 0
    connection.resume_writing()


def room_and_answer(connection):
    room(connection)
    connection.data_received(OK)


def answer_and_room(connection):
    connection.data_received(OK)
    room(connection)


def answer(connection):
    connection.data_received(OK)


def answer_and_end(connection):
    connection.data_received(OK)
    connection.connection_lost(None)


@pytest.mark.parametrize("happens", [room_and_answer, answer_and_room])
async def test_a_last_piece_that_went_out_just_before_its_answer_is_counted(happens):
    assert await exchange(1, happens) == (200, len(PIECE))


@pytest.mark.parametrize("happens", [room_and_answer, answer_and_room])
async def test_nothing_is_sent_after_an_answer(happens):
    assert await exchange(3, happens) == (200, len(PIECE))


@pytest.mark.parametrize("happens", [answer, answer_and_end])
async def test_a_piece_that_had_not_gone_out_when_the_answer_came_is_not_counted(happens):
    assert await exchange(1, happens) == (200, 0)


@pytest.mark.parametrize(
    ("count", "happens", "is_taken"),
    [(1, room_and_answer, True), (2, room_and_answer, False), (1, answer, False), (1, answer_and_room, False)],
)
async def test_only_after_the_whole_body_an_answer_tells_that_it_was_taken(count, happens, is_taken):
    told = []
    await exchange(count, happens, lambda: told.append(True))
    assert bool(told) is is_taken


SMALL = 4096
LARGE = b"x" * (1 << 20)


@pytest.fixture
async def narrow():
    """Return a connection on which not much can be on its way, and its other side, which reads nothing."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    ours.setblocking(False)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)
    yield connection, theirs
    connection.close()
    theirs.close()


async def until_answered(connection):
    while not connection._answer.done():
        await asyncio.sleep(0.001)


async def test_an_answer_that_comes_while_a_piece_is_read_ends_it_though_the_other_side_takes_no_more(narrow):
    connection, store = narrow

    async def body():
        yield b"x"
        store.sendall(OK)
        await until_answered(connection)
        yield LARGE

    async with asyncio.timeout(10):
        answer = await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body(), size_bytes=1 + len(LARGE))
    assert (answer.status, connection.sent, connection.is_reusable) == (200, 1, False)


async def test_one_that_comes_while_the_first_piece_is_read_leaves_it_at_that(narrow):
    connection, store = narrow

    async def body():
        store.sendall(OK)
        await until_answered(connection)
        yield LARGE

    async with asyncio.timeout(10):
        answer = await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body(), size_bytes=len(LARGE))
    assert (answer.status, connection.sent, connection.is_reusable) == (200, 0, False)


async def test_an_end_while_a_piece_is_read_is_told(narrow):
    connection, store = narrow

    async def body():
        yield b"x"
        store.close()
        await until_answered(connection)
        yield LARGE

    async with asyncio.timeout(10):
        with pytest.raises((ConnectionEndedError, OSError)):
            await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body(), size_bytes=1 + len(LARGE))
    assert connection.sent == 1


async def test_who_says_no_more_and_takes_no_more_is_not_waited_for(narrow):
    connection, store = narrow

    async def body():
        asyncio.get_running_loop().call_soon(store.shutdown, socket.SHUT_WR)
        yield LARGE

    async with asyncio.timeout(10):
        with pytest.raises(ConnectionEndedError):
            await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body(), size_bytes=len(LARGE))


async def test_a_connection_is_not_used_again_while_something_of_the_last_body_stands_in_the_way(narrow):
    connection, store = narrow
    store.sendall(OK)
    answer = await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", whole=LARGE)
    assert (answer.status, connection.is_reusable) == (200, False)


@pytest.mark.parametrize("ends_first", [False, True])
async def test_an_end_that_nobody_waits_for_is_no_error_in_the_log(ends_first):
    said: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    ours, store = socket.socketpair()
    ours.setblocking(False)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, sock=ours)

    async def body():
        yield b"x"
        if ends_first:
            store.close()
            await until_answered(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", body(), size_bytes=2)
    connection.close()
    while connection.is_open:
        await asyncio.sleep(0.001)
    store.close()
    connection = None
    await asyncio.sleep(0.01)
    gc.collect()
    assert said == []
