"""What somebody planted in the data directory: links are not followed out of it, and nothing stops the service."""

import gzip
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.harness import wait_until

START = "20261124120000"
END = "20261124120200"
BUCKET = f"testorg~testenv~{START}"
FILE = f"abcd_{START}.{END}_other_writer_0.txt.gz"
OUTSIDE = b'{"client_received_start_timestamp":1,"secret":"OUTSIDE"}\n'
GOOD = {"client_received_start_timestamp": 1_795_310_045_694, "client_id": "testapikey"}


@pytest.fixture
def outside(tmp_path):
    """A tree beside the data directory, with files that would be worth reading or spoiling."""
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / FILE).write_bytes(gzip.compress(OUTSIDE, mtime=0))
    (tmp_path / "file").write_bytes(OUTSIDE)
    (tmp_path / "empty").mkdir()
    return tmp_path


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def plant(data, outside):
    for place in ("tmp", "sealed", "recovered", "staging", "failed", "damaged"):
        (data / place).mkdir(parents=True)
    for number, place in enumerate(("tmp", "sealed", "recovered")):
        mark = "~recoveredTS~20261124120000.000" if place == "recovered" else ""
        (data / place / f"00000000000{number}{mark}.spool").symlink_to(outside / "file")
        (data / place / f"00000000001{number}{mark}.spool").mkdir()
        os.mkfifo(data / place / f"00000000002{number}{mark}.spool")
        (data / place / BUCKET).symlink_to(outside / "bucket")
    (data / "tmp" / "000000000031.spool.new").symlink_to(outside / "file")
    (data / "tmp" / "some.part").symlink_to(outside / "file")
    (data / "tmp" / "dangling.part").symlink_to(outside / "new")
    for place, tenant in (("staging", "testorg"), ("failed", "other")):
        (data / place / BUCKET).symlink_to(outside / "bucket")
        (data / place / f"{tenant}~testenv~20261124130000").mkdir()
        (data / place / f"{tenant}~testenv~20261124130000" / FILE).symlink_to(outside / "bucket" / FILE)


def test_links_pipes_and_directories_with_the_right_names_do_no_harm(start_service, data_directory, outside):
    before = contents(outside)
    plant(data_directory / "ax", outside)
    service = start_service(apidanalytics_workers=1, apidanalytics_collection_interval=1)
    assert service.post("testid", [GOOD])[0] == 200
    service.wait_delivered(1)
    assert service.command("audit", "--deep").returncode in (0, 1)
    service.command("inspect", str(data_directory / "ax"))
    assert service.terminate() == 0
    assert "Traceback" not in service.log()
    assert contents(outside) == before
    delivered = [line for lines in service.lake().values() for line in lines]
    assert len(delivered) == 1
    kept = contents(data_directory / "ax" / "damaged")
    assert not [path for path, content in kept.items() if b"OUTSIDE" in content]


def test_a_bucket_directory_that_is_a_link_takes_no_file_out_of_the_tree(start_service, data_directory, outside):
    nowhere = "http://127.0.0.1:9"  # what is staged stays staged
    service = start_service(
        apidanalytics_workers=1, apidanalytics_collection_interval="24h", apidanalytics_uap_server_base=nowhere
    )
    assert service.post("testid", [GOOD])[0] == 200
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0)
    links = [
        data_directory / "ax/staging" / f"testorg~testenv~{day:%Y%m%d%H%M%S}"
        for day in (midnight - timedelta(1), midnight, midnight + timedelta(1))
    ]
    for link in links:
        link.symlink_to(outside / "empty")
    service.terminate()
    assert list((outside / "empty").iterdir()) == []
    assert "is a symbolic link, and is not followed: remove it" in service.log()
    assert list(data_directory.glob("ax/*/*.spool"))  # it waits for the link to go


def test_a_place_of_the_data_directory_that_is_a_link_stops_the_start(start_service, data_directory, outside):
    (data_directory / "ax").mkdir()
    (data_directory / "ax" / "staging").symlink_to(outside / "empty")
    service = start_service(ready=False)
    wait_until(lambda: service.process.poll() is not None, what="it ends")
    assert service.process.returncode == 1
    assert "staging is a symbolic link" in service.log()


def test_everything_that_is_written_is_for_this_user_only(start_service, data_directory):
    (data_directory / "ax").mkdir(mode=0o777)
    (data_directory / "ax").chmod(0o777)
    previous = os.umask(0)
    try:
        service = start_service(
            apidanalytics_workers=1, apidanalytics_collection_interval="24h", apidanalytics_upload_attempts=1
        )
    finally:
        os.umask(previous)
    body = b'{"records":[{"client_received_start_timestamp":1}]}'
    headers = {"Content-Type": "application/json", "Idempotency-Key": "one"}
    assert service.request("POST", "/analytics/testid", body, headers)[0] == 200

    def loose():
        modes = {}
        for folder, folders, names in os.walk(data_directory):
            for path in (Path(folder, name) for name in (*folders, *names)):
                with suppress(FileNotFoundError):  # the service is at work
                    modes[path.relative_to(data_directory)] = stat.S_IMODE(path.lstat().st_mode)
        return {f"{path} {mode:o}" for path, mode in modes.items() if mode & 0o077}

    assert loose() == set()
    (spool,) = (data_directory / "ax" / "tmp").glob("*.spool")
    assert service.terminate() == 0
    assert not spool.exists()
    assert loose() == set()
