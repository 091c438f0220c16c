"""The table, what is made of it, and how it is shown."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from apidanalytics.config import SETTINGS, Settings, effective

SECRETS = {
    "apigeesync_bearer_token": "hidden-token",
    "apigeesync_consumer_key": "hidden-key",
    "apigeesync_consumer_secret": "hidden-secret",
    "configfwdproxy_passwd": "hidden-password",
}
SYNC = {
    "apigeesync_proxy_server_base": "https://sync.example",
    "apigeesync_snapshot_server_base": "https://sync.example",
    "apigeesync_change_server_base": "https://sync.example",
    "apigeesync_cluster_id": "c1",
}
PROXY = {"configfwdproxy_url": "proxy.example", "configfwdproxy_port": "3128", "configfwdproxy_user": "me"}


def test_every_key_stands_once_in_the_table_and_is_an_attribute():
    keys = [row.key for row in SETTINGS]
    assert len(keys) == len(set(keys))
    settings = Settings(local_storage_path=Path("data"), uap_server_base="https://collect.example")
    for row in SETTINGS:
        assert row.key == row.key.lower()
        assert hasattr(settings, row.attribute), row.key
    assert {f"{name}" for name in Settings.__dataclass_fields__} == {row.attribute for row in SETTINGS} | {"origins"}


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.default is not None], ids=lambda row: row.key)
def test_a_default_is_a_value_that_could_be_given(row):
    assert row.kind.parse(row.kind.format(row.default)) == row.default


def test_every_setting_has_its_help_in_one_line():
    for row in SETTINGS:
        assert row.help
        assert "\n" not in row.help


def test_settings_come_back_from_json_as_they_were(load):
    settings = load(
        "apidanalytics_commit_linger: 300ms\napidanalytics_ca_bundle: /dev/null",
        overrides={**PROXY, **SYNC, **SECRETS},
    )
    assert Settings.from_json(settings.to_json()) == settings


def test_what_is_filled_in_later_goes_through_json_too(load):
    settings = replace(load(enough=False, embedded=True), uap_server_base="http://127.0.0.1:40000")
    assert Settings.from_json(settings.to_json()).uap_server_base == "http://127.0.0.1:40000"


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"local_storage_path": 1}'])
def test_other_json_is_refused(text):
    with pytest.raises(msgspec.MsgspecError):
        Settings.from_json(text)


def test_effective_settings_have_value_origin_and_help_in_the_order_of_the_table(load):
    shown = effective(load("apidanalytics_upload_interval: 90s", overrides={"apidanalytics_max_file_bytes": 2**30}))
    assert [line.key for line in shown] == [row.key for row in SETTINGS]
    assert all(len(line) == 4 for line in shown)
    lines = {key: (value, origin) for key, value, origin, _ in shown}
    assert lines["apidanalytics_upload_interval"] == ("90s", "file apid_config.yaml")
    assert lines["apidanalytics_max_file_bytes"] == ("1GiB", "command line")
    assert lines["local_storage_path"] == ("/var/apid", "environment APID_LOCAL_STORAGE_PATH")
    assert lines["apidanalytics_use_caching"] == ("true", "default")
    assert lines["apidanalytics_scopes_file"] == ("not set", "default")
    assert lines["apidanalytics_ledger_retention"] == ("7d", "default")


def test_what_embedded_fills_in_later_is_not_set_yet(load):
    lines = {key: (value, origin) for key, value, origin, _ in effective(load(enough=False, embedded=True))}
    assert lines["local_storage_path"] == ("data", "embedded default")
    assert lines["apidanalytics_uap_server_base"] == ("not set", "embedded default")


def test_settings_made_by_hand_have_default_origins():
    settings = Settings(local_storage_path=Path("data"), uap_server_base="https://collect.example")
    assert {line.origin for line in effective(settings)} == {"default"}


def test_no_secret_is_shown(load):
    settings = load(overrides={**PROXY, **SYNC, **SECRETS})
    lines = {line.key: line.value for line in effective(settings)}
    for key, secret in SECRETS.items():
        assert lines[key] == "***"
        assert secret not in repr(effective(settings))
        assert secret not in repr(settings)
        assert secret.encode() in settings.to_json()
