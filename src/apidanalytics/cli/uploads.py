"""``apidanalytics pause`` and ``resume``: send nothing of one tenant, or nothing at all, until further notice."""

import sys
import time
from pathlib import Path

from apidanalytics.cli.asking import asking_service, in_directory, load, no_directory
from apidanalytics.cli.drawing import print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.errors import NotRunningError, RefusedError


def run(config_file: Path | None, *, tenant: str | None, pauses: bool, as_json: bool) -> int:
    """Pause or resume, also in the data directory of a stopped service: it counts from its next start."""
    settings = load(config_file)
    try:
        asking_service(settings)("pause" if pauses else "resume", tenant=tenant)
    except NotRunningError as nobody:
        if not settings.data.root.is_dir():
            raise NotRunningError(no_directory(settings)) from nobody
        _in_directory(config_file, tenant, nobody, pauses=pauses)
    if as_json:
        print_json({"tenant": tenant, "paused": pauses})
    else:
        print(_sentence(tenant, pauses=pauses))
    return ExitCode.OK


def _in_directory(config_file: Path | None, tenant: str | None, nobody: NotRunningError, *, pauses: bool) -> None:
    with in_directory(config_file) as service:
        print(f"{nobody}; this is done in its data directory, and counts from its next start.", file=sys.stderr)
        if tenant is not None and not service.knows(tenant):
            raise RefusedError(f"no such tenant: {tenant}")
        service.pause(tenant, time.time() if pauses else None)


def _sentence(tenant: str | None, *, pauses: bool) -> str:
    if not pauses:
        return f"Uploads of {tenant} go on." if tenant else "Uploads go on; tenants that are paused one by one stay so."
    how = f"apidanalytics resume{f' --tenant {tenant}' if tenant else ''}"
    whose = f"Uploads of {tenant} are" if tenant else "All uploads are"
    return f"{whose} paused. Batches are taken and files kept; what is on its way finishes. To go on: {how}"
