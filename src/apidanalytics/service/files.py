"""The files that settings name and the start needs, read once, so that all problems are said."""

from collections.abc import Callable
from typing import Final

from apidanalytics.config import Settings
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.access import check_access
from apidanalytics.service.masking import read_mask_key
from apidanalytics.service.tls import check_tls

_CHECKS: Final[tuple[Callable[[Settings], object], ...]] = (check_access, read_mask_key, check_tls)


def check_files(settings: Settings) -> None:
    """Check them all.

    Raises:
        ConfigurationError: with every problem that was found.

    """
    problems: list[str] = []
    for check in _CHECKS:
        try:
            check(settings)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
