"""Tokens and client certificates at the data API, as a gateway and an operator see them."""

import contextlib
import http.client
import json
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from apidanalytics.access.tokens import hash_token
from tests.harness import ServiceProcess, wait_until

BODY = json.dumps({"records": [{"client_received_start_timestamp": 1_795_310_045_694}]})


def tokens_file(path, **tokens):
    """Write a file in which each token is for one pattern of tenants, and ``stays`` for the first tenant."""
    tokens["stays"] = "testorg~testenv"
    entries = [f"  - {{name: {one}, hash: '{hash_token(one)}', tenants: '{who}'}}\n" for one, who in tokens.items()]
    path.write_text("tokens:\n" + "".join(entries))


class Authority:
    """Signs certificates for servers and clients."""

    def __init__(self, openssl: str, directory: Path) -> None:
        self._openssl = openssl
        self._directory = directory
        self.certificate, self.key = self.make("ca", "basicConstraints=critical,CA:TRUE", signed=False)

    def make(self, name: str, extension: str, *, signed: bool = True) -> tuple[Path, Path]:
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
        signer = ["-CA", self.certificate, "-CAkey", self.key] if signed else []
        files = ["-keyout", key, "-out", certificate]
        command = [self._openssl, "req", "-x509", *curve, *signer, "-subj", f"/CN={name}", "-addext", extension, *files]
        subprocess.run(command, check=True, capture_output=True)
        return certificate, key


@pytest.fixture(scope="module")
def directory():
    with tempfile.TemporaryDirectory(prefix="apa-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def authority(directory, require_tool):
    return Authority(require_tool("openssl"), directory)


@pytest.fixture(scope="module")
def service(directory, authority, free_port):
    """A service that asks for both."""
    tokens_file(directory / "tokens.yaml", other="acme~*", first="*~*")
    certificate, key = authority.make("server", "subjectAltName=IP:127.0.0.1")
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": directory / "data",
        "api_tls_cert": certificate,
        "api_tls_key": key,
        "apidanalytics_api_client_ca": authority.certificate,
        "apidanalytics_api_client_names": "gateway-1, *.gw.example",
        "apidanalytics_api_tokens_file": directory / "tokens.yaml",
        "apidanalytics_workers": 2,
    }
    with ServiceProcess(settings) as service:
        service.start(ready=False)
        yield service


@pytest.fixture(scope="module")
def gateway(authority, service):
    context = context_of(authority, *authority.make("gateway", "subjectAltName=DNS:gateway-1"))

    def is_ready():
        with contextlib.suppress(OSError):
            return ask(service, context, "GET", "/ready")[0] == 200
        return False

    wait_until(is_ready, what="the service is ready")
    return context


def context_of(authority, certificate=None, key=None):
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def ask(service, context, method="POST", path="/analytics/testid", token=None, body=BODY):
    """Return (status, errorCode, WWW-Authenticate)."""
    host, _, port = service.settings["api_listen"].rpartition(":")
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body if method == "POST" else None, headers)
        response = connection.getresponse()
        body = response.read()
        code = json.loads(body).get("errorCode", "") if body else ""
        return response.status, code, response.getheader("WWW-Authenticate")


def test_a_token_is_asked_for_and_has_to_be_for_the_tenant(service, gateway):
    assert ask(service, gateway) == (401, "UNAUTHORIZED", 'Bearer realm="apidanalytics"')
    assert ask(service, gateway, token="wrong")[:2] == (401, "UNAUTHORIZED")
    assert ask(service, gateway, token="other")[:2] == (403, "TENANT_NOT_ALLOWED")
    assert ask(service, gateway, token="stays") == (200, "", None)
    assert ask(service, gateway, "GET", "/health") == (200, "", None)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_good_token_the_answer_does_not_depend_on_tenant_or_body(service, gateway, token):
    named = json.dumps({"organization": "testorg", "environment": "testenv", "records": []})
    asked = [
        ("/analytics/testid", BODY),
        ("/analytics/unknown", BODY),
        ("/analytics", named),
        ("/analytics/testid", "{"),
    ]
    answers = {ask(service, gateway, path=path, body=body, token=token) for path, body in asked}
    assert [answer[:2] for answer in answers] == [(401, "UNAUTHORIZED")]


