"""Coming from the Go plugin, as docs/operations.md says: the same configuration file, the same directories."""

from pathlib import Path

from tests.harness import files_below, wait_until
from tests.unit.pack import gofiles

CONFIGURATION = """\
local_storage_path: /overridden/by/the/test
apidanalytics_base_path: /analytics
apidanalytics_data_path: /ax
apidanalytics_collection_interval: 120
apidanalytics_upload_interval: 5
apidanalytics_use_caching: true
apidanalytics_buffer_channel_size: 100
apidanalytics_cache_refresh_interval: 1800
log_level: info
events_buffer_size: 5
"""
TENANT = "testorg~testenv"


def bucket(place: Path, start: str, content: bytes, more: str = "") -> None:
    name = f"{TENANT}~{start}"
    end = str(int(start) + 200)
    file = f"5be1_{start}.{end}_{gofiles.INSTANCE}_writer_0{more.replace('~recoveredTS~', '_recovered_')}.txt.gz"
    place.mkdir(parents=True, exist_ok=True)
    gofiles.bucket(place, name + more, **{file: content})


def test_what_the_original_left_is_delivered_under_its_own_configuration_file(data_directory, start_service):
    ax = data_directory / "ax"
    whole, _ = gofiles.gzipped([[gofiles.record(n) for n in range(10)]])
    torn, _ = gofiles.gzipped([[gofiles.record(n) for n in range(20)]], closed=False)
    bucket(ax / "staging", "20170120102400", whole)
    bucket(ax / "failed", "20170120102600", whole)
    bucket(ax / "tmp", "20170120102800", torn)
    bucket(ax / "recovered", "20170120103000", torn, more=f"~recoveredTS~{gofiles.RECOVERED_AT}")
    (data_directory / "apid_config.yaml").write_text(CONFIGURATION)

    service = start_service(apidanalytics_workers=1)
    wait_until(lambda: len(service.lake().get(TENANT, [])) == 60, what="all its records are in the lake")
    service.wait_delivered(60)
    places = ("staging", "failed", "tmp", "recovered")
    assert [path for name in places for path in files_below(ax / name) if path.suffix == ".gz"] == []
    assert service.command("audit").returncode == 0
