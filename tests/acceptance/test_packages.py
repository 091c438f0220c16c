"""What is in deploy/ as far as it can be tried without an engine: linted, validated, and run for real where possible.

No image is built and no cluster is asked here; what stands in for them is named by each test. With docker or podman,
``make image`` builds the image and tries it.
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.harness import ROOT, ServiceProcess, wait_until

DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in (DEPLOY / "systemd").iterdir() if path.suffix in {".service", ".socket"})
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERNETES = ("1.29", "1.37")
"""The first version with sidecars, and the newest whose schemas are installed."""
MOST_EXPOSED = 15
"""Tenths; systemd calls everything below 40 "OK"."""


def run(*command: object, **more) -> str:
    """Run a program that must succeed; return what it said."""
    result = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
        **more,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def installed(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def documents() -> list[dict]:
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def pods() -> list[dict]:
    return [d["spec"]["template"]["spec"] for d in documents() if d["kind"] == "StatefulSet"]


# -- systemd


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return a folder with the units, their program being one that is there on every machine."""
    for name in UNITS:
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(
            re.sub(r"^(Exec\w+=)/opt/apidanalytics/bin/apidanalytics", r"\1/bin/echo", text, flags=re.MULTILINE)
        )
    return tmp_path


def test_systemd_finds_nothing_to_say_about_the_units(units, require_tool):
    said = run(require_tool("systemd-analyze"), "verify", "--man=no", *(units / name for name in UNITS))
    assert said.strip() == ""


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_may_do_little_beside_its_work(name, units, require_tool):
    run(require_tool("systemd-analyze"), "security", "--offline=true", f"--threshold={MOST_EXPOSED}", units / name)


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_what_cannot_start_is_started_again_until_it_can_but_not_with_a_configuration_that_cannot_be_used(name):
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0", "RestartPreventExitStatus=2"} <= set(lines)


def test_a_unit_runs_nothing_that_a_small_system_lacks():
    """`/bin/kill` is of procps, which a minimal Debian is without."""
    text = "".join((DEPLOY / "systemd" / name).read_text() for name in UNITS)
    programs = re.findall(r"^Exec\w+=(\S+)", text, re.MULTILINE)
    assert set(programs) == {"/opt/apidanalytics/bin/apidanalytics", "/bin/sh"}


def test_a_socket_of_systemd_is_there_before_the_service_and_the_first_connection_starts_it(
    data_directory, free_port, require_tool
):
    port = free_port()
    names = ("APID_LOCAL_STORAGE_PATH", "APID_API_LISTEN", "APID_APIDANALYTICS_WORKERS", "PYTHONPATH", "PATH")
    activate = (
        require_tool("systemd-socket-activate"),
        f"--listen=127.0.0.1:{port}",
        *(f"--setenv={name}" for name in names),
        *(sys.executable, "-m", "apidanalytics", "run", "--embedded"),
    )
    settings = {
        "api_listen": f"127.0.0.1:{port}",
        "local_storage_path": data_directory,
        "apidanalytics_workers": 1,
        "apidanalytics_collection_interval": "1s",
        "apidanalytics_upload_interval": "0.2s",
    }
    with ServiceProcess(settings, command=activate) as service:
        service.start()
        assert service.post("testid", [{"client_received_start_timestamp": 1700000000000}])[0] == 200
        assert service.command("reload").returncode == 0
        assert service.post("testid", [{"client_received_start_timestamp": 1700000000000}])[0] == 200
        wait_until(lambda: service.status()["totals"]["accepted"]["records"] == 2, what="both are in the books")
        assert service.terminate() == 0


# -- Kubernetes


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_what_kubernetes_expects(version):
    said = run(installed("kubernetes-validate"), "--strict", "--kubernetes-version", version, *MANIFESTS)
    assert said.count(" passed for resource ") == len(documents())


