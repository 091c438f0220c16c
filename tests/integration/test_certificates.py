"""Certificates and keys that settings name: what is wrong with one is said by its key, and when it ends is known."""

import os
import ssl
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from apidanalytics import config
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.certificates import certificates, ends_at
from apidanalytics.service.files import check_files

NEW = ("req", "-x509", "-subj", "/CN=localhost")
NEW_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture(scope="module")
def files(tmp_path_factory, require_tool):
    """Return a directory of certificates: one, another one, one that has expired, and one whose key is encrypted,
    one whose key is short and of another kind."""
    directory = tmp_path_factory.mktemp("certificates")
    for name, options in {
        "one": ("-days", "5", "-nodes"),
        "other": ("-days", "300", "-nodes"),
        "locked": ("-days", "5", "-passout", "pass:secret"),
        "short": ("-days", "5", "-nodes", "-newkey", "rsa:1024"),
    }.items():
        made = ("-out", directory / f"{name}.pem", "-keyout", directory / f"{name}.key")
        kind = () if "-newkey" in options else NEW_EC
        subprocess.run([require_tool("openssl"), *NEW, *kind, *options, *made], check=True, capture_output=True)
    old = ("-in", directory / "one.pem", "-signkey", directory / "one.key", "-days", "0")
    renew = [require_tool("openssl"), "x509", *old, "-out", directory / "old.pem"]
    subprocess.run(renew, check=True, capture_output=True)
    (directory / "text").write_text("no PEM")
    return directory


@pytest.fixture
def settings(files):
    def make(**names):
        environ = {f"APID_{key.upper()}": str(files / name) for key, name in names.items()}
        return config.load(config_file=None, environ=environ, embedded=True)

    return make


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("one.pem", "other.key", "api_tls_key: {0}/other.key does not belong to api_tls_cert: {0}/one.pem"),
        ("one.pem", "short.key", "api_tls_key: {0}/short.key does not belong to api_tls_cert: {0}/one.pem"),
        ("short.pem", "short.key", "api_tls_cert: {0}/short.pem cannot be used with {0}/short.key: EE_KEY_TOO_SMALL"),
        ("one.pem", "text", "api_tls_key: {0}/text should hold a private key in PEM"),
        ("text", "one.key", "api_tls_cert: {0}/text should hold certificates in PEM"),
        ("locked.pem", "locked.key", "api_tls_key: {0}/locked.key is encrypted: store it without a pass phrase"),
    ],
)
def test_what_is_wrong_with_a_certificate_or_its_key_is_said_by_the_key_of_the_setting(
    files, settings, cert, key, said
):
    with pytest.raises(ConfigurationError) as raised:
        check_files(settings(api_tls_cert=cert, api_tls_key=key))
    assert raised.value.problems == [said.format(files)]


def test_every_wrong_file_is_said_at_once(settings):
    wrong = settings(
        api_tls_cert="one.pem",
        api_tls_key="one.key",
        apidanalytics_api_client_ca="text",
        apidanalytics_admin_tls_cert="text",
        apidanalytics_admin_tls_key="one.key",
        apidanalytics_ca_bundle="one.key",
    )
    with pytest.raises(ConfigurationError) as raised:
        check_files(wrong)
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "apidanalytics_admin_tls_cert",
        "apidanalytics_api_client_ca",
        "apidanalytics_ca_bundle",
    ]


def test_certificates_that_fit_are_taken_and_their_ends_known_also_of_an_expired_one(files, settings):
    good = settings(
        api_tls_cert="old.pem",
        api_tls_key="one.key",
        apidanalytics_admin_tls_cert="other.pem",
        apidanalytics_admin_tls_key="other.key",
        apidanalytics_ca_bundle="one.pem",
    )
    check_files(good)
    old, other = certificates(good)
    assert (old.address, old.is_for_batches) == ("api_listen", True)
    assert (other.address, other.is_for_batches) == ("apidanalytics_admin_listen", False)
    days = [(one.good_until - time.time()) / 86400 for one in (old, other)]
    assert days == pytest.approx([0, 300], abs=0.5)
    assert certificates(replace(good, api_tls_key=files / "other.key", admin_tls_cert=None)) == []


@pytest.mark.parametrize(("command", "code"), [(("run",), 1), (("check-config",), 2)])
def test_a_start_in_the_middle_of_a_renewal_is_tried_again(files, tmp_path, command, code):
    environ = {
        **os.environ,
        "APID_LOCAL_STORAGE_PATH": str(tmp_path),
        "APID_API_TLS_CERT": str(files / "one.pem"),
        "APID_API_TLS_KEY": str(files / "other.key"),
    }
    words = [sys.executable, "-m", "apidanalytics", *command, "--embedded"]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code  # with 2 systemd does not start it again
    assert f"api_tls_key: {files}/other.key does not belong to api_tls_cert" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_end_of_a_certificate_is_not_worth_a_question_at_the_terminal(files):
    with pytest.raises(OSError, match="store it without a pass phrase"):
        ends_at(files / "locked.pem", files / "locked.key")


def test_an_end_that_cannot_be_read_does_not_stop_a_start(settings, monkeypatch):
    def fail(_text):
        raise ValueError("no time")

    monkeypatch.setattr(ssl, "cert_time_to_seconds", fail)
    assert certificates(settings(api_tls_cert="one.pem", api_tls_key="one.key")) == []
