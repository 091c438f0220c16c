"""A run: load from beginning to end, the faults of the schedule, then peace, and the judgement."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from apidanalytics.cli.exit_code import ExitCode
from tests.crash.load import first_true
from tests.faults.gateways import Gateways
from tests.faults.injectors import End, Injectors, NotNowError
from tests.faults.oracle import Finding, Judgement, Oracle
from tests.faults.schedule import Fault, Kind, plan
from tests.faults.watching import Watcher
from tests.faults.world import Settings, World

PEACE_SECONDS = 150.0
"""So long it may take, after the last fault, until everything is delivered. A tenant whose store has not answered again
and again is left alone for up to 120 s."""
DISK_GRACE_SECONDS = 15.0
LONG_SECONDS = 120.0
"""A run of so long must have seen all that floods bring about."""
_DISK = {Kind.DISK_FULL, Kind.SYNC_FAILS}
"""While one of these lasts, and a moment after, an agent may end by itself: it cannot work."""


@dataclass
class Summary:
    seed: int
    minutes: float
    faults: Counter[str]
    answers: Counter[str]
    keyed: Counter[str]
    floods: Counter[str]
    """By what becomes of their batches, and how many of these there were."""
    flooding: Counter[str]
    seen: Counter[str]
    """What the service did about them."""
    judgement: Judgement
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = sum(self.faults[kind] for kind in (Kind.KILL_WORKER, Kind.KILL_AGENT, Kind.KILL_ALL))
        found, records = self.judgement.found, self.judgement.records
        lines = [
            f"seed {self.seed}: {self.minutes:.1f} minutes, {sum(self.faults.values())} faults, {kills} of them kills",
            *(f"  {count:6} x {kind}" for kind, count in sorted(self.faults.items())),
            f"batches by answer: {dict(self.answers)}",
            f"batches with a key: {dict(self.keyed)}",
            *(f"{n} floods, {self.flooding[what]} batches {what}" for what, n in sorted(self.floods.items())),
            *(f"  {count:6} {what}" for what, count in self.seen.items()),
            f"records: {dict(records)} in {self.judgement.objects} objects",
            f"records checked: {records.total() - records['delivered']}",
            f"lost: {found[Finding.LOST]}, doubled: {found[Finding.DOUBLED]}, all findings: {dict(found) or 'none'}",
            *(f"PROBLEM: {problem}" for problem in self.problems),
            *(f"FOUND: {example}" for example in self.judgement.examples),
        ]
        return "\n".join(lines)

    @property
    def holds(self) -> bool:
        return self.judgement.holds and not self.problems


class Player:
    """Plays one schedule on one world."""

    def __init__(self, world: World, strace: str | None, say: Callable[[str], None]) -> None:
        self._world = world
        self._service = world.service
        self._injectors = Injectors(world, strace)
        self._say = say
        self._lasting: dict[Kind, tuple[float, End]] = {}
        self._disk_trouble_until = 0.0
        self.faults: Counter[str] = Counter()
        self.problems: list[str] = []

    def play(self, faults: list[Fault], seconds: float, gateways: Gateways) -> None:
        """Bring about the faults, all that there is time for, and leave the service running and unhurt."""
        began = said_at = time.monotonic()
        late = 0.0
        for fault in faults:
            # One that took its time puts off those after it: they do not all come at once.
            late = max(late, time.monotonic() - began - fault.at)
            if fault.at + late > seconds:
                break
            self._rest(began + fault.at + late)
            self._strike(fault)
            if time.monotonic() - said_at > 60:
                said_at = time.monotonic()
                minutes = (said_at - began) / 60
                self._say(f"{minutes:5.1f} min: {self.faults.total()} faults, {gateways.acknowledged} batches")
        while self._lasting:
            self._rest(time.monotonic() + 0.1)
        self._keep_alive()
        self._service.wait_ready(60)

    def _strike(self, fault: Fault) -> None:
        if fault.kind in self._lasting:
            self._end(fault.kind)
        try:
            end = self._injectors(fault)
        except NotNowError:
            return
        self.faults[fault.kind] += 1
        if end is not None:
            self._lasting[fault.kind] = time.monotonic() + fault.seconds, end

    def _end(self, kind: Kind) -> None:
        _, end = self._lasting.pop(kind)
        if kind in _DISK:
            self._disk_trouble_until = time.monotonic() + DISK_GRACE_SECONDS
        end()

    def _rest(self, until: float) -> None:
        """Wait, end what has lasted long enough, and start the service again if it ended."""
        while True:
            now = time.monotonic()
            for kind in [kind for kind, (ends_at, _) in self._lasting.items() if ends_at <= now]:
                self._end(kind)
            self._keep_alive()
            if now >= until:
                return
            time.sleep(min(0.05, until - now))

    def _keep_alive(self) -> None:
        """Do what any supervisor does: start again what ended."""
        code = self._service.process.poll()
        if code is None:
            return
        last = self._service.log()[-1500:]
        # A start or an upgrade reads the settings a moment after they were found good, and may find them spoilt then.
        is_spoilt = code == ExitCode.CONFIGURATION and Settings.SPOILT in last
        if not (is_spoilt or _DISK & self._lasting.keys() or time.monotonic() < self._disk_trouble_until):
            self.problems.append(f"the agent ended by itself, with {code}: {last}")
        time.sleep(0.3)
        self._service.start(ready=False)

    @property
    def exit_codes(self) -> Counter[int]:
        return Counter(self._injectors.ended)


def run(world: World, *, seed: int, seconds: float, strace: str | None, say: Callable[[str], None]) -> Summary:
    """Play the schedule of a seed and judge what came of it."""
    began = time.monotonic()
    oracle = Oracle(seed, world.clock.times)
    player = Player(world, strace, say)
    world.service.start()
    url = world.service.base_url
    watcher = Watcher(world.service.directory / "ax/control.sock")
    with Gateways(url, seed, oracle, lambda: world.scopes.generation) as gateways, watcher:
        player.play(plan(seed, seconds), seconds, gateways)
        goal = gateways.acknowledged + 20
        if not first_true(lambda: gateways.acknowledged >= goal, 60):
            player.problems.append("no batch is acknowledged any more, with nothing wrong")
        gateways.stop()
    problems = player.problems + gateways.surprises + _come_to_rest(world)
    judgement = oracle.judge(world.lake)
    problems += _audit(world, judgement)
    if seconds >= LONG_SECONDS:
        problems += [f"in all that time there were no {what}" for what in watcher.missing]
    problems += [f"other bytes for {key}" for key in world.objects.altered]
    return Summary(
        seed=seed,
        minutes=(time.monotonic() - began) / 60,
        faults=player.faults,
        answers=Counter({f"{status} {code}".strip(): n for (status, code), n in gateways.answers.items()}),
        keyed=gateways.keyed,
        floods=gateways.floods,
        flooding=gateways.flooding,
        seen=watcher.seen,
        judgement=judgement,
        problems=problems,
    )


def _come_to_rest(world: World) -> list[str]:
    """Wait until nothing is left to be done, stop the service, and return what is wrong with that."""
    service, problems = world.service, []

    def is_done():
        # A worker's open spool is in tmp/ until its interval is over; stopping seals it.
        return not [name for name in world.left() if not name.startswith("tmp/")]

    if not first_true(is_done, PEACE_SECONDS):
        problems.append(f"not delivered after {PEACE_SECONDS:g} s of peace: {world.left()[:9]}")
    code = service.terminate()
    if code != 0:
        problems.append(f"the service was told to stop and ended with {code}")
    if left := world.left():
        problems.append(f"left in the data directory: {left[:9]}")
    if pids := service.pids():
        problems.append(f"processes are left: {pids}")
    return problems


def _audit(world: World, judgement: Judgement) -> list[str]:
    """Hold the service's own books against what was counted."""
    result = world.service.command("audit", "--json", "--deep", "--lake", str(world.lake))
    if result.returncode:
        return [f"the audit finds: {result.stdout[-800:]}{result.stderr[-400:]}"]
    totals = json.loads(result.stdout)["totals"]
    lines = judgement.records["delivered"]
    if totals["accepted"]["records"] == totals["uploaded"]["records"] == lines:
        return []
    return [f"the audit says {totals}, and {lines} lines are in the lake"]
