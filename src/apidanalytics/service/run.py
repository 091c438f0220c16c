"""Runs the service: the agent in this process, which starts the workers."""

import uvloop

from apidanalytics.config import Settings
from apidanalytics.service.build_agent import OnReady, Service


def run_agent(settings: Settings, *, embedded: bool, on_ready: OnReady | None = None) -> int:
    """Run the service until a signal ends it; return its exit code.

    Raises:
        DataDirectoryLocked: another agent owns the data directory.
        OSError: an address or a directory cannot be used.

    """
    return uvloop.run(_run(settings, embedded, on_ready))


async def _run(settings: Settings, embedded: bool, on_ready: OnReady | None) -> int:
    service = Service(settings, embedded=embedded, on_ready=on_ready)
    return await service.agent.run()
