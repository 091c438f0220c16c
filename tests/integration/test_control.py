"""Workers as real processes, the data directory's lock, and the control socket."""

import asyncio
import errno
import os
import signal
import socket
import sys

import pytest
from structlog.testing import capture_logs

from apidanalytics.clock import SystemClock
from apidanalytics.control.child import Child
from apidanalytics.control.lock import DataDirectoryLock
from apidanalytics.control.server import ControlServer, ask
from apidanalytics.control.sockets import Listeners
from apidanalytics.control.supervisor import Supervisor
from apidanalytics.errors import DataDirectoryLocked, NotAllowedError, NotRunningError

WORKER = """
import json, os, socket, sys, time
arguments = sys.argv[1:]
control = socket.socket(fileno=int(arguments[arguments.index("--control-fd") + 1]))
listener = socket.socket(fileno=int(arguments[arguments.index("--listen-fd") + 1]))
stream = control.makefile("rwb")
greeting = json.loads(stream.readline())
stream.write(json.dumps({"type": "heartbeat", "report": {"ready": True}}).encode() + b"\\n")
stream.write(json.dumps({"type": "greeted", "with": greeting}).encode() + b"\\n")
stream.flush()
mode = greeting["mode"]
if mode == "die":
    sys.exit(7)
if mode == "hang":
    time.sleep(60)
for line in stream:
    if json.loads(line)["type"] == "drain":
        sys.exit(0)
os._exit(3)
"""


@pytest.fixture
def supervise():
    listeners, supervisors = [], []

    def build(mode, **changes):
        heard, deaths = [], []
        address = Listeners("127.0.0.1:0", 2)
        listeners.append(address)
        supervisor = Supervisor(
            command=[sys.executable, "-c", WORKER],
            listeners=address,
            count=2,
            clock=SystemClock(),
            greeting=lambda index: [{"type": "start", "mode": mode, "index": index}],
            on_message=heard.append,
            on_death=lambda: deaths.append(True),
            **{"timeout_seconds": 60.0, **changes},
        )
        supervisors.append(supervisor)
        return supervisor, heard, deaths

    yield build
    for supervisor in supervisors:
        supervisor.kill()
    for address in listeners:
        address.close_all()


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def pids(supervisor):
    return [worker["pid"] for worker in supervisor.status()]


async def test_every_worker_is_greeted_runs_and_ends_when_told_to_drain(supervise):
    supervisor, heard, deaths = supervise("serve")
    supervisor.start()
    await until(lambda: supervisor.is_serving and len(heard) == 2)
    assert sorted(message["with"]["index"] for message in heard) == [0, 1]
    assert {worker["state"] for worker in supervisor.status()} == {"running"}
    processes = pids(supervisor)
    await supervisor.stop(5)
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not deaths


async def test_a_killed_worker_is_replaced_and_the_other_one_is_left_alone(supervise):
    supervisor, _, deaths = supervise("serve")
    supervisor.start()
    await until(lambda: all(worker["state"] == "running" for worker in supervisor.status()))
    first, second = pids(supervisor)
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.status()[0]["restarts"] == 1 and supervisor.status()[0]["state"] == "running")
    assert pids(supervisor)[1] == second
    assert deaths == [True]
    await supervisor.stop(5)


async def test_a_worker_that_falls_silent_is_killed_and_replaced(supervise):
    supervisor, _, deaths = supervise("hang", timeout_seconds=1.0)
    supervisor.start()
    await until(lambda: len(deaths) >= 2)
    await supervisor.stop(1)


async def test_a_worker_that_keeps_dying_is_not_restarted_in_a_rush(supervise):
    supervisor, _, deaths = supervise("die")
    supervisor.start()
    await asyncio.sleep(2.5)
    assert len(deaths) <= 10
    await until(lambda: len(deaths) >= 2)
    await supervisor.stop(1)


async def test_a_worker_that_cannot_be_started_is_tried_again_like_one_that_died(supervise, monkeypatch):
    supervisor, _, deaths = supervise("serve")
    spawn, failures = Child.spawn, [OSError(errno.EAGAIN, "Resource temporarily unavailable")] * 2

    def refuse(*args, **options):
        if failures:
            raise failures.pop()
        return spawn(*args, **options)

    monkeypatch.setattr(Child, "spawn", refuse)
    with capture_logs() as logs:
        supervisor.start()
        await until(lambda: supervisor.all_serve)
    assert deaths == [True, True]
    ends = [(entry["event"], entry.get("error")) for entry in logs if entry["log_level"] == "warning"]
    assert [end for end in ends if end[0] != "worker.waiting"] == [
        ("worker.start_failed", "[Errno 11] Resource temporarily unavailable")
    ] * 2
    assert not any(task.done() for task in supervisor.tasks)
    await supervisor.stop(5)


