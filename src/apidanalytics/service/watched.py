"""The parts of the agent that are looked at, as they are at this moment; some come into being while it starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.control.handover import Handover
from apidanalytics.health.facts import CertificateFacts
from apidanalytics.idempotency.settler import Settler
from apidanalytics.scopes.source import Published
from apidanalytics.service.access import Access
from apidanalytics.service.agent import Agent
from apidanalytics.service.crew import Crew
from apidanalytics.service.disk import DiskKeeper
from apidanalytics.service.packing import Packing
from apidanalytics.service.scope_steps import ScopeSteps
from apidanalytics.telemetry.recent import Recent
from apidanalytics.upload.attempts import Attempts
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.uploader import Uploader


@dataclass(slots=True, kw_only=True)
class Watched:
    """What ``Insight`` looks at."""

    settings: Settings
    clock: Clock
    started_at: float
    agent: Agent
    handover: Handover
    ledger: Ledger
    access: Access
    crew: Crew
    scopes: ScopeSteps
    recent: Recent
    """The last log lines, of the workers too."""
    uploader: Callable[[], Uploader | None]
    disk: Callable[[], DiskKeeper | None]
    published: Callable[[], Published | None]
    admin_url: Callable[[], str | None]
    attempts: Attempts = field(default_factory=Attempts)
    certificates: Sequence[CertificateFacts] = ()
    packing: Packing | None = None
    keys: Settler | None = None
