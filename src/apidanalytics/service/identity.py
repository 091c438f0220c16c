"""The instance id of this collector: in every file name, so that two collectors never make the same one."""

import uuid
from pathlib import Path

from apidanalytics import durable


def instance_id(storage: Path) -> str:
    """Return the UUID kept under ``local_storage_path``, made at the first start.

    Raises:
        OSError: it can neither be read nor kept.

    """
    path = storage / "instance_id"
    try:
        kept = path.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if kept:
        return kept
    made = str(uuid.uuid4())
    durable.write(path, f"{made}\n".encode())
    return made
