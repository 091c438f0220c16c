"""The instance id of this collector: in every file name, so that two collectors never make the same one."""

import uuid

from apidanalytics import durable
from apidanalytics.apigeesync.store import read_state
from apidanalytics.config import Settings


def known_instance_id(settings: Settings) -> str:
    """Return the configured instance id, or the one that was made at the first start; empty: there was none.

    Raises:
        OSError: it cannot be read.

    """
    if settings.apigeesync_apid_instance_id is not None:
        return settings.apigeesync_apid_instance_id
    try:
        return settings.instance_id_file.read_text().strip()
    except FileNotFoundError:
        return ""


def instance_id(settings: Settings) -> str:
    """Return the configured instance id, or a UUID, made at the first start, and anew for another cluster.

    Raises:
        OSError: it can neither be read nor kept.

    """
    known = known_instance_id(settings)
    is_configured = settings.apigeesync_apid_instance_id is not None
    if known and (is_configured or not _is_of_another_cluster(settings)):
        return known
    made = str(uuid.uuid4())
    durable.write(settings.instance_id_file, f"{made}\n".encode())
    return made


def _is_of_another_cluster(settings: Settings) -> bool:
    """Return whether what is stored came from another cluster: to this one, the collector is a new one."""
    state = read_state(settings.sync_directory) if settings.apigeesync_cluster_id else None
    return state is not None and state.cluster_id != settings.apigeesync_cluster_id
