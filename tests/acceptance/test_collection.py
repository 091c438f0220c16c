"""``apidanalytics collection`` as its operator and its clients see it: a real process on loopback."""

import copy
import gzip
import http.client
import json
import signal
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apidanalytics.access.tokens import hash_token
from apidanalytics.cli.main import main
from apidanalytics.collection.settings import load
from tests.acceptance.collection_process import (
    GZIP,
    PATH,
    CollectionProcess,
    command,
    make_token,
    path_of,
    put,
)
from tests.harness import ROOT, wait_until

BODY = gzip.compress(b'{"n":1}\n')


@pytest.fixture(scope="module")
def tokens():
    """Return {name: (token, entry)}."""
    return {"acme": make_token("acme", "acme~*"), "all": make_token("all", "*~*")}


def configuration(tokens, **changes):
    return {
        "listen": "127.0.0.1:0",
        "log_format": "json",
        "stores": {
            "one": {"type": "local", "path": "one"},
            "two": {"type": "local", "path": "two", "create_only": True},
        },
        "tenants": [
            {"tenant": "acme~prod", "store": "one"},
            {"tenant": "acme~*", "store": "two", "prefix": "x/{env}", "expiry": "60s"},
            {"tenant": "globex~prod", "store": "one", "content_types": [GZIP, "application/json"]},
        ],
        "tokens": [entry for _, entry in tokens.values()],
    } | changes


@pytest.fixture(scope="module")
def service(tokens, tmp_path_factory):
    with CollectionProcess(tmp_path_factory.mktemp("collection"), configuration(tokens)) as service:
        yield service


@pytest.fixture(scope="module")
def acme(tokens):
    return tokens["acme"][0]


@pytest.fixture(scope="module")
def everyone(tokens):
    return tokens["all"][0]


# -- answers


def test_a_url_is_handed_out_noted_and_leads_to_the_tenants_place(service, acme):
    status, document, headers = service.ask(acme)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert document["headers"] == {"Content-Type": GZIP}
    assert put(document, BODY) == 200
    assert (service.directory / "one/acme~prod" / PATH).read_bytes() == BODY
    entry = service.entries()[-1]
    assert {name: entry[name] for name in ("token", "tenant", "store", "key", "content_type", "encrypt", "client")} == {
        "token": "acme",
        "tenant": "acme~prod",
        "store": "one",
        "key": f"acme~prod/{PATH}",
        "content_type": GZIP,
        "encrypt": False,
        "client": "127.0.0.1",
    }
    assert entry["at"] < entry["expires_at"]


def test_a_pattern_has_its_own_store_prefix_and_create_only(service, acme):
    _, document, _ = service.ask(acme, tenant="acme~dev", encrypt="true")
    assert document["headers"]["x-amz-server-side-encryption"] == "AES256"
    assert put(document, BODY) == 200
    assert put(document, BODY + BODY) == 412
    assert (service.directory / "two/x/dev" / PATH).read_bytes() == BODY


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"tenant": "globex~prod"}, 403, "this token is not for this tenant"),
        ({"tenant": "nobody~prod"}, 403, "this token is not for this tenant"),
        ({"tenant": "acme~..", "relative_file_path": PATH}, 400, "no object key can be made"),
        ({"tenant": "acme"}, 400, "tenant is not <org>~<env>"),
        ({"tenant": None}, 400, "tenant is required, once"),
        ({"relative_file_path": f"../{PATH}"}, 400, "relative_file_path"),
        ({"relative_file_path": PATH.replace("03-04/", "03-05/")}, 400, "date or time other than"),
        ({"file_content_type": "text/html"}, 400, f"file_content_type is not {GZIP}"),
        ({"file_content_type": "application/json"}, 400, f"file_content_type is not {GZIP}"),
        ({"encrypt": "maybe"}, 400, "encrypt is not true or false"),
    ],
)
def test_what_is_refused_is_told_why(service, acme, changes, status, reason):
    before = len(service.entries())
    answer = service.ask(acme, **changes)
    assert answer[0] == status
    assert reason in answer[1]["reason"]
    assert len(service.entries()) == before


