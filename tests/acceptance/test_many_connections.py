"""Very many connections at once, from two client processes: each is served, and again after a while."""

import resource
import subprocess
import sys

import pytest

BATCHES_EACH = 2
CLIENT = """
import json, resource, socket, sys
port, number = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
body = json.dumps({"records": [{"client_received_start_timestamp": 1}]}).encode()
lines = ["POST /analytics/testid HTTP/1.1", "Host: a", "Content-Type: application/json", f"Content-Length: {len(body)}"]
request = "\\r\\n".join([*lines, "", ""]).encode() + body

def answer(client):
    received = b""
    while not received.endswith(b"\\r\\n\\r\\n"):
        piece = client.recv(4096)
        if not piece:
            return b"closed"
        received += piece
    return received.split(b"\\r\\n")[0]

clients = [socket.create_connection(("127.0.0.1", port), timeout=120) for _ in range(number)]
for _ in range(2):
    for client in clients:
        client.sendall(request)
    answers = [answer(client) for client in clients]
    assert set(answers) == {b"HTTP/1.1 200 OK"}, set(answers)
    print("answered", flush=True)
    sys.stdin.readline()
"""


def run(start_service, connections):
    service = start_service(apidanalytics_workers=2, apidanalytics_max_connections=connections)
    port = service.settings["api_listen"].rpartition(":")[2]
    command = [sys.executable, "-c", CLIENT, port, str(connections // 2)]
    clients = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    try:
        for client in clients:
            assert client.stdout.readline() == "answered\n", client.communicate()
        held = sum(worker["connections"] for worker in service.status()["workers"])
        for client in clients:
            out, _ = client.communicate("\n\n", timeout=300)
            assert (client.returncode, out) == (0, "answered\n")
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    assert service.terminate() == 0
    assert len(service.lake()["testorg~testenv"]) == connections * BATCHES_EACH
    return held


def test_a_thousand_connections_are_served(start_service):
    run(start_service, 1000)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_fifteen_thousand_connections_are_served(start_service):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 16_000:
        pytest.skip(f"needs 16,000 open files, and may have {hard}")
    assert run(start_service, 15_000) > 0
