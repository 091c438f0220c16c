"""What must hold between settings."""

import pytest

from apidanalytics import config

PROXY = {"configfwdproxy_url": "proxy.example", "configfwdproxy_port": "3128"}


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "some.pem"
    path.write_text("-")
    return path


@pytest.mark.parametrize(("given", "missing"), [("api_tls_cert", "api_tls_key"), ("api_tls_key", "api_tls_cert")])
def test_certificate_and_key_go_together(problems, load, pem, given, missing):
    (problem,) = problems(overrides={given: pem})
    assert problem == f"{given}: {pem} (command line) needs {missing}: set both or neither"
    assert load(overrides={given: pem, missing: pem}).api_tls_cert == pem


@pytest.mark.parametrize("key", ["api_tls_cert", "api_tls_key", "apidanalytics_ca_bundle"])
def test_what_the_start_needs_must_be_readable(problems, pem, key):
    gone = pem.with_name("gone.pem")
    overrides = {"api_tls_cert": pem, "api_tls_key": pem, key: gone}
    assert problems(overrides=overrides) == [
        f"{key}: {gone} (command line) should be a file that can be read: No such file or directory"
    ]


def test_what_may_come_later_may_be_missing(load):
    load(overrides={"apigeesync_bearer_token_file": "/no/token", "apidanalytics_scopes_file": "/no/scopes.yaml"})


def test_scopes_come_from_one_place(problems):
    (problem,) = problems("apidanalytics_scopes_file: a.yaml", overrides={"apidanalytics_scopes_database": "b.db"})
    assert problem == (
        "apidanalytics_scopes_file: a.yaml (file apid_config.yaml) and apidanalytics_scopes_database: b.db "
        "(command line) exclude each other: set one of them"
    )


def test_no_place_for_scopes_is_fine(load):
    settings = load()
    assert settings.scopes_file is None
    assert settings.scopes_database is None


def test_the_token_comes_from_one_place(problems):
    (problem,) = problems(overrides={"apigeesync_bearer_token": "hidden", "apigeesync_bearer_token_file": "/run/token"})
    assert problem == (
        "apigeesync_bearer_token: *** (command line) and apigeesync_bearer_token_file: /run/token (command line) "
        "exclude each other: set one of them"
    )


@pytest.mark.parametrize("missing", sorted(PROXY))
def test_the_proxy_has_host_and_port(problems, missing):
    (problem,) = problems(overrides={**PROXY, missing: None})
    assert problem.endswith(f"needs {missing}: set both or neither")


def test_a_user_at_the_proxy_needs_the_proxy_and_a_password_the_user(problems, load):
    user, password = {"configfwdproxy_user": "me"}, {"configfwdproxy_passwd": "hidden"}
    (problem,) = problems(overrides=user)
    assert problem == "configfwdproxy_user: me (command line) needs configfwdproxy_url: set it too, or neither"
    (problem,) = problems(overrides={**PROXY, **password})
    assert problem == "configfwdproxy_passwd: *** (command line) needs configfwdproxy_user: set it too, or neither"
    assert load(overrides={**PROXY, **user, **password}).configfwdproxy_passwd == "hidden"


def test_an_unzipped_body_may_be_as_large_as_a_plain_one(problems):
    (problem,) = problems(overrides={"apidanalytics_max_body_bytes": "1GiB"})
    assert problem == (
        "apidanalytics_max_payload_bytes: 128MiB (default) should be at least "
        "apidanalytics_max_body_bytes: 1GiB (command line)"
    )


def test_a_rule_about_a_value_that_is_wrong_itself_says_nothing(problems, pem):
    (problem,) = problems(overrides={"configfwdproxy_url": "http://proxy", "configfwdproxy_port": "3128"})
    assert problem.startswith("configfwdproxy_url: 'http://proxy' should be ")


def test_a_hash_needs_a_key_and_a_name_an_authority(problems, pem):
    (problem,) = problems(overrides={"apidanalytics_mask": "client_id: hash"})
    assert problem == (
        "apidanalytics_mask: client_id: hash (command line) needs apidanalytics_mask_key_file for hash: set it too"
    )
    (problem,) = problems(overrides={"apidanalytics_api_client_names": "gw"})
    assert problem.endswith("needs apidanalytics_api_client_ca: set it too, or neither")
    (problem,) = problems(overrides={"apidanalytics_api_client_ca": pem})
    assert problem.endswith("needs api_tls_cert: set it too, or neither")


def test_a_list_or_a_mapping_of_yaml_is_taken_where_it_makes_sense(load, problems):
    settings = load("apidanalytics_mask:\n  a: drop\n  b: query\nlog_level: info")
    assert settings.mask == {"a": "drop", "b": "query"}
    for text in (
        "apidanalytics_mask: {a: [drop]}",
        "apidanalytics_mask: [a]",
        "log_level: [info]",
        "log_level: {a: b}",
    ):
        assert len(problems(text)) == 1, text


def test_a_file_that_may_come_later_is_a_warning_until_it_is_there(load, tmp_path):
    scopes, token = tmp_path / "scopes.yaml", tmp_path / "token"
    token.write_text("t")
    keys = {"apidanalytics_scopes_file": scopes, "apigeesync_bearer_token_file": token}
    (warning,) = config.not_there(load(overrides=keys))
    assert warning.startswith(
        f"apidanalytics_scopes_file: {scopes} cannot be read: No such file or directory. The service"
    )
    scopes.write_text("scopes: []")
    assert config.not_there(load(overrides=keys)) == []