def test_the_partition_of_the_later_original_is_fine(service, acme):
    assert service.ask(acme, relative_file_path=PATH.replace("03-04/", "03-04-05/"))[0] == 200


def test_an_unknown_tenant_is_not_found_by_a_token_that_may_ask_for_it(service, everyone):
    assert service.ask(everyone, tenant="nobody~prod")[:2] == (404, {"reason": "no such tenant"})
    assert service.ask(everyone, tenant="globex~prod", file_content_type="application/json")[0] == 200


@pytest.mark.parametrize("token", [None, "", "wrong", "apa_" + "x" * 43, "\xff"])
def test_without_a_good_token_nothing_is_told(service, token):
    status, document, headers = service.ask(token, tenant="nobody~x", relative_file_path="..")
    assert (status, document) == (401, {"reason": "bearer token missing or wrong"})
    assert headers["WWW-Authenticate"] == "Bearer"


def test_without_the_audit_log_no_url_is_handed_out(service, acme):
    aside = service.audit_log.with_name("aside")
    service.ask(acme)
    service.audit_log.rename(aside)
    service.audit_log.mkdir()
    status, document, headers = service.ask(acme)
    service.audit_log.rmdir()
    aside.rename(service.audit_log)
    assert (status, document, headers["Retry-After"]) == (503, {"reason": "the audit log cannot be written"}, "5")
    assert service.ask(acme)[0] == 200


def test_many_at_once_get_each_their_own_url_and_entry(service, everyone):
    before = len(service.entries())

    def ask(n):
        tenant = ("acme~prod", "acme~dev", "globex~prod")[n % 3]
        status, document, _ = service.ask(everyone, tenant=tenant, relative_file_path=path_of(n))
        place = {"acme~prod": "one/acme~prod", "acme~dev": "two/x/dev", "globex~prod": "one/globex~prod"}[tenant]
        assert status == 200
        assert f"/lake/{place}/" in document["url"]
        assert f"writer_{n}." in document["url"]
        return tenant, path_of(n)

    with ThreadPoolExecutor(16) as pool:
        asked = sorted(pool.map(ask, range(300)))
    noted = service.entries()[before:]
    assert sorted((entry["tenant"], entry["key"].partition("/date=")[2]) for entry in noted) == [
        (tenant, path.removeprefix("date=")) for tenant, path in asked
    ]


def test_no_secret_is_in_any_log(service, acme, everyone):
    _, document, _ = service.ask(acme)
    signature = document["url"].partition("signature=")[2]
    place = document["url"].removeprefix(service.url)
    for line in (f"PUT {place}\xff", f"GET / HTTP/1.1\r\nAuthorization: Bearer {acme}\0"):
        with socket.create_connection(service.url.removeprefix("http://").split(":"), timeout=60) as client:
            client.sendall(f"{line} HTTP/1.1\r\n\r\n".encode("latin-1"))
            assert client.recv(100).startswith(b"HTTP/1.0 400")
    written = service.log() + service.audit_log.read_text()
    for secret in (signature, acme, everyone):
        assert secret not in written


