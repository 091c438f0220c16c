"""The YAML file: how it is read, and what is wrong with one."""

import pytest


def test_a_value_is_taken_as_it_is_written(load):
    settings = load(
        "apigeesync_apid_instance_id: 0123\n"
        "apigeesync_bearer_token: 1e5\n"
        "apidanalytics_workers: '3'\n"
        "apidanalytics_encrypt: yes\n"
        'log_level: "debug"\n'
        "local_storage_path: 2020-01-01\n",
        enough=False,
        environ={"APID_APIDANALYTICS_UAP_SERVER_BASE": "https://collect.example"},
    )
    assert settings.apigeesync_apid_instance_id == "0123"
    assert settings.apigeesync_bearer_token == "1e5"
    assert settings.workers == 3
    assert settings.encrypt is True
    assert settings.log_level == "debug"
    assert str(settings.local_storage_path) == "2020-01-01"


def test_keys_are_compared_without_case(load):
    assert load("ApidAnalytics_WORKERS: 3").workers == 3


@pytest.mark.parametrize("nothing", ["", "~", "null", "''", "' '", "# comment"])
def test_a_key_without_a_value_counts_as_not_given(load, nothing):
    assert load(f"apidanalytics_workers: {nothing}").workers == 0


@pytest.mark.parametrize("yaml", ["", "---", "# nothing yet\n", "{}"])
def test_an_empty_file_gives_nothing(load, yaml):
    assert load(yaml).workers == 0


def test_a_byte_order_mark_is_fine(load):
    assert load(b"\xef\xbb\xbfapidanalytics_workers: 3").workers == 3


def test_anchors_and_merge_keys_are_followed(load):
    settings = load(
        "base: &base {apidanalytics_workers: 3, log_level: debug}\n<<: *base\nlog_level: error\n"
        "apidanalytics_upload_attempts: &n 7\napidanalytics_upload_concurrency: *n\n"
    )
    assert settings.workers == 3
    assert settings.log_level == "error"
    assert settings.upload_concurrency == 7


@pytest.mark.parametrize("value", ["[1, 2]", "{a: 1}", "\n  - 1"])
def test_a_list_or_mapping_is_no_value(problems, value):
    (problem,) = problems(f"apidanalytics_workers: {value}")
    assert problem.startswith("apidanalytics_workers: should be a single value, a whole number from 0 to 256 (file ")


def test_a_key_given_twice_is_a_problem(problems):
    assert problems("api_listen: :1\nother: 1\nAPI_LISTEN: :2\n") == [
        "api_listen: is given twice (file apid_config.yaml, lines 1 and 3): keep one, capitals do not matter"
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: 1\nb: [1", "line 2: is not YAML: expected ',' or ']', but got '<stream end>'"),
        (b"a: 1\n\tb: 2", "line 2: is not YAML: found character '\\t' that cannot start any token"),
        (b"a: 1\n---\nb: 2", "line 2: is not YAML: but found another document"),
        (b"a: 1\nb: *nothing", "line 2: is not YAML: found undefined alias '…'"),
        (b"a: 1\nb: \0", "line 2: is not YAML: it holds a character that is not allowed"),
        (b"a: 1\nb: \xff", "line 2: is not UTF-8"),
        (b"# list\n- a\n- b", "line 2: should be a mapping of keys to values"),
        (b"text", "line 1: should be a mapping of keys to values"),
        (b'a: "\\UFFFFFFFF"', None),
        (b"a: " + 5000 * b"[", None),
    ],
)
def test_a_broken_file_is_one_problem_with_its_line(problems, content, problem):
    (found,) = problems(content)
    assert found.startswith("config file apid_config.yaml")
    if problem is not None:
        assert found == f"config file apid_config.yaml, {problem}"


@pytest.mark.parametrize(
    "yaml",
    [
        'apigeesync_bearer_token: "hidden',
        "apigeesync_bearer_token: *hidden",
        "apigeesync_bearer_token: !hidden [",
        "apigeesync_bearer_token: hidden: hidden",
        "apigeesync_bearer_token: @hidden",
        "apigeesync_bearer_token: {hidden",
        "apigeesync_bearer_token: hidden\n  hidden",
        "apigeesync_bearer_token: [hidden]",
        "apigeesync_bearer_token: &hidden &hidden x",
        "%TAG hidden\n--- apigeesync_bearer_token: !hidden!hidden x",
        "apidanalytics_bearer_token: hidden",
        "apidanalytics_uap_server_base: https://hidden:hidden@collect.example/?key=hidden",
        "configfwdproxy_url: hidden@proxy",
        "configfwdproxy_passwd: hidden",
        "configfwdproxy_passwd: hidden\xe4",
    ],
)
def test_no_secret_stands_in_a_problem(problems, yaml):
    environ = {"APID_LOCAL_STORAGE_PATH": "/var/apid"}
    for problem in problems(yaml, enough=False, environ=environ):
        assert "hidden" not in problem
