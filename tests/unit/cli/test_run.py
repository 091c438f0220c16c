"""Which settings a program begins with that replaced another one in its process."""

import json
import os

import pytest

from apidanalytics import config
from apidanalytics.cli import run
from apidanalytics.control.handover import VARIABLE


@pytest.fixture
def launched(monkeypatch):
    """Return what the service was launched with, in place of running it."""
    launches = []
    monkeypatch.setattr(run, "run_agent", lambda launch, *_: launches.append(launch) or 0)
    return launches


def test_an_upgrade_into_another_data_directory_goes_on_with_the_settings_of_before(tmp_path, monkeypatch, launched):
    file = tmp_path / "apid_config.yaml"
    lines = f"local_storage_path: {tmp_path}\napidanalytics_uap_server_base: http://127.0.0.1:9\n"
    file.write_text(lines)
    before = config.load(config_file=file, environ={}, embedded=False)
    remembered = os.memfd_create("settings")  # whoever is left it closes it
    os.write(remembered, before.to_json())
    monkeypatch.setenv(VARIABLE, json.dumps({"settings": remembered}))
    file.write_text(f"{lines}apidanalytics_data_path: /elsewhere\n")  # since the new program was checked
    assert run.run(file, embedded=False) == 0
    (launch,) = launched
    assert launch.settings == before
    assert "apidanalytics_data_path: cannot change from /ax to /elsewhere" in str(launch.refused)
    assert VARIABLE not in os.environ