def test_anything_else_is_not_there(service):
    for method, path, status in [
        ("GET", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/", 404),
        ("POST", "/analytics", 405),
        ("PUT", "/lake/none/x", 404),
        ("PUT", "/lake/one/x", 403),
        ("GET", "/lake/one/x", 405),
    ]:
        host, _, port = service.url.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request(method, path)
        assert connection.getresponse().status == status, path
        connection.close()


# -- life


def test_a_reload_is_checked_first_and_takes_up_all_or_nothing(tokens, tmp_path, acme, everyone):
    first = configuration({"acme": tokens["acme"]})
    with CollectionProcess(tmp_path, first) as service:
        kept = service.ask(acme)[1]
        assert service.ask(everyone, tenant="globex~prod")[0] == 401

        service.configuration = configuration(tokens, rate_limit=1)
        service.write()
        service.wait_log("collection.reloaded")
        assert service.ask(everyone, tenant="globex~prod")[0] == 200
        answers = []
        wait_until(lambda: answers.append(service.ask(acme)) or answers[-1][0] != 200, pause_seconds=0, what="too many")
        status, document, headers = answers[-1]
        assert len(answers) > 2, "two are free"
        assert (status, document["reason"], headers["Retry-After"]) == (
            429,
            "more URLs than this token may ask for",
            "1",
        )

        service.configuration = copy.deepcopy(service.configuration) | {"tokens": [{"name": "x"}], "rate_limit": 0}
        service.write()
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("collection.reload_refused")
        assert "rate_limit: '0' should be" in service.log()
        assert "tokens[1].hash: is required" in service.log()
        assert service.ask(everyone, tenant="globex~prod")[0] == 200
        assert put(kept, BODY) == 200
        assert service.stop() == 0


def test_systemd_is_told_when_it_serves_reloads_and_stops(tokens, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with CollectionProcess(tmp_path, configuration(tokens), environment) as service:
            assert told.recv(1000).decode().splitlines()[0] == "READY=1"
            service.process.send_signal(signal.SIGHUP)
            assert told.recv(1000).decode().splitlines()[0] == "RELOADING=1"
            assert told.recv(1000).decode() == "READY=1"
            assert service.stop() == 0
            assert told.recv(1000).decode() == "STOPPING=1"


@pytest.fixture
def certificate(require_tool):
    def make(directory: Path, name: str) -> ssl.SSLContext:
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem"), "-set_serial", name]
        openssl = [require_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        subprocess.run([*openssl, "-nodes", "-days", "2", *subject, *files], check=True, capture_output=True)
        return ssl.create_default_context(cafile=str(directory / "cert.pem"))

    return make


def test_it_speaks_tls_and_takes_up_a_new_certificate(tokens, tmp_path, acme, certificate):
    first = certificate(tmp_path, "1")
    paths = {"tls_cert": "cert.pem", "tls_key": "key.pem", "base_path": "/edgex"}
    with CollectionProcess(tmp_path, configuration(tokens, **paths)) as service:
        assert service.url.startswith("https://")
        service.wait_log("collection.certificate_expires")
        status, document, _ = service.ask(acme, tls=first)
        assert status == 200
        assert document["url"].startswith(f"{service.url}/lake/one/")
        second = certificate(tmp_path, "2")
        service.wait_log("collection.reloaded")
        assert service.ask(acme, tls=second)[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            service.ask(acme, tls=first)
        (tmp_path / "key.pem").write_text("nonsense")
        service.wait_log("collection.reload_refused")
        assert f"tls_key: {tmp_path}/key.pem should hold a private key in PEM" in service.log()
        assert service.ask(acme, tls=second)[0] == 200


def test_a_restart_under_load_cuts_no_answer_and_every_url_stays_good(tokens, tmp_path, everyone, free_port):
    changes = {"listen": f"127.0.0.1:{free_port()}"}
    handed_out, put_there, wrong = [], [], []
    over = threading.Event()

    def client(number):
        for n in range(number * 100_000, (number + 1) * 100_000):
            if over.is_set():
                return
            try:
                status, document, _ = service.ask(everyone, relative_file_path=path_of(n))
            except ConnectionError:
                continue  # not served, and not half an answer
            if status != 200:
                wrong.append((status, document))
                continue
            handed_out.append((n, document))

    with CollectionProcess(tmp_path, configuration(tokens, **changes)) as service:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(handed_out) > 50, what="clients are served")
            assert service.stop() == 0
            service.start()
            before = len(handed_out)
            wait_until(lambda: len(handed_out) > before + 50, what="clients are served")
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert wrong == []
        for n, document in handed_out[:: max(1, len(handed_out) // 40)]:
            assert put(document, BODY) == 200
            put_there.append(n)
        noted = {entry["key"] for entry in service.entries()}
    assert {f"acme~prod/{path_of(n)}" for n, _ in handed_out} <= noted
    assert all((tmp_path / "one/acme~prod" / path_of(n)).read_bytes() == BODY for n in put_there)


def test_a_file_with_problems_ends_with_all_of_them_and_code_2(tmp_path):
    (tmp_path / "collection.yaml").write_text("listen: x\nstores: {a: {type: s3}}\ntenants: []\n")
    result = command("--config", str(tmp_path / "collection.yaml"), cwd=tmp_path)
    assert result.returncode == 2
    starts = [line.partition(":")[0] for line in result.stderr.splitlines()]
    assert starts == ["listen", "stores.a.bucket", "tenants", "tokens"]


def test_an_sdk_that_is_not_installed_is_named_with_what_to_install(tokens, tmp_path):
    hidden = tmp_path / "hidden/botocore"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('No module named botocore')")
    config = configuration(
        tokens, stores={"one": {"type": "s3", "bucket": "analytics"}, "two": {"type": "local", "path": "x"}}
    )
    service = CollectionProcess(tmp_path, config)
    service.write()
    path = {"PYTHONPATH": f"{hidden.parent}:{ROOT / 'src'}"}
    result = command("--config", str(service.config), "--check", cwd=tmp_path, environment=path)
    assert result.returncode == 2
    assert "stores.one: type s3 needs botocore, which is not installed" in result.stderr
    assert "pip install 'apidanalytics[s3]'" in result.stderr


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--check",), 2)], ids=["start", "check"])
def test_a_certificate_that_cannot_be_used_is_said_by_its_key_and_a_start_is_tried_again(
    tokens, tmp_path, certificate, arguments, code
):
    certificate(tmp_path, "1")
    (tmp_path / "other.key").write_text("no key")
    paths = {"tls_cert": "cert.pem", "tls_key": "other.key"}
    service = CollectionProcess(tmp_path, configuration(tokens, **paths))
    service.write()
    result = command("--config", str(service.config), *arguments, cwd=tmp_path)
    assert result.returncode == code  # with 2 systemd does not start it again
    assert f"tls_key: {tmp_path}/other.key should hold a private key in PEM" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_audit_log_that_cannot_be_written_is_said_and_a_start_is_tried_again(tokens, tmp_path):
    service = CollectionProcess(tmp_path, configuration(tokens, audit_log="nowhere/audit.log"))
    service.write()
    result = command("--config", str(service.config), cwd=tmp_path)
    assert result.returncode == 1
    assert "audit.log' cannot be written: No such file or directory" in result.stderr


def test_an_address_that_is_taken_is_said_with_code_1(tokens, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service = CollectionProcess(tmp_path, configuration(tokens, listen=f"127.0.0.1:{taken.getsockname()[1]}"))
        service.write()
        result = command("--config", str(service.config), cwd=tmp_path)
    assert result.returncode == 1
    assert "Cannot start: " in result.stderr
    assert "address already in use" in result.stderr.lower()


def test_a_token_is_shown_once_with_an_entry_that_is_good(tmp_path, capsys):
    assert main(["collection", "token", "--name", "gateway-1", "--tenant", "acme~*", "--tenant", "b~c"]) == 0
    shown = capsys.readouterr().out
    (token,) = [line for line in shown.splitlines() if line.startswith("apa_")]
    stores = "stores: {a: {type: local, path: x}}\ntenants: [{tenant: b~c, store: a}]\n"
    (tmp_path / "collection.yaml").write_text(stores + shown[shown.index("tokens:") :])
    (known,) = load(tmp_path / "collection.yaml").tokens
    assert (known.name, known.hash) == ("gateway-1", hash_token(token))
    assert [known.allows(tenant) for tenant in ("acme~prod", "b~c", "b~d")] == [True, True, False]


def test_a_token_for_machines_is_json(capsys):
    assert main(["collection", "token", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["entry"] == {"name": "collector", "hash": hash_token(made["token"]), "tenants": ["*~*"]}


def test_a_token_for_nonsense_is_not_made(capsys):
    assert main(["collection", "token", "--json", "--tenant", "nonsense"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--tenant: 'nonsense' should be <org>~<env>" in shown.err
