from pathlib import Path

import pytest

from apidanalytics import config, layout
from apidanalytics.config import SETTINGS
from apidanalytics.errors import ConfigurationError

KEY = "apidanalytics_upload_interval"
VARIABLE = "APID_APIDANALYTICS_UPLOAD_INTERVAL"


def test_what_is_not_given_has_its_default(load):
    settings = load()
    for row in SETTINGS:
        if not row.required:
            assert getattr(settings, row.attribute) == row.default
            assert settings.origins[row.key] == "default"


def test_the_defaults_are_those_of_the_contract(load):
    settings = load()
    assert settings.base_path == "/analytics"
    assert settings.data_path == "/ax"
    assert settings.collection_interval == 120
    assert settings.upload_interval == 5
    assert settings.use_caching is True
    assert settings.buffer_channel_size == 100
    assert settings.max_inflight_bytes == 32 * 1024 * 1024
    assert settings.cache_refresh_interval == 1800
    assert settings.api_listen == "127.0.0.1:9000"
    assert settings.log_level == "info"
    assert settings.max_body_bytes == 16 * 1024 * 1024
    assert settings.max_payload_bytes == 128 * 1024 * 1024
    assert settings.max_batch_records == 50_000
    assert settings.overload_wait == 10
    assert settings.overload_status == 503
    assert settings.request_timeout == 30
    assert settings.validation == "basic"
    assert settings.tenant_fields == "keep"
    assert settings.developer_info is True
    assert settings.durability == "disk"
    assert settings.max_file_bytes == 512 * 1024 * 1024
    assert settings.ledger_retention == 7 * 86400
    assert settings.shutdown_timeout == 30
    assert settings.upload_attempts == 3


def test_the_data_directory_lies_below_the_storage_path(load):
    assert load().data == layout.DataDirectory(Path("/var/apid/ax"))
    assert load(environ={"APID_APIDANALYTICS_DATA_PATH": "a/b/"}).data.root == Path("/var/apid/a/b")


# -- precedence


def test_the_file_beats_the_default(load):
    settings = load(f"{KEY}: 6")
    assert settings.upload_interval == 6
    assert settings.origins[KEY] == "file apid_config.yaml"


def test_the_environment_beats_the_file(load):
    settings = load(f"{KEY}: 6", environ={VARIABLE: "7"})
    assert settings.upload_interval == 7
    assert settings.origins[KEY] == f"environment {VARIABLE}"


def test_the_command_line_beats_the_environment(load):
    settings = load(f"{KEY}: 6", environ={VARIABLE: "7"}, overrides={KEY: 8})
    assert settings.upload_interval == 8
    assert settings.origins[KEY] == "command line"


def test_only_the_value_that_counts_has_to_be_right(load):
    assert load(f"{KEY}: soon", environ={VARIABLE: "later"}, overrides={KEY: "8s"}).upload_interval == 8


# -- files


def test_the_file_of_the_environment_is_read_instead_of_the_default_one(load, tmp_path):
    (tmp_path / "other.yaml").write_text(f"{KEY}: 9")
    settings = load(f"{KEY}: 6", environ={"APID_CONFIG_FILE": str(tmp_path / "other.yaml")})
    assert settings.upload_interval == 9
    assert settings.origins[KEY] == f"file {tmp_path / 'other.yaml'}"


def test_the_file_of_the_command_line_is_read_instead_of_all_others(load, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"{KEY}: 10")
    (tmp_path / "other.yaml").write_text(f"{KEY}: 9")
    settings = load(f"{KEY}: 6", environ={"APID_CONFIG_FILE": "other.yaml"}, config_file=Path("mine.yaml"))
    assert settings.upload_interval == 10


def test_the_default_file_may_be_missing(load):
    assert load().upload_interval == 5


def test_an_empty_name_of_a_file_counts_as_none(load):
    assert load(f"{KEY}: 6", environ={"APID_CONFIG_FILE": ""}).upload_interval == 6


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_file_that_was_named_must_be_there(problems, by):
    named = {"config_file": Path("gone.yaml")} if by == "argument" else {"environ": {"APID_CONFIG_FILE": "gone.yaml"}}
    assert problems(f"{KEY}: 6", **named) == ["config file gone.yaml: cannot be read: No such file or directory"]


def test_a_directory_is_no_file(problems, tmp_path):
    assert problems(config_file=tmp_path) == [f"config file {tmp_path}: cannot be read: Is a directory"]


# -- environment


def test_small_letters_in_the_environment_win_as_in_the_original(load):
    settings = load(environ={VARIABLE: "7", VARIABLE.lower(): "8", VARIABLE.title(): "9"})
    assert settings.upload_interval == 8


@pytest.mark.parametrize("empty", ["", " ", "\t\n"])
def test_an_empty_variable_counts_as_not_given(load, empty):
    settings = load(f"{KEY}: 6", environ={VARIABLE: empty, "APID_APIDANALYTICS_NO_SUCH": empty})
    assert settings.upload_interval == 6


def test_variables_of_others_are_ignored(load):
    load(environ={"APID_EVENTS_BUFFER_SIZE": "many", "APIDANALYTICS_FAILPOINTS": "", "PATH": "/bin"})


