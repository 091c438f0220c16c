"""The pipe between agent and worker: how long a message may be, either way."""

import asyncio
import http.client
import secrets
import socket
from contextlib import closing
from functools import partial

import pytest

from apidanalytics import config
from apidanalytics.access.patterns import Pattern
from apidanalytics.access.tokens import Token, hash_token
from apidanalytics.access.tokens_file import to_plain
from apidanalytics.clock import SystemClock
from apidanalytics.control.channel import MAX_MESSAGE_BYTES, Channel
from apidanalytics.control.child import Child
from apidanalytics.control.former import FormerWorkers
from apidanalytics.control.handover import FormerWorker
from apidanalytics.control.sockets import Listeners
from apidanalytics.control.spawn import worker_command
from apidanalytics.control.supervisor import Supervisor
from apidanalytics.service.parts import start_message


def tokens(amount):
    return [
        Token(
            name=f"gateway-{n}", hash=hash_token(str(n)), tenants=(Pattern(f"customer-{n:05}~*"),), scopes=frozenset()
        )
        for n in range(amount)
    ]


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def settings_in(directory):
    (directory / "tokens.yaml").touch()
    settings = config.load(
        config_file=None,
        environ={
            "APID_LOCAL_STORAGE_PATH": str(directory),
            "APID_APIDANALYTICS_API_TOKENS_FILE": str(directory / "tokens.yaml"),
        },
        embedded=True,
    )
    settings.data.create()
    return settings


def post(port, token):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request("POST", "/analytics", body=b"{}", headers=headers)
        return connection.getresponse().status


async def test_a_worker_takes_ten_thousand_tokens_before_it_takes_connections_and_lives(tmp_path):
    settings, listeners, deaths = settings_in(tmp_path), Listeners("127.0.0.1:0", 1), []
    plain = to_plain(tokens(10_000))

    def greeting(index):
        start = start_message(settings, index, "one", shares_sockets=False)
        yield {**start, "mask_key": secrets.token_hex(16), "follows": 1}
        yield {"type": "tokens", "tokens": plain}

    supervisor = Supervisor(
        command=worker_command(),
        listeners=listeners,
        count=1,
        timeout_seconds=60.0,
        clock=SystemClock(),
        greeting=greeting,
        on_message=lambda _: None,
        on_death=lambda: deaths.append(True),
    )
    supervisor.start()
    try:
        port = listeners.get(0)[0].getsockname()[1]
        # It waits until the worker takes connections, and that is not before it has read who may come in.
        assert await asyncio.to_thread(post, port, "unknown") == 401
        assert await asyncio.to_thread(post, port, "9999") == 500, "let in; there is no scope data here"
        assert not deaths
    finally:
        await supervisor.stop(10)
        listeners.close_all()


async def test_a_worker_whose_message_has_no_end_is_cut_off():
    ours, theirs = socket.socketpair()
    heard, lost = [], []
    agent = await Channel.open(ours, heard.append, lambda: lost.append(True))
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(theirs, b'{"type": "one"}\n' + b" " * MAX_MESSAGE_BYTES)
    await until(lambda: heard)
    assert not lost
    await loop.sock_sendall(theirs, b" ")
    await until(lambda: lost)
    assert heard == [{"type": "one"}]
    agent.close()
    theirs.close()


def worker_end(theirs):
    """Return what sends to the agent, and what reads of it, at the worker's end of a pipe."""
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    return partial(loop.sock_sendall, theirs), partial(loop.sock_recv, theirs)


async def test_an_agent_lets_go_of_a_worker_between_two_messages():
    ours, theirs = socket.socketpair()
    heard = []
    former = await Channel.open(ours, heard.append, lambda: None)
    send, receive = worker_end(theirs)
    await send(b'{"type": "heart')
    await until(lambda: former._partial_bytes)
    leaving = asyncio.create_task(former.detach())
    await asyncio.sleep(0)
    await send(b'beat"}\n')
    end = await leaving
    await send(b'{"type": "sealed"}\n')
    following = await Channel.open(end, heard.append, lambda: heard.append("lost"))
    await until(lambda: len(heard) == 2)
    assert heard == [{"type": "heartbeat"}, {"type": "sealed"}]
    following.send({"type": "drain"})
    async with asyncio.timeout(30):
        assert await receive(1000) == b'{"type":"drain"}\n'
    following.close()
    theirs.close()


async def test_what_an_agent_has_said_is_written_whole_before_it_lets_go():
    """The next program of this process knows nothing of what is left in a buffer."""
    ours, theirs = socket.socketpair()
    former = await Channel.open(ours, lambda _: None, lambda: None)
    _, receive = worker_end(theirs)
    former.send({"type": "tokens", "tokens": "x" * (1 << 20)})
    leaving = asyncio.create_task(former.detach())
    await asyncio.sleep(0.01)
    assert not leaving.done()
    read = b""
    async with asyncio.timeout(30):
        while not read.endswith(b"\n"):
            read += await receive(1 << 20)
        end = await leaving
    end.sendall(b"next\n")
    async with asyncio.timeout(30):
        assert await receive(1000) == b"next\n"
    end.close()
    theirs.close()


@pytest.mark.parametrize("is_sending", [True, False])
async def test_a_worker_that_hangs_in_the_middle_of_a_message_is_handed_on_with_a_pipe_at_its_end(
    monkeypatch, is_sending
):
    """It ends by itself once it runs again, and the next agent has the process to wait for, or to kill."""
    monkeypatch.setattr("apidanalytics.control.channel.DETACH_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    channel = await Channel.open(ours, lambda _: None, lambda: None)
    send, receive = worker_end(theirs)
    if is_sending:
        await send(b'{"type": "heart')
        await until(lambda: channel._partial_bytes)
    else:
        channel.send({"type": "tokens", "tokens": "x" * (1 << 20)})
    former = FormerWorkers([])
    former._workers, former._channels = [FormerWorker(child=Child(12), pipe=ours)], [channel]
    (worker,) = await former.detach()
    assert worker.child.pid == 12
    async with asyncio.timeout(30):
        while await receive(1 << 20):
            pass
    lost = []
    await Channel.open(worker.pipe, lambda _: None, lambda: lost.append(True))
    await until(lambda: lost)
    theirs.close()
