"""A real collection service in a child process, on a configuration given as a mapping."""

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from apidanalytics.access import tokens
from tests.harness import ROOT, wait_until

FILE = "ab12_20260102030405.20260102030605_node-1_writer_7.txt.gz"
PATH = f"date=2026-01-02/time=03-04/{FILE}"
GZIP = "application/x-gzip"


def path_of(n: int) -> str:
    return PATH.replace("writer_7", f"writer_{n}")


def command(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``apidanalytics collection ...`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "apidanalytics", "collection", *arguments],
        cwd=cwd,
        env=variables(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_token(name: str, *tenants: str) -> tuple[str, dict[str, Any]]:
    """Return a token and its entry for the file, as ``apidanalytics collection token`` prints them."""
    token = tokens.make_token()
    return token, {"name": name, "hash": tokens.hash_token(token), "tenants": list(tenants)}


def variables(more: dict[str, str] | None) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("APID_", "AWS_", "NOTIFY_"))}
    return {**own, "PYTHONPATH": str(ROOT / "src"), **(more or {})}


class CollectionProcess:
    """One service; ``with`` ends it however it is."""

    def __init__(self, directory: Path, configuration: dict[str, Any], environment: dict[str, str] | None = None):
        self.directory = directory
        self.config = directory / "collection.yaml"
        self.audit_log = directory / "collection-audit.log"
        self._log = directory / "service.log"
        self._environment = environment
        self.configuration = configuration
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def write(self) -> None:
        part = self.config.with_name("part")
        part.write_text(json.dumps(self.configuration))
        part.rename(self.config)

    def start(self) -> None:
        self.write()
        seen = self.log().count("collection.ready")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "apidanalytics", "collection", "--config", str(self.config)],
                cwd=self.directory,
                env=variables(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_log("collection.ready", seen + 1)

    def wait_log(self, event: str, count: int = 1) -> None:
        def is_there() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
            return self.log().count(f'"{event}"') >= count

        wait_until(is_there, what=f"{event} is logged {count} times")

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    @property
    def url(self) -> str:
        return re.findall(r'"url": "(https?://[^"]+)"', self.log())[-1]

    def ask(self, token: str | None, *, tls: ssl.SSLContext | None = None, **parameters: str | None):
        """Ask for a URL; return (status, document, headers)."""
        asked = {"tenant": "acme~prod", "relative_file_path": PATH, "file_content_type": GZIP} | parameters
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        parts = urlsplit(self.url)
        with contextlib.closing(connection(parts.hostname, parts.port, tls)) as http_connection:
            http_connection.request(
                "GET", f"{self.configuration.get('base_path', '')}/analytics?{query}", headers=headers
            )
            answer = http_connection.getresponse()
            return answer.status, json.loads(answer.read()), dict(answer.headers)

    def entries(self) -> list[dict[str, Any]]:
        files = [*sorted(self.directory.glob("collection-audit.log.*")), self.audit_log]
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def connection(host: str, port: int, tls: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
    if tls is None:
        return http.client.HTTPConnection(host, port, timeout=60)
    return http.client.HTTPSConnection(host, port, timeout=60, context=tls)


def put(document: dict[str, Any], body: bytes) -> int:
    """PUT to the URL of an answer, with its headers."""
    parts = urlsplit(document["url"])
    with contextlib.closing(connection(parts.hostname, parts.port)) as http_connection:
        http_connection.request("PUT", f"{parts.path}?{parts.query}", body=body, headers=document["headers"])
        answer = http_connection.getresponse()
        answer.read()
        return answer.status
