"""Says in the log what was wrong with the rows of a scope table."""

from typing import Final

import structlog

from apidanalytics import layout
from apidanalytics.scopes.tenants import Findings, name_some

_log: Final = structlog.get_logger()


class FindingsLog:
    """Logs findings when they differ from those before: one line for each kind."""

    def __init__(self) -> None:
        self._last = Findings()

    def log(self, findings: Findings) -> None:
        """Log what is new."""
        if findings == self._last:
            return
        self._last = findings
        _log_skipped(findings)
        _log_refused(findings)
        _log_ambiguous(findings)
        _log_alike(findings)


def _log_skipped(findings: Findings) -> None:
    if findings.incomplete or findings.not_text:
        _log.warning(
            "scopes.rows_skipped",
            incomplete=findings.incomplete,
            not_text=findings.not_text,
            hint="rows of data_scope need id, org and env, in UTF-8; the others are no scopes",
        )


def _log_refused(findings: Findings) -> None:
    if findings.too_long:
        _log.error(
            "scopes.tenants_refused",
            tenants=name_some(findings.too_long),
            count=len(findings.too_long),
            hint=f"<org>~<env>, percent-encoded, may have {layout.MAX_TENANT_BYTES} bytes",
        )


def _log_ambiguous(findings: Findings) -> None:
    if findings.ambiguous:
        _log.warning(
            "scopes.tenants_ambiguous",
            tenants=name_some(findings.ambiguous),
            count=len(findings.ambiguous),
            hint="several tenant ids for one org and env: POST without a scope uuid uses that of the lowest id",
        )


def _log_alike(findings: Findings) -> None:
    if findings.alike:
        _log.warning(
            "scopes.tenants_alike",
            tenants=name_some([" and ".join(names) for names in findings.alike]),
            count=len(findings.alike),
            hint="uploads name a tenant <org>~<env>, which is the same for these: an endpoint that knows both refuses "
            "their files, another one may mix them; rename an org or env",
        )
