"""Which instance id this collector has."""

import uuid

from apidanalytics import config
from apidanalytics.service.identity import instance_id, known_instance_id


def settings(directory, **keys):
    return config.load(config_file=None, environ={}, overrides={"local_storage_path": directory, **keys}, embedded=True)


def test_a_configured_instance_id_is_the_one_and_nothing_is_made(tmp_path):
    configured = settings(tmp_path, apigeesync_apid_instance_id="gateway-7")
    assert known_instance_id(configured) == instance_id(configured) == "gateway-7"
    assert not any(tmp_path.iterdir())


def test_without_one_it_is_made_once_and_kept(tmp_path):
    assert known_instance_id(settings(tmp_path)) == ""
    made = instance_id(settings(tmp_path))
    assert str(uuid.UUID(made)) == made == instance_id(settings(tmp_path)) == known_instance_id(settings(tmp_path))
