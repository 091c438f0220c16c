"""What a connection counts as sent, when the answer, room for more, and the end of it all come in one moment."""

import asyncio

import pytest

from apidanalytics.upload.connection import Connection

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
