"""The workers of before a change: they are heard and spoken to until they are gone."""

import asyncio
import socket

import msgspec

from apidanalytics.control.child import Child
from apidanalytics.control.former import FormerWorkers
from apidanalytics.control.handover import FormerWorker


async def test_a_worker_of_before_asks_for_room_says_what_it_has_taken_and_is_answered():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop, heard = asyncio.get_running_loop(), []
    former = FormerWorkers([FormerWorker(child=Child(12), pipe=ours)])
    await former.start(heard.append)
    assert former.reports() == [{"pid": 12, "state": "draining"}]
    ask = {"type": "room", "pid": 12, "taken": 8, "needed": 1}
    for message in ({"type": "heartbeat", "report": {"taken": 7}}, ask):
        await loop.sock_sendall(theirs, msgspec.json.encode(message) + b"\n")
    async with asyncio.timeout(30):
        while not heard:
            await asyncio.sleep(0.01)
    assert heard == [ask]
    assert former.reports() == [{"pid": 12, "state": "draining", "taken": 7}]
    former.send(12, {"type": "room"})
    former.send(13, {"type": "drain"})
    async with asyncio.timeout(30):
        assert await loop.sock_recv(theirs, 1000) == b'{"type":"room"}\n'
    for worker in await former.detach():
        worker.pipe.close()
    theirs.close()


async def test_workers_of_before_are_told_what_may_have_changed_and_what_changes_until_they_are_gone():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    former = FormerWorkers([FormerWorker(child=Child(12), pipe=ours)])
    await former.start(lambda _: None, [{"type": "tokens"}])
    former.broadcast({"type": "scopes"})
    said = b""
    async with asyncio.timeout(30):
        while said.count(b"\n") < 2:
            said += await asyncio.get_running_loop().sock_recv(theirs, 1000)
    assert said == b'{"type":"tokens"}\n{"type":"scopes"}\n'
    for worker in await former.detach():
        worker.pipe.close()
    theirs.close()