# -- command line


def test_an_option_that_is_not_given_is_none(load):
    settings = load(
        f"{KEY}: 6", overrides={KEY: None, "local_storage_path": Path("/srv"), "apidanalytics_encrypt": True}
    )
    assert settings.upload_interval == 6
    assert settings.local_storage_path == Path("/srv")
    assert settings.encrypt is True


def test_an_option_without_a_setting_is_a_problem(problems):
    (problem,) = problems(overrides={"api_listn": "127.0.0.1:1"})
    assert problem == "api_listn: there is no such setting (command line); the nearest is api_listen"


# -- required


@pytest.mark.parametrize("yaml", [None, "", "local_storage_path:\napidanalytics_uap_server_base: ''"])
def test_required_settings_are_asked_for_in_the_words_of_the_original(problems, yaml):
    assert problems(yaml, enough=False)[:2] == [
        "Missing required config value: local_storage_path",
        "Missing required config value: apidanalytics_uap_server_base",
    ]


def test_embedded_needs_nothing(load):
    settings = load(enough=False, embedded=True)
    assert settings.local_storage_path == Path("data")
    assert settings.uap_server_base == ""
    assert settings.scopes_file is None
    assert settings.origins["local_storage_path"] == "embedded default"
    assert settings.origins["apidanalytics_uap_server_base"] == "embedded default"


def test_embedded_takes_what_is_given(load):
    settings = load(embedded=True)
    assert settings.local_storage_path == Path("/var/apid")
    assert settings.uap_server_base == "https://collect.example"


# -- unknown keys


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("apidanalytics_colection_interval", "apidanalytics_collection_interval"),
        ("apidanalytics_worker", "apidanalytics_workers"),
        ("apidanalytics_local_storage_path", "local_storage_path"),
        ("apidanalytics_log_level", "log_level"),
    ],
)
def test_an_unknown_key_of_ours_is_a_problem_and_the_nearest_is_named(problems, key, nearest):
    assert problems(f"other: 1\n{key}: hidden") == [
        f"{key}: there is no such setting (file apid_config.yaml, line 2); the nearest is {nearest}"
    ]
    variable = f"APID_{key.upper()}"
    Path("apid_config.yaml").unlink()
    assert problems(environ={variable: "hidden"}) == [
        f"{key}: there is no such setting (environment {variable}); the nearest is {nearest}"
    ]


def test_unknown_keys_of_others_are_ignored(load):
    load("apigeesync_cluster_id: 1\nlog_levels: 2\nanalytics: {a: [b]}\n? [odd]\n: 1\n17: 4\n")


# -- all at once


def test_all_problems_are_reported_at_once(problems):
    found = problems(
        "apidanalytics_workers: many\napidanalytics_nothing: 1\napi_tls_cert: /no/cert",
        environ={"APID_API_LISTEN": "here", "APID_APIGEESYNC_BEARER_TOKEN": "t", "APID_LOCAL_STORAGE_PATH": ""},
        overrides={"apigeesync_bearer_token_file": "/token"},
    )
    assert sorted(problem.split(":")[0] for problem in found) == [
        "Missing required config value",
        "api_listen",
        "api_tls_cert",
        "api_tls_cert",
        "apidanalytics_nothing",
        "apidanalytics_workers",
        "apigeesync_bearer_token",
    ]


def test_a_problem_names_key_value_what_would_be_right_and_the_place(problems):
    assert problems("# settings\napidanalytics_overload_status: 501") == [
        "apidanalytics_overload_status: '501' should be 503 or 500 (file apid_config.yaml, line 2)"
    ]


def test_a_long_value_is_cut(problems):
    (problem,) = problems(overrides={"api_listen": 1000 * "x"})
    assert len(problem) < 400


def test_that_no_file_was_read_is_said_where_a_required_value_is_missing(problems):
    *missing, no_file = problems(enough=False)
    assert len(missing) == 2
    named = f"neither {Path.cwd()}/apid_config.yaml nor one named by APID_CONFIG_FILE or --config"
    assert no_file == f"config file: there is none, {named}"
    assert len(problems("log_level: info", enough=False)) == 2


def test_a_service_is_found_by_spoiled_settings_that_still_say_where_its_directory_is(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(
        f"local_storage_path: {tmp_path}\nlog_level: loud\napidanalytics_wokers: 1\napi_listen: '[::1]:1'\n"
    )
    settings, problems = config.load_leniently(config_file=file, environ={})
    assert (settings.local_storage_path, settings.log_level, settings.api_listen) == (tmp_path, "info", "[::1]:1")
    assert [problem.partition(":")[0] for problem in problems] == ["apidanalytics_wokers", "log_level"]


@pytest.mark.parametrize(
    "text",
    [
        "local_storage_path: [",
        "- a list",
        "local_storage_path: [a, b]",
        "apidanalytics_data_path: ../x",
        "local_storage_path: /x\napidanalytics_data_pth: y",
        "local_storage_pth: /x",
    ],
)
def test_settings_that_leave_open_where_the_directory_is_are_refused(tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        config.load_leniently(config_file=file, environ={"APID_LOG_LEVEL": "info"})
