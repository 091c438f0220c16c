"""Other settings and another program while gateways post without a pause: nothing is refused, nothing is lost."""

import json
import os
import shutil
import signal
import socket
import sys

import pytest

from apidanalytics.ingest.protocol import DRAIN_GRACE_SECONDS
from tests.crash.load import Load, assert_books_balance, children, status, wait_settled
from tests.harness import ROOT, ServiceProcess, wait_until
from tests.posting import NEVER_LEFT, UNANSWERED

QUICK = {"apidanalytics_collection_interval": 1, "apidanalytics_upload_interval": "0.2s", "apidanalytics_workers": 2}
STEADY = {"connections": 8, "records_per_second": 3000, "seed": 5}


def write_settings(service, **settings):
    path = service.directory / "apid_config.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))


def generation(service):
    answer = status(service)
    return answer.get("generation", 0) if answer else 0


def wait_next(service, before):
    def is_through():
        now = status(service) or {}
        return now.get("generation", 0) > before and now["ready"] and not now["draining"]

    wait_until(is_through, timeout_seconds=60, what=f"generation {before + 1} serves alone")


def change(service, number):
    """Have the service become another agent by a signal, and wait until only that one is left."""
    before = generation(service)
    os.kill(service.pid, number)
    wait_next(service, before)


def assert_nobody_noticed(load):
    assert load.batches[NEVER_LEFT] == 0, "connections were refused"
    # A client that stands still for nearly as long as an idle connection is kept finds it closed under its hands.
    has_stood_still = load.longest_stall_seconds > DRAIN_GRACE_SECONDS / 2
    assert load.batches[UNANSWERED] == 0 or has_stood_still, "connections were cut"


def play(service, reloads, upgrades):
    with Load(service, **STEADY) as load:
        load.wait_acknowledged(200)
        for _ in range(reloads):
            change(service, signal.SIGHUP)
        for _ in range(upgrades):
            change(service, signal.SIGUSR2)
        load.wait_acknowledged(500)
        load.stop()
    assert_nobody_noticed(load)
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())
    print(f"{reloads} reloads, {upgrades} upgrades: {load!r}, {load.report(service.directory / 'lake').total()}")


def test_reloads_and_upgrades_under_load_refuse_nothing_and_lose_nothing(start_service):
    service = start_service(**QUICK)
    pid, workers = service.pid, children(service.pid)
    play(service, reloads=3, upgrades=2)
    assert service.process.poll() is None
    assert service.pid == pid, "the process is the same throughout"
    assert not set(children(pid)) & set(workers), "and every worker another one"
    assert service.terminate() == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_twenty_reloads_and_five_upgrades_under_load_refuse_nothing_and_lose_nothing(start_service):
    play(start_service(**QUICK), reloads=20, upgrades=5)


