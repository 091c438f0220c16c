"""Floods: for a while one of the tenants posts far more than the others, who stay calm. A seed says which and when."""

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.tenants import TENANTS, Tenant

FIRST_NUMBER = 1_000_000_000
"""Batches of floods are numbered from here on."""
MOST_BATCHES = 1_000_000
"""Of one flood."""


class What(StrEnum):
    STORED = "stored"
    UNKNOWN = "refused: a scope that nobody has"
    BROKEN = "refused: no JSON"


WEIGHTS = {What.STORED: 3, What.UNKNOWN: 1, What.BROKEN: 1}


@dataclass(frozen=True)
class Flood:
    first_number: int
    """Of its batches."""
    what: What
    tenant: Tenant
    """Whose it is; of batches for a scope that nobody has, in name only."""
    pause_seconds: float
    """From the end of the flood before."""
    seconds: float
    connections: int
    records: int
    """In each batch."""
    batches_per_second: float


def flood_of(seed: int, index: int) -> Flood:
    """Return a flood. The same one of the same seed is always the same."""
    draw = random.Random(f"floods/{seed}/{index}")
    what = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    records = draw.choice((10, 30, 60)) if what is What.STORED else 1
    return Flood(
        first_number=FIRST_NUMBER + index * MOST_BATCHES,
        what=what,
        tenant=draw.choice(TENANTS),
        pause_seconds=draw.uniform(1, 5),
        seconds=draw.uniform(3, 8),
        connections=draw.choice((8, 16, 32)),
        records=records,
        batches_per_second=900 / records if what is What.STORED else 120,
    )


def flood_behind(seed: int, number: int) -> Flood:
    """Return the flood to which a batch belongs."""
    return flood_of(seed, (number - FIRST_NUMBER) // MOST_BATCHES)
