"""Processes that die, hang, are stopped or are one too many: nothing that was acknowledged is lost by it."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing

from apidanalytics import config, failpoints
from apidanalytics.service.parts import start_message
from tests.crash.load import Load, amounts, assert_books_balance, children, wait_settled
from tests.harness import ServiceProcess, wait_until

QUICK = {"apidanalytics_collection_interval": 1, "apidanalytics_upload_interval": "0.2s", "apidanalytics_workers": 2}
GONE_SECONDS = 15
CLIENTS = 40


def left_over(service):
    """Return what stands in the directories of data that is not in staged files."""
    data = service.directory / "ax"
    return [path for name in ("tmp", "sealed", "recovered") for path in (data / name).iterdir()]


def seconds_until(is_so, what, timeout_seconds=30):
    began = time.monotonic()
    wait_until(is_so, timeout_seconds=timeout_seconds, what=what)
    return time.monotonic() - began


# -- the agent is gone


def test_the_workers_of_a_killed_agent_end_soon_and_what_they_acknowledged_is_delivered(start_service):
    service = start_service(**QUICK)
    with Load(service, seed=1) as load:
        load.wait_acknowledged(300)
        service.kill_agent()
        assert seconds_until(lambda: not service.pids(), "no process is left") < GONE_SECONDS
        service.restart()
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_a_worker_whose_loop_hangs_ends_soon_after_its_agent(start_service):
    service = start_service(**QUICK, environment={failpoints.VARIABLE: "ingest.before_append=sleep:60@30"})
    with Load(service, seed=2, connections=12) as load:
        wait_until(lambda: "worker.running" in service.log() and load.batches[200, ""] >= 29, what="a worker hangs")
        service.kill_agent()
        assert seconds_until(lambda: not service.pids(), "no process is left") < GONE_SECONDS
        service.environment.clear()
        service.restart()
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def exit_code_of_a_worker(service, greeting):
    """Start a worker by hand, as the agent would, and have it lose its agent right after the greeting."""
    ours, theirs = socket.socketpair()
    listening = socket.create_server(("127.0.0.1", 0))
    with ours, theirs, listening:
        ends = (theirs.fileno(), listening.fileno())
        arguments = ["worker", "--control-fd", str(ends[0]), "--listen-fd", str(ends[1])]
        ours.sendall(greeting)
        command = [sys.executable, "-m", "apidanalytics", *arguments]
        worker = subprocess.Popen(command, pass_fds=ends, env=service.variables())
    try:
        return worker.wait(GONE_SECONDS)
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_whose_agent_died_before_its_greeting_ends(data_directory):
    service = ServiceProcess({"local_storage_path": data_directory, "api_listen": "127.0.0.1:1"})
    assert exit_code_of_a_worker(service, b"") == 0


def test_a_worker_whose_agent_died_right_after_its_greeting_ends(data_directory):
    service = ServiceProcess({"local_storage_path": data_directory, "api_listen": "127.0.0.1:1"})
    settings = config.load(config_file=None, environ=service.variables(), embedded=True)
    settings.data.create()
    start = start_message(settings, 0, "test", shares_sockets=False)
    greeting = {**start, "mask_key": secrets.token_hex(16)}
    assert exit_code_of_a_worker(service, json.dumps(greeting).encode() + b"\n") == 0


# -- a worker hangs or dies


def test_a_worker_that_hangs_is_replaced_in_time_and_what_it_acknowledged_is_delivered(start_service):
    service = start_service(**QUICK, apidanalytics_worker_timeout=2)
    with Load(service, seed=3) as load:
        load.wait_acknowledged(300)
        hung = children(service.pid)[0]
        os.kill(hung, signal.SIGSTOP)
        assert seconds_until(lambda: hung not in children(service.pid), "it is ended") < 15
        wait_until(lambda: len(service.worker_pids()) == 2, what="another one runs in its place")
        load.wait_acknowledged(300)
        load.stop()
    assert "worker.hung" in service.log()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def request_of(number):
    record = {"client_received_start_timestamp": 1, "number": number}
    body = json.dumps({"records": [record]}).encode()
    head = (
        f"POST /analytics/testid HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


def test_connections_that_wait_while_a_worker_dies_are_served_by_its_successor(start_service):
    service = start_service(**QUICK | {"apidanalytics_workers": 1})
    host, _, port = service.settings["api_listen"].rpartition(":")
    (worker,) = children(service.pid)
    os.kill(worker, signal.SIGSTOP)
    with ExitStack() as open_connections:
        clients = [
            open_connections.enter_context(closing(socket.create_connection((host, int(port)), 60)))
            for _ in range(CLIENTS)
        ]
        for number, client in enumerate(clients):
            client.sendall(request_of(number))
        os.kill(worker, signal.SIGKILL)
        answers = [first_line(client) for client in clients]
    assert answers == ["HTTP/1.1 200 OK"] * CLIENTS
    wait_settled(service)
    assert amounts(service)["uploaded"] == CLIENTS


def first_line(client):
    try:
        return client.recv(4096).decode().partition("\r\n")[0]
    except OSError as error:
        return repr(error)


# -- one agent too many


def test_a_second_agent_on_the_same_directory_ends_with_exit_code_3_and_says_who_holds_it(start_service, free_port):
    service = start_service(**QUICK)
    settings = service.settings | {"api_listen": f"127.0.0.1:{free_port()}"}
    with ServiceProcess(settings) as second:
        second.start(ready=False)
        assert second.process.wait(60) == 3
        assert f"pid {service.pid}," in second.log()
    assert service.request("GET", "/ready")[0] == 200


# -- told to stop


def test_a_service_told_to_stop_under_load_exits_0_and_leaves_nothing_that_is_not_staged(start_service):
    service = start_service(**QUICK)
    with Load(service, seed=4) as load:
        load.wait_acknowledged(1000)
        assert service.terminate() == 0
        load.stop()
    assert not service.pids()
    assert left_over(service) == []
    # The embedded store was up, so the last pass has delivered everything.
    report = load.assert_conserved()
    assert report.total().accepted >= 1000


def test_a_service_told_to_stop_while_its_store_is_gone_keeps_everything_staged(
    start_service, data_directory, free_port
):
    nobody = f"http://127.0.0.1:{free_port()}"
    service = start_service(**QUICK, apidanalytics_uap_server_base=nobody)
    with Load(service, seed=5) as load:
        load.wait_acknowledged(1000)
        assert service.terminate() == 0
        load.stop()
    assert left_over(service) == []
    assert not (service.directory / "lake").exists()
    del service.settings["apidanalytics_uap_server_base"]
    service.restart()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_a_service_told_to_stop_while_its_workers_start_stops_at_once(start_service):
    service = start_service(**QUICK, ready=False)
    wait_until(lambda: len(children(service.pid)) == QUICK["apidanalytics_workers"], what="the workers are started")
    began = time.monotonic()
    assert service.terminate() == 0
    assert time.monotonic() - began < 20
    assert not service.pids()


def test_a_second_signal_ends_everything_at_once_and_loses_nothing(start_service):
    service = start_service(**QUICK)
    with Load(service, seed=6) as load, closing(half_a_request(service)) as _:
        load.wait_acknowledged(300)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "agent.draining" in service.log(), what="it drains")
        assert service.process.poll() is None, "half a request keeps it"
        service.process.send_signal(signal.SIGTERM)
        assert seconds_until(lambda: not service.pids(), "all processes are gone") < 20
        assert service.process.wait() == 1
        service.restart()
        load.wait_acknowledged(100)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def half_a_request(service):
    """Return a connection on which a request has begun and does not end."""
    host, _, port = service.settings["api_listen"].rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(request_of(0)[:-5])
    return connection
