"""Which fault comes when: a pure function of the seed."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    KILL_WORKER = "worker killed"
    KILL_AGENT = "agent killed"
    KILL_ALL = "everything killed"
    FREEZE_WORKER = "worker frozen"
    RESTART = "restart"
    RELOAD = "reload"
    BAD_RELOAD = "reload refused"
    UPGRADE = "upgrade"
    CLOCK = "clock jump"
    STORE = "store outage"
    COLLECTION = "collection outage"
    SCOPES = "scope change"
    SYNC_FAILS = "failing disk calls"
    SYNC_SLOW = "slow syncs"
    DISK_FULL = "full disk"


WEIGHTS = {Kind.KILL_WORKER: 3, Kind.KILL_AGENT: 2, Kind.CLOCK: 3, Kind.SCOPES: 2, Kind.STORE: 2}
"""How often a kind is in the deck; once, if it is not here."""
MEAN_GAP_SECONDS = 1.1
LASTING_SECONDS = (0.5, 4.0)


@dataclass(frozen=True)
class Fault:
    at: float
    """Seconds after the beginning; later, if the one before took its time."""
    kind: Kind
    seconds: float
    """How long it lasts, if it is one that lasts."""
    choice: int
    """32 random bits for the details."""

    def pick(self, options):
        return options[self.choice % len(options)]


def plan(seed: int, seconds: float) -> list[Fault]:
    """Return the faults of a run. Every kind comes before any comes again more often than its weight."""
    draw = random.Random(f"faults/{seed}")
    deck: list[Kind] = []
    faults: list[Fault] = []
    at = draw.expovariate(1 / MEAN_GAP_SECONDS)
    while at < seconds:
        if not deck:
            deck = [kind for kind in Kind for _ in range(WEIGHTS.get(kind, 1))]
            draw.shuffle(deck)
        faults.append(Fault(at, deck.pop(), draw.uniform(*LASTING_SECONDS), draw.getrandbits(32)))
        at += draw.expovariate(1 / MEAN_GAP_SECONDS)
    return faults
