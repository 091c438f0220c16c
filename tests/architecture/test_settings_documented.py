"""docs/settings.md and the table of settings say the same."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from apidanalytics import config
from apidanalytics.config import SETTINGS, Setting

DOCS = Path(__file__).parents[2] / "docs/settings.md"
TEXT = DOCS.read_text()


@dataclass(frozen=True)
class Row:
    key: str
    type: str
    default: str
    what: str
    when: str


def rows() -> list[Row]:
    """Return the rows of all tables that begin with a key."""
    lines = [line for line in TEXT.splitlines() if re.match(r"\| `[a-z_]+` \|", line)]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(key.strip("`"), *rest) for key, *rest in cells]


def default_of(setting: Setting) -> str:
    if setting.required:
        return "required"
    return "not set" if setting.default is None else f"`{setting.show(setting.default)}`"


def type_of(setting: Setting) -> str:
    kind = setting.kind
    return f"{kind.name} of {kind.unit}" if kind.name == "number" and kind.unit else kind.name


def test_the_docs_list_every_setting_once_in_the_order_of_the_table():
    assert [row.key for row in rows()] == [setting.key for setting in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_the_docs_have_type_default_meaning_and_advice_of_every_setting(setting):
    (row,) = [row for row in rows() if row.key == setting.key]
    assert row.type == type_of(setting)
    assert row.default == default_of(setting)
    assert row.what.endswith(".")
    assert row.when.endswith(".")
    assert ("secret" in row.what) is setting.secret


@pytest.mark.parametrize("setting", [one for one in SETTINGS if one.embedded], ids=lambda setting: setting.key)
def test_the_docs_have_the_defaults_of_embedded(setting):
    (row,) = [row for row in rows() if row.key == setting.key]
    assert f"With `--embedded` the default is `{setting.show(setting.embedded)}`." in row.what


def test_every_key_that_the_docs_name_exists():
    known = {setting.key for setting in SETTINGS}
    for key in re.findall(r"`((?:apidanalytics|apigeesync|configfwdproxy)_[a-z_]+)`", TEXT):
        assert key in known
    for variable in re.findall(r"APID_([A-Z_]+)", TEXT):
        assert variable.lower() in known | {"config_file"}


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))
def test_the_examples_of_the_docs_are_right(example, tmp_path):
    path = tmp_path / "apid_config.yaml"
    path.write_text(example)
    settings = config.load(config_file=path, environ={})
    given = {key for key, origin in settings.origins.items() if origin.startswith("file")}
    assert given == set(re.findall(r"^([a-z_]+):", example, re.MULTILINE))


def test_the_example_of_the_environment_is_right(tmp_path):
    (line,) = re.findall(r"```sh\n(APID_.*)\n```", TEXT)
    environ = dict(re.findall(r"(APID_[A-Z_]+)=(\S+)", line))
    path = tmp_path / "apid_config.yaml"
    path.write_text("apidanalytics_uap_server_base: https://collect.example.com")
    settings = config.load(config_file=path, environ=environ)
    assert {origin for origin in settings.origins.values() if "environment" in origin} == {
        f"environment {name}" for name in environ
    }