def test_a_reload_says_what_it_changes_and_one_that_cannot_be_done_changes_nothing(start_service):
    service = start_service(**QUICK)
    write_settings(service, apidanalytics_upload_concurrency=7, log_level="debug")
    done = service.command("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert "apidanalytics_upload_concurrency: 4 -> 7" in done.stdout
    assert "log_level: info -> debug" in done.stdout
    assert "2 new workers serve" in done.stdout
    wait_until(lambda: len(children(service.pid)) == 2, what="the former workers are gone")
    before = children(service.pid)

    write_settings(service, apidanalytics_upload_concurency=8, log_level="loud")
    refused = refusal_of(service)
    assert "there is no such setting" in refused
    assert "log_level: 'loud' should be" in refused
    write_settings(service, apidanalytics_data_path="/other")
    assert "cannot change from /ax to /other while the service runs" in refusal_of(service)
    assert children(service.pid) == before, "nothing was touched"


def refusal_of(service):
    """Return the problems that the log names when a reload is refused."""
    before = service.log().count("agent.change_refused")
    os.kill(service.pid, signal.SIGHUP)
    wait_until(lambda: service.log().count("agent.change_refused") > before, what="the log says that it is refused")
    last = [line for line in service.log().splitlines() if "agent.change_refused" in line][-1]
    return "\n".join(json.loads(last)["problems"])


def test_settings_with_which_the_next_agent_cannot_start_are_taken_back(start_service, free_port):
    service = start_service(**QUICK)
    with socket.create_server(("127.0.0.1", 0)) as taken, Load(service, **STEADY) as load:
        write_settings(service, apidanalytics_collection_listen=f"127.0.0.1:{taken.getsockname()[1]}")
        load.wait_acknowledged(200)
        failed = service.command("reload")
        load.wait_acknowledged(200)
        load.stop()
    assert failed.returncode == 1
    assert "the service goes on as before" in failed.stderr
    assert_nobody_noticed(load)
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_an_upgrade_goes_on_with_the_program_that_is_on_disk_and_refuses_a_broken_one(start_service, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    service = start_service(**QUICK, environment={"PYTHONPATH": str(tmp_path / "src")})
    package = tmp_path / "src" / "apidanalytics" / "__init__.py"
    good = package.read_text()

    package.write_text(good + "\nraise RuntimeError('half an installation')\n")
    os.kill(service.pid, signal.SIGUSR2)
    wait_until(lambda: "half an installation" in service.log(), what="the broken program is refused")
    assert service.post("testid", [{"client_received_start_timestamp": 1}])[0] == 200

    package.write_text(good.replace('__version__ = "', '__version__ = "99.'))
    upgraded = service.command("upgrade")
    assert upgraded.returncode == 0, upgraded.stderr
    assert "version 99." in upgraded.stdout
    assert service.status()["version"].startswith("99.")
    assert service.post("testid", [{"client_received_start_timestamp": 1}])[0] == 200
    service.wait_delivered(2)


def test_settings_that_are_spoiled_in_the_middle_of_an_upgrade_leave_those_of_before(start_service, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src")
    service = start_service(**QUICK, environment={"PYTHONPATH": str(tmp_path / "src")})
    settings = service.directory / "apid_config.yaml"
    command = tmp_path / "src" / "apidanalytics" / "cli" / "run.py"  # loaded by the next program, after its check
    spoil = f"Path({str(settings)!r}).write_text('apidanalytics_no_such_thing: 1')\n"
    command.write_text(f"{command.read_text()}\n{spoil}")
    with Load(service, **STEADY) as load:
        load.wait_acknowledged(200)
        upgraded = service.command("upgrade")
        load.wait_acknowledged(200)
        load.stop()
    assert upgraded.returncode == 1
    assert "apidanalytics_no_such_thing" in upgraded.stderr
    assert_nobody_noticed(load)
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_an_agent_that_is_killed_in_the_middle_of_a_change_loses_nothing(start_service):
    service = start_service(**QUICK)
    with Load(service, **STEADY) as load:
        for number in (signal.SIGHUP, signal.SIGUSR2):
            load.wait_acknowledged(200)
            before = service.log().count("agent.changing")
            os.kill(service.pid, number)
            wait_until(lambda before=before: service.log().count("agent.changing") > before, what="it begins")
            service.kill_agent()
            service.restart()
        load.wait_acknowledged(200)
        load.stop()
    wait_settled(service)
    assert_books_balance(service, load.assert_conserved())


def test_a_stop_that_comes_during_a_change_is_followed_by_the_next_agent(start_service):
    service = start_service(**QUICK)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        before = service.log().count("agent.changing")
        os.kill(service.pid, number)
        wait_until(lambda before=before: service.log().count("agent.changing") > before, what="it begins")
        assert service.terminate() == 0
        assert "agent.forced" not in service.log()
        service.restart()


ACTIVATE = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "apidanalytics", "run", "--embedded"])
"""


def test_a_socket_that_systemd_opened_is_served_and_outlives_upgrades(data_directory, free_port):
    port = free_port()
    settings = {**QUICK, "api_listen": f"127.0.0.1:{port}", "local_storage_path": data_directory}
    with ServiceProcess(settings, command=(sys.executable, "-c", ACTIVATE, str(port))) as service:
        service.start()
        play(service, reloads=1, upgrades=1)
        assert service.status()["api"] == f"http://127.0.0.1:{port}"