def test_the_collector_has_no_rights_and_its_own_disk_and_is_probed():
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        (container,) = [c for c in (*pod["containers"], *pod.get("initContainers", ())) if c["name"] == "apidanalytics"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "/var/lib/apidanalytics" in [mount["mountPath"] for mount in container["volumeMounts"]]
        assert {"startupProbe", "livenessProbe"} <= container.keys()
        assert pod["terminationGracePeriodSeconds"] > 30 + 5, "it drains for 30 s"


def test_prometheus_reaches_the_metrics_of_each_collector_with_the_token_of_the_secret():
    (data,) = [d["data"] for d in documents() if d["kind"] == "ConfigMap"]
    (secret,) = [d["stringData"] for d in documents() if d["kind"] == "Secret"]
    settings = yaml.safe_load(data["apid_config.yaml"])
    assert settings["apidanalytics_admin_listen"] == ":9001"
    for pod in pods():
        (container,) = [c for c in (*pod["containers"], *pod.get("initContainers", ())) if c["name"] == "apidanalytics"]
        assert {"name": "admin", "containerPort": 9001} in container["ports"]
        (folder,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"].endswith("token")]
        path = Path(settings["apidanalytics_admin_token_file"])
        assert str(path.parent) == folder
        assert path.name in secret


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Return a folder with the files of ConfigMap and Secret, which name each other there."""
    for files in (d.get("data") or d.get("stringData") or {} for d in documents()):
        for name, text in files.items():
            (tmp_path / name).write_text(re.sub("/etc/apidanalytics|/run/secrets/apidanalytics", str(tmp_path), text))
    return tmp_path


def test_the_configuration_of_the_manifests_can_be_used(mounted):
    run(sys.executable, "-m", "apidanalytics", "check-config", "--config", mounted / "apid_config.yaml", cwd=mounted)


# -- containers


def test_hadolint_finds_nothing_to_say_about_the_dockerfile():
    assert run(installed("hadolint"), "--no-color", DEPLOY / "Dockerfile") == ""


def test_what_the_dockerfile_copies_is_there_and_is_sent_to_the_builder():
    sent = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(source == entry or source.startswith(entry + "/") for entry in sent), source


def test_the_health_check_tells_how_a_service_with_the_scopes_of_the_manifests_is(mounted, start_service):
    service = start_service(apidanalytics_workers=1, apidanalytics_scopes_file=mounted / "scopes.yaml")
    assert service.post("testid", [{"client_received_start_timestamp": 1700000000000}])[0] == 200
    check = (sys.executable, "-I", DEPLOY / "docker/healthcheck.py")
    for path in ("/health", "/ready"):
        assert run(*check, path, service.settings["api_listen"]).startswith("200")
    assert service.terminate() == 0
    gone = subprocess.run(
        [*check, "/health", service.settings["api_listen"]], capture_output=True, timeout=30, check=False
    )
    assert gone.returncode == 1
    assert b"refused" in gone.stdout


# -- the wheel


@pytest.mark.timeout(240)
def test_the_image_s_steps_make_a_program_that_runs_by_itself(tmp_path, data_directory, free_port):
    """As deploy/Dockerfile does it, with uv in the place of pip, which is quicker, and without the extras."""
    uv, python = installed("uv"), tmp_path / "program/bin/python"
    run(installed("hatchling"), "build", "--target", "wheel", "--directory", tmp_path, cwd=ROOT)
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "program", cwd=tmp_path)
    install = (uv, "pip", "install", "--quiet", "--python", python)
    run(*install, "--require-hashes", "--only-binary", ":all:", "--requirement", ROOT / "requirements/run.txt")
    run(*install, "--no-deps", *tmp_path.glob("*.whl"))
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": data_directory,
        "apidanalytics_workers": 1,
    }
    program = (tmp_path / "program/bin/apidanalytics", "run", "--embedded")
    with ServiceProcess(settings, environment={"PYTHONPATH": ""}, command=program) as service:
        service.start()
        assert service.post("testid", [{"client_received_start_timestamp": 1700000000000}])[0] == 200
        assert service.terminate() == 0


# -- compose


def test_the_compose_file_is_what_its_specification_says_and_mounts_what_is_there():
    run(installed("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    mounts = [mount.split(":") for service in compose["services"].values() for mount in service.get("volumes", ())]
    assert {source for source, *_ in mounts if not source.startswith(".")} == compose["volumes"].keys()
    files = [source for source, *_ in mounts if source.startswith(".")]
    assert [file for file in files if not (DEPLOY / file).exists()] == []


def test_the_collector_and_the_collection_service_of_the_compose_file_agree(tmp_path):
    """Its settings and its file are good, and the token of the one opens the other."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    secret, admin = DEPLOY / "compose/collector.token", DEPLOY / "compose/admin.token"
    environment = compose["collector"]["environment"] | {
        "APID_LOCAL_STORAGE_PATH": str(tmp_path),
        "APID_APIGEESYNC_BEARER_TOKEN_FILE": str(secret),
        "APID_APIDANALYTICS_ADMIN_TOKEN_FILE": str(admin),
        "APID_APIDANALYTICS_SCOPES_FILE": str(ROOT / "examples/scopes.yaml"),
        "PYTHONPATH": str(ROOT / "src"),
    }
    run(sys.executable, "-m", "apidanalytics", "check-config", env=environment, cwd=tmp_path)
    text = (DEPLOY / "compose/collection.yaml").read_text().replace("/var/lib/apidanalytics", str(tmp_path))
    (tmp_path / "collection.yaml").write_text(text)
    run(sys.executable, "-m", "apidanalytics", "collection", "--check", cwd=tmp_path, env=environment)
    (token,) = yaml.safe_load(text)["tokens"]
    assert token["hash"] == "sha256:" + hashlib.sha256(secret.read_bytes().strip()).hexdigest()