def test_a_client_needs_a_certificate_of_the_authority(service, authority, gateway):
    with pytest.raises(OSError, match=r"certificate|reset|closed|EOF|pipe"):
        ask(service, context_of(authority), token="stays")
    self_signed = authority.make("gateway-1", "subjectAltName=DNS:gateway-1", signed=False)
    with pytest.raises(OSError, match=r"certificate|ALERT|CA|reset|closed|EOF|pipe"):
        ask(service, context_of(authority, *self_signed), token="stays")
    assert ask(service, gateway, token="stays")[0] == 200


def test_a_client_of_another_name_is_told_so_whatever_it_asks_for(service, authority, gateway):
    stranger = context_of(authority, *authority.make("stranger", "subjectAltName=DNS:stranger"))
    for method, path in (("POST", "/analytics/testid"), ("GET", "/health")):
        assert ask(service, stranger, method, path, "stays")[:2] == (403, "CLIENT_NOT_ALLOWED")
    friend = context_of(authority, *authority.make("friend", "subjectAltName=DNS:a.gw.example"))
    assert ask(service, friend, token="stays")[0] == 200


def test_tokens_change_with_their_file_and_a_broken_one_changes_nothing(service, directory, gateway):
    path = directory / "tokens.yaml"
    tokens_file(path, other="acme~*", first="*~*", second="*~*")  # both are good while clients move on
    wait_until(lambda: ask(service, gateway, token="second")[0] == 200, what="the new token is good")
    assert ask(service, gateway, token="first")[0] == 200
    tokens_file(path, other="acme~*", second="*~*")
    answers = lambda: {ask(service, gateway, token="first")[0] for _ in range(8)}  # noqa: E731 - of both workers
    wait_until(lambda: answers() == {401}, what="the old token is good no more")
    path.write_text("tokens: nonsense\n")
    wait_until(lambda: "tokens_stale" in findings(service), what="the status says so")
    assert ask(service, gateway, token="second")[0] == 200
    killed = service.kill_worker(0)
    wait_until(lambda: len({*service.worker_pids()} - {killed}) == 2, what="the worker is back")
    assert {ask(service, gateway, token="second")[0] for _ in range(8)} == {200}
    refused = service.command("check-config", "--embedded")
    assert refused.returncode == 2
    assert "apidanalytics_api_tokens_file: tokens: should be a list of mappings" in refused.stderr


def findings(service):
    return {finding["code"] for finding in service.status()["findings"]}


def test_no_token_is_in_the_log_or_the_status(service, gateway):
    ask(service, gateway, token="sesame-open-7319")
    assert "sesame" not in service.log() + json.dumps(service.status())
    assert hash_token("second") not in service.log() + json.dumps(service.status())


def test_a_made_token_works_with_its_entry(service, tmp_path):
    made = json.loads(service.command("token", "--name", "gw", "--scope", "testid", "--json").stdout)
    assert made["entry"] == {"name": "gw", "hash": hash_token(made["token"]), "scopes": ["testid"]}
    text = service.command("token", "--tenant", "acme~*").stdout
    (entry,) = text.split("tokens:\n")[1:]
    (tmp_path / "tokens.yaml").write_text("tokens:\n" + entry)
    checked = subprocess.run(
        [*service._command[:3], "check-config", "--embedded"],
        env={**service.variables(), "APID_APIDANALYTICS_API_TOKENS_FILE": str(tmp_path / "tokens.yaml")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert service.command("token", "--tenant", "acme").returncode == 2


def test_an_open_address_that_asks_for_nothing_is_warned_about(service, tmp_path):
    def check(**settings):
        own = {f"APID_{key.upper()}": str(value) for key, value in settings.items()}
        kept = {key: value for key, value in service.variables().items() if not key.startswith("APID_")}
        return subprocess.run(
            [*service._command[:3], "check-config", "--embedded"],
            env={**kept, **own},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stderr

    tokens_file(tmp_path / "tokens.yaml", one="*~*")
    assert check() == ""
    assert check(api_listen=":9000").startswith("Warning: The data API can be reached from other machines")
    with_tokens = check(api_listen=":9000", apidanalytics_api_tokens_file=tmp_path / "tokens.yaml")
    assert with_tokens.startswith("Warning: The bearer tokens of the data API travel in the clear")
