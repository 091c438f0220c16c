"""The image by itself: what it says, what it may do, and that it keeps and delivers what it took."""

import gzip
import json
import urllib.request

from tests.harness import wait_until
from tests.image.engine import HARDENED, IMAGE, POST

DATA = "/var/lib/apidanalytics"
HEALTH = ("python", "-I", "/opt/apidanalytics/healthcheck.py")


def test_it_explains_itself_and_what_it_misses(engine):
    assert engine("run", "--rm", *HARDENED, IMAGE, "--version").startswith("apidanalytics ")
    assert "run the service" in engine("run", "--rm", *HARDENED, IMAGE, "--help")
    missing = engine.try_("run", "--rm", *HARDENED, IMAGE)
    assert missing.returncode == 2
    assert "apidanalytics_uap_server_base" in missing.stderr


def test_it_is_nobody_and_can_write_its_data_only(engine):
    def shell(script: str):
        return engine.try_("run", "--rm", "--cap-drop=ALL", "--entrypoint", "sh", IMAGE, "-c", script)

    assert shell("id -u; id -g; pwd").stdout.split() == ["10001", "10001", DATA]
    assert shell(f"touch {DATA}/x").returncode == 0
    assert shell(f"find / -xdev -writable -type d -not -path '{DATA}*' -not -path '/tmp*'").stdout.split() in (
        ["/var/tmp", "/run/lock"],
        ["/run/lock", "/var/tmp"],
        ["/var/tmp"],
    )
    compiled = "import apidanalytics.cli.main as m; print(m.__cached__); open(m.__cached__)"
    assert "__pycache__" in engine("run", "--rm", "--entrypoint", "python", IMAGE, "-c", compiled)


def test_what_it_took_is_there_after_a_restart_and_delivered(engine):
    volume = engine.volume()
    arguments = (*HARDENED, "--volume", f"{volume}:{DATA}", "--publish", "127.0.0.1::9000", IMAGE, "run", "--embedded")
    first = engine.start(*arguments)
    wait_until(lambda: not engine.try_("exec", first, *HEALTH, "/ready").returncode, what="it is ready")
    assert engine("exec", first, *HEALTH) == '200 {"status":"alive"}'
    address = engine("port", first, "9000/tcp").splitlines()[0]
    batch = json.dumps({"records": [{"client_received_start_timestamp": 1700000000000}]}).encode()
    request = urllib.request.Request(f"http://{address}/analytics/testid", batch, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
    engine("kill", first)

    second = engine.start(*arguments)
    wait_until(lambda: not engine.try_("exec", second, *HEALTH, "/ready").returncode, what="it is ready again")
    assert engine("exec", second, "python", "-c", POST, "http://127.0.0.1:9000/analytics/testid") == "200"
    engine("exec", second, "apidanalytics", "flush")
    assert engine.stop(second, 45) == 0
    log = engine.try_("logs", second)
    assert '"event": "agent.draining"' in log.stdout + log.stderr
    assert len(lake(engine, volume)) == 2


def lake(engine, volume: str) -> list[bytes]:
    """Return the records in the lake of ``run --embedded``."""
    script = "import glob, sys; [sys.stdout.write(open(f, 'rb').read().hex() + '\\n') for f in glob.glob(sys.argv[1])]"
    read = ("--entrypoint", "python", IMAGE, "-c", script, "/data/lake/*/*/*/*.gz")
    files = engine("run", "--rm", "--volume", f"{volume}:/data", *read).split()
    return [line for file in files for line in gzip.decompress(bytes.fromhex(file)).splitlines()]


def test_the_engine_itself_finds_it_healthy(engine):
    container = engine.start(*HARDENED, "--health-interval=1s", IMAGE, "run", "--embedded")

    def health() -> str:
        # podman looks only when it is asked, where no systemd runs.
        engine.try_("healthcheck", "run", container)
        return engine("inspect", "--format", "{{.State.Health.Status}}", container)

    wait_until(lambda: health() == "healthy", what="the health check of the image passes")
