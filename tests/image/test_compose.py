"""The compose file, with the collector, the collection service, SeaweedFS and Prometheus; Grafana is not started.

It takes the ports that the file names: 9000, 9001 and 9090 of this machine.
"""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.harness import ROOT, wait_until
from tests.image.engine import Engine

TOKEN = (ROOT / "deploy/compose/admin.token").read_text().strip()


@pytest.fixture
def compose(engine: Engine) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return what runs a command of ``docker compose``; all of it is removed afterwards."""
    if engine.try_("compose", "version").returncode:
        pytest.skip(f"needs `{engine.program} compose`")
    project = f"apidanalytics-test-{uuid.uuid4().hex[:8]}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return engine.try_("compose", "--file", ROOT / "deploy/compose.yaml", "--project-name", project, *arguments)

    yield run
    run("down", "--volumes")


def asked(address: str, path: str, token: str = "") -> bytes:
    """Return the answer to a GET, or nothing while there is none."""
    request = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()
    except OSError:
        return b""


def is_scraped() -> bool:
    """Does Prometheus see the collector?"""
    answer = asked("127.0.0.1:9090", "/api/v1/query?query=" + urllib.parse.quote('up{job="apidanalytics"}'))
    return bool(answer) and [series["value"][1] for series in json.loads(answer)["data"]["result"]] == ["1"]


@pytest.mark.timeout(600)
def test_a_record_reaches_the_bucket_whatever_is_stopped_and_started_again(compose, engine):
    def up() -> str:
        started = compose("up", "--detach", "--no-build", "collector", "prometheus")
        assert started.returncode == 0, started.stderr
        return compose("ps", "--quiet", "collector").stdout.strip()

    def uploaded(count: int) -> None:
        def is_so() -> bool:
            return engine.status(collector)["totals"]["uploaded"]["records"] == count

        wait_until(is_so, timeout_seconds=120, pause_seconds=0.5, what=f"{count} records are uploaded")

    collector = up()
    assert engine.post(collector) == "200"
    uploaded(1)
    wait_until(is_scraped, what="Prometheus sees the collector")
    assert b"<html" in asked("127.0.0.1:9001", "/")
    assert asked("127.0.0.1:9001", "/api/status") == b""
    assert json.loads(asked("127.0.0.1:9001", "/api/status", TOKEN))["totals"]["uploaded"]["records"] == 1

    compose("stop", "seaweedfs")
    assert engine.post(collector) == "200"
    wait_until(lambda: "Uploads" in json.dumps(engine.status(collector)["findings"]), what="the trouble is told")
    assert up() == collector
    uploaded(2)

    compose("stop", "collector")
    assert engine("inspect", "--format", "{{.State.ExitCode}}", collector) == "0"
    assert up() == collector
    assert engine.post(collector) == "200"
    uploaded(3)
    wait_until(is_scraped, what="Prometheus sees the collector again")
