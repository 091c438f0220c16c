"""The example configuration is one that can be used, and what it shows as defaults are the defaults."""

import re
from pathlib import Path

import pytest
import yaml

from apidanalytics import config

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/apid_config.yaml"


def attribute(key: str) -> str:
    return key.removeprefix("apidanalytics_")


def is_example(key: str) -> bool:
    """Say whether it has no default, so that any value of it is an example."""
    return key.endswith(("_cert", "_key", "_database", "_token_file")) or key.startswith("configfwdproxy_")


def commented() -> dict[str, str]:
    return dict(re.findall(r"^# ([a-z_]+): (\S.*)$", EXAMPLE.read_text(), re.MULTILINE))


def test_the_example_is_valid():
    settings = config.load(config_file=EXAMPLE, environ={})
    assert settings.collection_interval == 120
    assert settings.durability == "disk"


@pytest.mark.parametrize("key", sorted(key for key in commented() if not is_example(key)))
def test_what_is_commented_out_shows_the_default(key, tmp_path):
    path = tmp_path / "config.yaml"
    required = {"local_storage_path": str(tmp_path), "apidanalytics_uap_server_base": "http://127.0.0.1:1"}
    path.write_text(yaml.safe_dump(required | {key: commented()[key]}))
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump(required))
    shown, default = (config.load(config_file=file, environ={}) for file in (path, plain))
    assert getattr(shown, attribute(key)) == getattr(default, attribute(key))
