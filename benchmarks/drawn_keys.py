"""What a record costs with 10 API keys, and with all of them drawn with a Zipf skew: by turns, in one service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from benchmarks import processes, sync_data, traffic, wrk
from benchmarks.sync_data import Size
from tests.harness import ServiceProcess

FEW: Final = 10
RECORDS: Final = 100
"""In each batch."""
PAIRS: Final = 11
"""Turns of each. The speed of a machine changes from one turn to the next, by half at times; so the median counts."""
FILLING: Final = 15
"""Times as long as a turn keys are drawn before: by then a worker remembers most that it will."""


class Spent(NamedTuple):
    """CPU seconds per million records."""

    everybody: float
    """From the first byte to the object in the lake, all processes."""
    workers: float


@dataclass(frozen=True, kw_only=True)
class DrawnKeys:
    """What was spent, turn by turn."""

    filling: Spent
    """With all keys, from the start of the workers on."""
    few: Sequence[Spent]
    every: Sequence[Spent]

    @property
    def ratios(self) -> list[float]:
        """Cost of a record with all keys in those with few, for each pair of turns, in order of size."""
        return sorted(one.everybody / other.everybody for one, other in zip(self.every, self.few, strict=True))

    @property
    def workers_ratio(self) -> float:
        """The same of the workers alone, in the median."""
        return median(one.workers / other.workers for one, other in zip(self.every, self.few, strict=True))


def measure(service: ServiceProcess, size: Size, seconds: float) -> DrawnKeys:
    """Put load on it until its workers remember what they will, then by turns of so many seconds."""
    turns = _Turns(service, size)
    filling = turns.take(size.api_keys, FILLING * seconds)
    spent: dict[int, list[Spent]] = {FEW: [], size.api_keys: []}
    for keys in _order(size.api_keys):
        spent[keys].append(turns.take(keys, seconds))
    return DrawnKeys(filling=filling, few=spent[FEW], every=spent[size.api_keys])


def _order(all_keys: int) -> Iterator[int]:
    """Return who is next: in every other pair the other one comes first, so that a machine's drift cancels out."""
    for number in range(PAIRS):
        yield from (FEW, all_keys) if number % 2 == 0 else (all_keys, FEW)


class _Turns:
    def __init__(self, service: ServiceProcess, size: Size) -> None:
        self._service = service
        self._bodies = traffic.bodies(RECORDS, keys=[wrk.PLACEHOLDER])
        self._scopes = [sync_data.scope(number * 7 % size.scopes) for number in range(10)]
        self._done = 0

    def take(self, keys: int, seconds: float) -> Spent:
        """Post with so many keys until the time is over and all of it has been delivered; return what it took."""
        load = wrk.Load(
            bodies=self._bodies,
            records=RECORDS,
            connections=32,
            seconds=seconds,
            scopes=self._scopes,
            drawn_keys=keys,
        )
        everybody, workers = self._spent()
        answers = wrk.run(load, int(self._service.settings["api_listen"].rpartition(":")[2]))
        records = RECORDS * (answers.requests - answers.refused)
        self._done += records
        self._service.wait_delivered(self._done, timeout_seconds=180, pause_seconds=0.5)
        after = self._spent()
        return Spent((after.everybody - everybody) / records * 1e6, (after.workers - workers) / records * 1e6)

    def _spent(self) -> Spent:
        pids, workers = self._service.pids(), self._service.worker_pids()
        return Spent(processes.cpu_seconds(pids), processes.cpu_seconds(workers))
