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

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        pass

    def write(self, data):
        if data == PIECE:
            self._connection.pause_writing()
            asyncio.get_running_loop().call_soon(self._happens, self._connection)


async def pieces(count):
    for _ in range(count):
        yield PIECE


async def exchange(count, happens):
    connection = Connection()
    connection.connection_made(Full(connection, happens))
    answer = await connection.exchange(b"PUT / HTTP/1.1\r\n\r\n", pieces(count))
    return answer.status, connection.sent


def room_and_answer(connection):
    connection.resume_writing()
    connection.data_received(OK)


def answer_and_room(connection):
    connection.data_received(OK)
    connection.resume_writing()


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
