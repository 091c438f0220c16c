"""The files that settings name and the start needs, read once, so that all problems are said."""

from collections.abc import Callable, Iterable
from typing import Final

from apidanalytics.config import Settings
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.access import check_access
from apidanalytics.service.masking import read_mask_key
from apidanalytics.service.tls import check_tls

_Check = Callable[[Settings], object]
_OURS: Final[tuple[_Check, ...]] = (check_access, read_mask_key)


def check_files(settings: Settings) -> None:
    """Check them all.

    Raises:
        ConfigurationError: with every problem that was found.

    """
    _check(settings, (*_OURS, check_tls))


def check_files_at_start(settings: Settings) -> None:
    """Check them all, for a start, that is tried again where a certificate is just being renewed.

    Raises:
        ConfigurationError: with every problem that was found, but for TLS.
        OSError: with every problem of certificates, keys and authorities: the next start may find them renewed.

    """
    _check(settings, _OURS)
    try:
        check_tls(settings)
    except ConfigurationError as error:
        raise OSError("; ".join(error.problems)) from error


def _check(settings: Settings, checks: Iterable[_Check]) -> None:
    problems: list[str] = []
    for check in checks:
        try:
            check(settings)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
