"""The logs of a process of the service, as the settings want them."""

from collections.abc import Callable

from apidanalytics.config import Settings
from apidanalytics.telemetry import logs
from apidanalytics.telemetry.recent import Recent


def configure_logs(settings: Settings, process: str, recent: Recent) -> Callable[[], None]:
    """Set them up; return what says how many repeated lines were left out, for the end of the process."""
    return logs.configure(
        level=settings.log_level,
        form=settings.log_format,
        process=process,
        recent=recent,
        repeat_seconds=settings.log_repeat_interval,
        repeat_lines=settings.log_repeat_limit,
    )
