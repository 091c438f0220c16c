"""The command line and the service as their user meets them."""

import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from contextlib import closing

import pytest

from apidanalytics import __version__
from tests.harness import ROOT, ServiceProcess, wait_until

GOOD = {"client_received_start_timestamp": 1_700_000_000_000, "client_id": "testapikey"}
ADDED = {
    "organization": "testorg",
    "environment": "testenv",
    "api_product": "testproduct",
    "developer_app": "testapp",
    "developer_email": "testdeveloper@test.com",
    "developer": "testdeveloper",
}
SCOPES = """
scopes:
  - {id: s1, org: acme, env: prod, tenant_id: t1}
"""


def command(*arguments, directory, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}
    return subprocess.run(
        [sys.executable, "-m", "apidanalytics", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_is_printed(tmp_path):
    assert command("--version", directory=tmp_path).stdout.strip() == f"apidanalytics {__version__}"


def test_an_agent_whose_lock_somebody_removed_still_owns_its_directory(tmp_path):
    (tmp_path / "ax").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(str(tmp_path / "ax" / "control.sock"))
        agent.listen()
        result = command("run", "--embedded", directory=tmp_path, APID_LOCAL_STORAGE_PATH=str(tmp_path))
    assert result.returncode == 3
    assert "in use: is its lock's file another one than it was?" in result.stderr
    assert (tmp_path / "ax" / "control.sock").is_socket()


def test_every_problem_of_the_configuration_is_reported_at_once_with_exit_code_2(tmp_path):
    (tmp_path / "apid_config.yaml").write_text("apidanalytics_colection_interval: 5\napidanalytics_workers: many\n")
    result = command("run", directory=tmp_path)
    assert result.returncode == 2
    assert "Missing required config value: local_storage_path" in result.stderr
    assert "Missing required config value: apidanalytics_uap_server_base" in result.stderr
    assert "apidanalytics_collection_interval" in result.stderr
    assert "apidanalytics_workers" in result.stderr


def test_check_config_names_origins_and_masks_secrets(tmp_path):
    (tmp_path / "apid_config.yaml").write_text("apigeesync_bearer_token: hush-hush\nlocal_storage_path: /nowhere\n")
    variables = {"APID_APIDANALYTICS_UAP_SERVER_BASE": "http://127.0.0.1:1"}
    text = command("check-config", directory=tmp_path, **variables, COLUMNS="200").stdout
    assert re.search(r"apidanalytics_uap_server_base\s+http://127.0.0.1:1\s+environment", text)
    assert re.search(r"local_storage_path\s+/nowhere\s+file", text)
    machine = command("check-config", "--json", directory=tmp_path, **variables).stdout
    assert json.loads(machine)["local_storage_path"]["value"] == "/nowhere"
    assert "hush-hush" not in text + machine


def test_status_of_a_service_that_is_not_there_says_so_with_exit_code_4(tmp_path):
    (tmp_path / "data/ax").mkdir(parents=True)
    result = command("status", "--json", directory=tmp_path)
    assert result.returncode == 4
    assert "no agent answers" in result.stderr
    assert json.loads(result.stdout)["state"] == "stopped"


def test_a_taken_address_stops_the_start_with_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("run", "--embedded", directory=tmp_path, APID_API_LISTEN=f"127.0.0.1:{port}")
    assert result.returncode == 1
    assert (
        f"Cannot start: cannot listen on 127.0.0.1:{port}: Address already in use. `apidanalytics doctor`"
        in result.stderr
    )
    assert "Traceback" not in result.stderr


def test_the_embedded_default_takes_the_first_batch_all_the_way_and_shows_it(start_service):
    service = start_service(apidanalytics_collection_interval=1)
    assert service.post("testid", [GOOD]) == (200, b"")
    service.wait_delivered(1)
    (line,) = service.lake()["testorg~testenv"]
    assert json.loads(line) == {**GOOD, **ADDED}
    text = service.command("status").stdout
    assert "testorg~testenv" in text
    assert "ready" in text
    assert service.terminate() == 0


def test_a_stopped_service_still_tells_where_the_records_are(start_service):
    service = start_service(apidanalytics_collection_interval=1)
    service.post("testid", [GOOD, GOOD])
    service.wait_delivered(2)
    service.terminate()
    result = service.command("status", "--json")
    assert result.returncode == 4
    status = json.loads(result.stdout)
    assert status["tenants"]["testorg~testenv"]["uploaded"]["records"] == 2


JSON_HEADERS = {"Content-Type": "application/json"}


def takes_a_batch(connection: http.client.HTTPConnection) -> bool:
    """Post a batch on a new connection, and tell whether it is accepted; not so while nobody listens."""
    with closing(connection):
        try:
            connection.request("POST", "/analytics/testid", json.dumps({"records": [GOOD]}), JSON_HEADERS)
            return connection.getresponse().status == 200
        except OSError:
            return False


def test_a_unix_socket_serves_as_the_address(start_service, data_directory):
    path = data_directory / "api.sock"
    service = start_service(api_listen=f"unix:{path}", ready=False)
    wait_until(path.exists, what="the socket is there")

    class UnixConnection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(path))

    wait_until(lambda: takes_a_batch(UnixConnection("localhost")), what="a batch is accepted")
    assert service.terminate() == 0
    assert not path.exists()


def test_tls_serves_with_the_configured_certificate(start_service, tmp_path, require_tool):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    service = start_service(api_tls_cert=certificate, api_tls_key=key, ready=False)
    context = ssl.create_default_context(cafile=certificate)
    host, _, port = service.settings["api_listen"].rpartition(":")

    def connection():
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=60)

    wait_until(lambda: takes_a_batch(connection()), what="a batch is accepted over TLS")
    assert service.status()["api"].startswith("https://")


