"""Copying failed files out, in the layout of the object store, so that they can be taken there by other means."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from apidanalytics import layout
from apidanalytics.layout import DataDirectory

LISTING: Final = "failed.jsonl"


def export(
    data: DataDirectory, target: Path, files: Iterable[dict[str, Any]], *, on_file: Callable[[], None]
) -> tuple[int, int]:
    """Copy files to ``<target>/<tenant>/date=.../time=.../<file>``; return how many, and how many were gone.

    A file that is there already is written again: its content is the same. What is made is for this user alone, as in
    the data directory.
    """
    copied = gone = 0
    target.mkdir(0o700, parents=True, exist_ok=True)
    with open(target / LISTING, "w", encoding="utf-8", opener=_private) as listing:
        for file in files:
            key = Path(file["tenant"]) / layout.format_object_path(file["name"], file["start_at"])
            if _copy(data.failed / file["directory"] / file["name"], target / key):
                listing.write(json.dumps({**file, "path": str(key)}) + "\n")
                copied += 1
            else:
                gone += 1
            on_file()
    return copied, gone


def _copy(source: Path, target: Path) -> bool:
    try:
        with source.open("rb") as content:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb", opener=_private) as copy:
                shutil.copyfileobj(content, copy)
    except FileNotFoundError:
        return False  # tried again meanwhile
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
