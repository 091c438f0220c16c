"""The settings in effect, as ``check-config`` shows them."""

from typing import Any, NamedTuple

from apidanalytics.config import checks
from apidanalytics.config.loading import DEFAULT
from apidanalytics.config.settings import SETTINGS, Settings


class Effective(NamedTuple):
    """One setting as people read it."""

    key: str
    value: str
    """With units; ``***`` for a secret, ``not set`` for no value."""
    origin: str
    """``default``, ``file <path>``, ``environment <variable>``, ``command line`` or ``embedded default``."""
    help: str


def effective(settings: Settings) -> list[Effective]:
    """Return every setting in the order of the table, secrets masked."""
    return [
        Effective(
            row.key,
            row.show(getattr(settings, row.attribute)),
            settings.origins.get(row.key, DEFAULT),
            row.help,
        )
        for row in SETTINGS
    ]


def warnings(settings: Settings, *, is_exposed: bool | None = None) -> list[str]:
    """Return what is allowed, and hardly meant, as sentences; see ``checks.warnings``."""
    return list(checks.warnings(_values(settings), is_exposed=is_exposed))


def not_there(settings: Settings) -> list[str]:
    """Return which files cannot be read that a start does without for a while; see ``checks.not_there``."""
    return list(checks.not_there(_values(settings)))


def _values(settings: Settings) -> dict[str, Any]:
    return {row.key: getattr(settings, row.attribute) for row in SETTINGS}
