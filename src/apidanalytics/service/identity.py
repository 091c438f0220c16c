"""The instance id of this collector: in every file name, so that two collectors never make the same one."""

import uuid
from typing import Final

from apidanalytics import durable
from apidanalytics.apigeesync.store import read_state
from apidanalytics.config import Settings

_FILE: Final = "instance_id"


def kept_instance_id(settings: Settings) -> str:
    """Return the UUID that was made at the first start; empty: there was none.

    Raises:
        OSError: it cannot be read.

    """
    try:
        return (settings.local_storage_path / _FILE).read_text().strip()
    except FileNotFoundError:
        return ""


def instance_id(settings: Settings) -> str:
    """Return the UUID kept under ``local_storage_path``, made at the first start, and anew for another cluster.

    Raises:
        OSError: it can neither be read nor kept.

    """
    path, kept = settings.local_storage_path / _FILE, kept_instance_id(settings)
    if kept and not _is_of_another_cluster(settings):
        return kept
    made = str(uuid.uuid4())
    durable.write(path, f"{made}\n".encode())
    return made


def _is_of_another_cluster(settings: Settings) -> bool:
    """Return whether what is stored came from another cluster: to this one, the collector is a new one."""
    state = read_state(settings.local_storage_path / "apigeesync") if settings.apigeesync_cluster_id else None
    return state is not None and state.cluster_id != settings.apigeesync_cluster_id
