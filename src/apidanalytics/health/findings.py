"""What a judgement says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is, worst first."""

    TROUBLE = "trouble"
    """Batches are refused, or nothing is delivered: act now."""
    WARNING = "warning"
    """Part of it does not work, or soon will not: look into it."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be, or good to know."""

    code: str
    """Stable name, for machines and the documentation."""
    severity: Severity
    text: str
    """What is the case, to whom and since when: whole sentences."""
    hint: str
    """What follows, and what to do."""
    since: float | None = None
    """Unix seconds."""
    tenant: str | None = None


def verdict(findings: Sequence[Finding]) -> str:
    """Return ``well``, ``warning`` or ``trouble``."""
    severities = {finding.severity for finding in findings}
    if Severity.TROUBLE in severities:
        return Severity.TROUBLE
    return Severity.WARNING if Severity.WARNING in severities else "well"
