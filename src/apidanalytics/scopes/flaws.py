"""Says in the log what was wrong with the rows of a scope table."""

from typing import Final

import structlog

from apidanalytics import layout
from apidanalytics.scopes.tenants import Flaws, name_some

_log: Final = structlog.get_logger()


class FlawsLog:
    """Logs flaws when they differ from those before: one line for each kind."""

    def __init__(self) -> None:
        self._last = Flaws()

    def log(self, flaws: Flaws) -> None:
        """Log what is new."""
        if flaws == self._last:
            return
        self._last = flaws
        _log_skipped(flaws)
        _log_refused(flaws)
        _log_ambiguous(flaws)
        _log_alike(flaws)


def _log_skipped(flaws: Flaws) -> None:
    if flaws.incomplete or flaws.not_text:
        _log.warning(
            "scopes.rows_skipped",
            incomplete=flaws.incomplete,
            not_text=flaws.not_text,
            hint="rows of data_scope need id, org and env, in UTF-8; the others are no scopes",
        )


def _log_refused(flaws: Flaws) -> None:
    if flaws.too_long:
        _log.error(
            "scopes.tenants_refused",
            tenants=name_some(flaws.too_long),
            count=len(flaws.too_long),
            hint=f"<org>~<env>, percent-encoded, may have {layout.MAX_TENANT_BYTES} bytes",
        )


def _log_ambiguous(flaws: Flaws) -> None:
    if flaws.ambiguous:
        _log.warning(
            "scopes.tenants_ambiguous",
            tenants=name_some(flaws.ambiguous),
            count=len(flaws.ambiguous),
            hint="several tenant ids for one org and env: POST without a scope uuid uses that of the lowest id",
        )


def _log_alike(flaws: Flaws) -> None:
    if flaws.alike:
        _log.warning(
            "scopes.tenants_alike",
            tenants=name_some([" and ".join(names) for names in flaws.alike]),
            count=len(flaws.alike),
            hint="uploads name a tenant <org>~<env>, which is the same for these: an endpoint that knows both refuses "
            "their files, another one may mix them; rename an org or env",
        )