def test_a_scope_that_is_added_or_removed_counts_within_seconds(start_service, tmp_path):
    path = tmp_path / "scopes.yaml"
    path.write_text(SCOPES)
    service = start_service(apidanalytics_scopes_file=path)
    assert service.post("s1", [GOOD])[0] == 200
    assert service.post("s2", [GOOD])[0] == 400
    path.write_text(SCOPES.replace("s1", "s2"))
    wait_until(lambda: service.post("s2", [GOOD])[0] == 200, timeout_seconds=30, what="the new scope counts")
    wait_until(lambda: service.post("s1", [GOOD])[0] == 400, timeout_seconds=30, what="the old scope is gone")


def test_what_a_scope_was_acknowledged_for_is_delivered_though_it_went_while_the_service_was_down(
    start_service, tmp_path
):
    path = tmp_path / "scopes.yaml"
    path.write_text(SCOPES)
    service = start_service(apidanalytics_scopes_file=path)
    assert service.post("s1", [GOOD])[0] == 200
    service.kill_all()
    path.write_text(SCOPES.replace("s1", "s2").replace("org: ", "org: other-"))
    service.start()
    service.wait_delivered(1)
    assert [len(records) for records in service.lake().values()] == [1]


def test_a_broken_scopes_file_keeps_the_last_good_one_and_says_so(start_service, tmp_path):
    path = tmp_path / "scopes.yaml"
    path.write_text(SCOPES)
    service = start_service(apidanalytics_scopes_file=path)
    path.write_text("scopes: [{id: s9")
    wait_until(lambda: "scopes.source" in service.log(), what="the log names the broken file")
    assert service.post("s1", [GOOD])[0] == 200
    path.write_text(SCOPES.replace("s1", "s3"))
    wait_until(lambda: service.post("s3", [GOOD])[0] == 200, timeout_seconds=30, what="the mended file counts")


@pytest.mark.parametrize("caching", [True, False])
def test_a_database_as_apid_makes_it_serves_as_scope_data(start_service, tmp_path, caching):
    path = tmp_path / "apid.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            """
            CREATE TABLE edgex_data_scope (id text, scope text, org text, env text, primary key (id));
            CREATE TABLE kms_app_credential_apiproduct_mapper (
                tenant_id text, appcred_id text, app_id text, apiprdt_id text);
            CREATE TABLE kms_app (id text, tenant_id text, name text, developer_id text);
            CREATE TABLE kms_api_product (id text, tenant_id text, name text);
            CREATE TABLE kms_developer (id text, tenant_id text, username text, email text);
            INSERT INTO edgex_data_scope VALUES ('sx', 'tx', 'testorg', 'testenv');
            INSERT INTO kms_app_credential_apiproduct_mapper VALUES ('tx', 'testapikey', 'a', 'p');
            INSERT INTO kms_app VALUES ('a', 'tx', 'testapp', 'd');
            INSERT INTO kms_api_product VALUES ('p', 'tx', 'testproduct');
            INSERT INTO kms_developer VALUES ('d', 'tx', 'testdeveloper', 'testdeveloper@test.com');
            """
        )
    database.close()
    service = start_service(
        apidanalytics_scopes_database=path,
        apidanalytics_use_caching=caching,
        apidanalytics_collection_interval=1,
    )
    assert service.post("sx", [GOOD])[0] == 200
    service.wait_delivered(1)
    (line,) = service.lake()["testorg~testenv"]
    assert json.loads(line) == {**GOOD, **ADDED}


def test_the_instance_id_is_kept_and_stands_in_every_file_name(start_service):
    service = start_service(apidanalytics_collection_interval=1)
    for count in (1, 2):
        service.post("testid", [GOOD])
        service.wait_delivered(count)
        service.terminate()
        service.restart()
    kept = (service.directory / "instance_id").read_text().strip()
    names = [path.name for path in service.lake_files()]
    assert len(names) == 2
    assert all(f"_{kept}_writer_" in name for name in names)


def test_the_bucket_is_the_interval_of_arrival(start_service):
    service = start_service(apidanalytics_collection_interval=2)
    before = int(time.time())
    service.post("testid", [GOOD])
    after = int(time.time())
    service.wait_delivered(1)
    (path,) = service.lake_files()
    start = time.strftime("%Y%m%d%H%M%S", time.gmtime(before // 2 * 2))
    late = time.strftime("%Y%m%d%H%M%S", time.gmtime(after // 2 * 2))
    assert path.name.split("_")[1].split(".")[0] in {start, late}
    # The minute may end between the two looks at the clock, too.
    minutes = {time.strftime("time=%H-%M", time.gmtime(at // 2 * 2)) for at in (before, after)}
    assert path.parent.name in minutes
    with subprocess.Popen([shutil.which("gzip") or "gzip", "-t", path]) as check:
        assert check.wait(10) == 0


def test_no_secret_reaches_the_log(data_directory, free_port):
    settings = {
        "api_listen": f"127.0.0.1:{free_port()}",
        "local_storage_path": data_directory / "data",
        "apidanalytics_collection_interval": 1,
        "apigeesync_bearer_token": "very-secret-token",
        "log_level": "debug",
    }
    with ServiceProcess(settings) as service:
        service.start()
        service.post("testid", [{**GOOD, "access_token": "customer-token"}])
        service.wait_delivered(1)
        service.terminate()
        log = service.log()
    assert "very-secret-token" not in log
    assert "customer-token" not in log
    assert "signature=" not in log