async def test_the_end_of_a_child_is_noticed_when_no_descriptor_is_left_to_watch_it(monkeypatch):
    def refuse(_pid):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    child = Child.spawn([sys.executable, "-c", "raise SystemExit(7)"], environment={}, descriptors=())
    assert await child.wait() == 7


def test_the_socket_of_a_worker_outlives_it_until_it_is_closed_on_purpose():
    listeners = Listeners("127.0.0.1:0", 1)
    listener = listeners.get(0)[0]
    address = listener.getsockname()
    socket.create_connection(address).close()
    assert listeners.get(0)[0] is listener
    listeners.close(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert listeners.get(0)[0].getsockname() == address, "opened again on the same port"
    listeners.close_all()


def test_all_workers_listen_on_the_port_that_the_first_one_was_given():
    listeners = Listeners("127.0.0.1:0", 3)
    listeners.open_all()
    assert len({listeners.get(index)[0].getsockname() for index in range(3)}) == 1
    assert listeners.url == f"http://127.0.0.1:{listeners.get(0)[0].getsockname()[1]}"
    listeners.close_all()


def test_a_taken_address_is_named_in_the_error():
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
        Listeners(f"127.0.0.1:{port}", 1).open_all()
    taken.close()


@pytest.mark.parametrize(
    ("host", "is_exposed"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("", True)]
)
def test_whether_other_machines_can_reach_it_is_known_from_its_sockets(host, is_exposed):
    listeners = Listeners(f"{host}:0", 1)
    assert not listeners.is_exposed
    listeners.open_all()
    assert listeners.is_exposed is is_exposed
    listeners.close_all()


def test_another_process_that_shares_the_address_is_noticed():
    first = Listeners("127.0.0.1:0", 1)
    assert not first.is_shared_with_others()
    first.open_all()
    second = Listeners(first.url.removeprefix("http://"), 1)
    assert second.is_shared_with_others()
    first.close_all()
    assert not second.is_shared_with_others()


def test_a_unix_socket_left_by_a_dead_process_is_replaced_and_removed_at_the_end(tmp_path):
    path = tmp_path / "api.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    listeners = Listeners(f"unix:{path}", 2)
    listeners.open_all()
    assert listeners.is_shared
    assert listeners.get(0)[0] is listeners.get(1)[0]
    listeners.close_all()
    assert not path.exists()


def test_a_second_agent_learns_who_holds_the_data_directory(tmp_path):
    lock = DataDirectoryLock.acquire(tmp_path / "agent.lock")
    with pytest.raises(DataDirectoryLocked, match=f"in use by pid {os.getpid()}, since 20"):
        DataDirectoryLock.acquire(tmp_path / "agent.lock")
    lock.release()
    DataDirectoryLock.acquire(tmp_path / "agent.lock").release()


async def test_the_control_socket_answers_and_is_private_even_in_a_deep_directory(tmp_path):
    deep = tmp_path.joinpath(*["a" * 50] * 4)
    deep.mkdir(parents=True)

    async def answer(request):
        if request.get("command") == "break":
            raise RuntimeError("broken")
        return {"echo": request}

    server = ControlServer(deep / "control.sock", answer)
    await server.start()
    assert (deep / "control.sock").stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(ask, deep / "control.sock", {"command": "hello"}) == {"echo": {"command": "hello"}}
    broken = await asyncio.to_thread(ask, deep / "control.sock", {"command": "break"})
    assert broken == {"error": "the agent could not answer; its log says why"}
    await server.stop()
    with pytest.raises(NotRunningError, match="no agent answers"):
        ask(deep / "control.sock", {"command": "hello"})


async def test_a_question_about_a_hundred_thousand_spools_is_answered(tmp_path):
    async def count(request):
        return {"spools": len(request["spools"])}

    server, path = ControlServer(tmp_path / "control.sock", count), tmp_path / "control.sock"
    await server.start()
    spools = [2**48 - number for number in range(100_000)]
    assert await asyncio.to_thread(ask, path, {"command": "flushed", "spools": spools}) == {"spools": 100_000}
    await server.stop()


def test_an_agent_that_does_not_answer_is_said_to_be_there(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "control.sock"))
        silent.listen()
        with pytest.raises(NotRunningError, match=r"has not answered within 0.1 s"):
            ask(tmp_path / "control.sock", {"command": "hello"}, timeout_seconds=0.1)


def test_a_user_that_may_not_ask_is_told_so(tmp_path, monkeypatch):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("apidanalytics.control.server._short", refuse)
    with pytest.raises(NotAllowedError, match="only the user that the service runs as may"):
        ask(tmp_path / "control.sock", {"command": "hello"})
