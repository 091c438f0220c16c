"""The collector's container of each manifest, run with exactly what the manifest says of it; no cluster is asked.

Volumes are as the kubelet makes them: data belongs to root and the pod's group, with a ``lost+found``; ConfigMap and
Secret are links to a folder that is replaced as a whole; the network has nobody else in it.
"""

from pathlib import Path

import pytest
import yaml

from tests.harness import ROOT, wait_until
from tests.image.engine import IMAGE, POST, Engine

MANIFESTS = ROOT / "deploy/kubernetes"


def pod_of(manifest: str) -> dict:
    """Return the specification of the pod in a manifest."""
    documents = yaml.safe_load_all((MANIFESTS / manifest).read_text())
    (pod,) = [document["spec"]["template"]["spec"] for document in documents if document["kind"] == "StatefulSet"]
    return pod


def collector_of(pod: dict) -> dict:
    """Return the container that runs our image."""
    containers = (*pod["containers"], *pod.get("initContainers", ()))
    (container,) = [container for container in containers if container["name"] == "apidanalytics"]
    return container


def configured() -> dict[str, dict[str, str]]:
    """Return the files of ConfigMap and Secret."""
    documents = yaml.safe_load_all((MANIFESTS / "configuration.yaml").read_text())
    return {document["kind"]: document.get("data") or document["stringData"] for document in documents}


class Projected:
    """A ConfigMap or a Secret as the kubelet shows it to a container."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        folder.mkdir()
        self.folder, self._version = folder, 0
        self.replace(files)
        for name in files:
            (folder / name).symlink_to(Path("..data", name))

    def replace(self, files: dict[str, str]) -> None:
        """Put other content in, all at once."""
        self._version += 1
        content = self.folder / f"..{self._version}"
        content.mkdir()
        for name, text in files.items():
            (content / name).write_text(text)
            (content / name).chmod(0o444)
        link = self.folder / "..data_tmp"
        link.symlink_to(content.name)
        link.rename(self.folder / "..data")


def give(engine: Engine, secret: Projected, mode: int, group: int) -> None:
    """Hand the files of a Secret to the pod's group, with the volume's ``defaultMode``."""
    script = f"chgrp -R {group} /secret && chmod {mode:o} /secret/..1/*"
    root = ("--user", "0:0", "--entrypoint", "sh", "--volume", f"{secret.folder}:/secret")
    engine("run", "--rm", *root, IMAGE, "-c", script)


def data_volume(engine: Engine, group: int) -> str:
    """Return a volume as the kubelet hands out a new disk with ``fsGroup``."""
    volume = engine.volume()
    script = f"mkdir -m 0700 /disk/lost+found && chown 0:{group} /disk && chmod 2775 /disk"
    root = ("--user", "0:0", "--entrypoint", "sh", "--volume", f"{volume}:/disk")
    engine("run", "--rm", *root, IMAGE, "-c", script)
    return volume


def flags_of(pod: dict, container: dict) -> list[str]:
    """Return what the fields of both are for docker and podman. A field that is not known here is an error."""
    of_pod, of_container = pod["securityContext"], container["securityContext"]
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}  # what an engine does by itself
    user, group = of_pod["runAsUser"], of_pod["runAsGroup"]
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    memory = container["resources"]["limits"]["memory"].removesuffix("i").lower()
    return [
        *("--user", f"{user}:{group}", "--group-add", str(of_pod["fsGroup"]), "--memory", memory),
        *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"),
        *(f"--env={variable['name']}={variable['value']}" for variable in container["env"]),
    ]


def mounts_of(container: dict, sources: dict[str, object]) -> list[str]:
    """Return the mounts; a mount of ``tmp`` is memory."""
    flags = []
    for mount in container["volumeMounts"]:
        source = sources[mount["name"].removeprefix("apidanalytics-")]
        mode = ":ro" if mount.get("readOnly") else ""
        tmp = f"--tmpfs={mount['mountPath']}"
        flags.append(f"--volume={source}:{mount['mountPath']}{mode}" if source else tmp)
    return flags


def probe(engine: Engine, name: str, what: dict) -> bool:
    """Try a probe: the command, or the path by the image's own health check."""
    command = what["exec"]["command"] if "exec" in what else [*HEALTH, what["httpGet"]["path"]]
    return engine.try_("exec", name, *command).returncode == 0


HEALTH = ("python", "-I", "/opt/apidanalytics/healthcheck.py")


@pytest.mark.parametrize("manifest", ["collector.yaml", "sidecar.yaml"])
def test_the_container_of_a_manifest_serves_and_stops_in_time(manifest, engine, tmp_path):
    pod = pod_of(manifest)
    container = collector_of(pod)
    assert container["image"] == IMAGE
    files = configured()
    configuration = Projected(tmp_path / "configuration", files["ConfigMap"])
    token = Projected(tmp_path / "token", files["Secret"])
    (mode,) = [volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume]
    give(engine, token, mode, pod["securityContext"]["fsGroup"])
    sources = {
        "data": data_volume(engine, pod["securityContext"]["fsGroup"]),
        "configuration": configuration.folder,
        "token": token.folder,
        "tmp": None,
    }
    flags = [*flags_of(pod, container), *mounts_of(container, sources)]
    name = engine.start(*flags, IMAGE, *container["args"])

    start = container["startupProbe"]
    seconds = start["periodSeconds"] * start["failureThreshold"]
    wait_until(lambda: probe(engine, name, start), timeout_seconds=seconds, pause_seconds=0.5, what="it has started")
    assert probe(engine, name, container["livenessProbe"])
    if "readinessProbe" in container:
        wait_until(lambda: probe(engine, name, container["readinessProbe"]), what="it is ready")
    assert engine.post(name) == "200"
    status = engine.status(name)
    assert len(status["workers"]) == int(dict_of(container["env"]).get("APID_APIDANALYTICS_WORKERS", 2))
    assert status["totals"]["accepted"]["records"] == 1
    doctor = engine.try_("exec", name, "apidanalytics", "doctor").stdout
    for check in ("settings in force", "directories", "file system", "scope source", "token"):
        assert f"ok      {check}" in doctor, doctor
    assert "/var/lib/apidanalytics is a local file system" in doctor

    scopes = files["ConfigMap"]["scopes.yaml"].replace("testid", "another")
    configuration.replace({**files["ConfigMap"], "scopes.yaml": scopes})
    another = ("python", "-c", POST, "http://127.0.0.1:9000/analytics/another")
    wait_until(lambda: engine.try_("exec", name, *another).stdout == "200\n", what="changed scopes are taken up")
    engine("exec", name, "apidanalytics", "reload")
    for command in filter(None, [container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")]):
        engine("exec", name, *command)
    assert engine.stop(name, pod["terminationGracePeriodSeconds"] - 5) == 0


def dict_of(env: list[dict[str, str]]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in env}
