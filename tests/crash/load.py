"""Gateways of two interleaving tenants that post to a real service while it is hurt, and the judgement afterwards."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp

from apidanalytics.control.server import Answer, ask
from apidanalytics.demo import accounts, lake
from apidanalytics.demo.check import Oracle
from apidanalytics.demo.compare import SentBatch
from apidanalytics.demo.post import Post
from apidanalytics.demo.report import Report
from apidanalytics.demo.traffic import Traffic
from apidanalytics.errors import NotRunningError
from apidanalytics.layout import DataDirectory, FileName
from apidanalytics.service.census import FRESH_SECONDS
from tests.harness import ROOT, ServiceProcess, wait_until
from tests.posting import NEVER_LEFT, UNANSWERED, WITHOUT_SCOPES, Posting, post_to

PATIENCE_SECONDS = 30.0
BUSY = {(503, "STORAGE_UNAVAILABLE"), (503, "OVERLOADED"), WITHOUT_SCOPES}
"""Answers that any batch may get."""
IN_USE = (503, "IDEMPOTENCY_KEY_IN_USE")
KEY = "Idempotency-Key"
REPEATED = "repeated"
INSIST_SECONDS = 30.0
"""So long a batch with a key is sent again until it has its 200."""
SCOPES = ROOT / "examples" / "scopes.yaml"
TENANTS = accounts.busiest(accounts.load(SCOPES), 2)


class TimedOracle(Oracle):
    """An oracle that also holds every record's bucket against the time between its request and the answer."""

    def __init__(self):
        super().__init__(TENANTS)
        self._times: dict[str, list[float]] = {}

    def sent(self, tenant, records):
        batch = super().sent(tenant, records)
        times = [time.time(), float("inf")]
        self._times.update(dict.fromkeys(batch.ids, times))
        return batch

    def acknowledged(self, batch):
        super().acknowledged(batch)
        self._answered(batch)

    def unknown(self, batch):
        super().unknown(batch)
        self._answered(batch)

    def _answered(self, batch: SentBatch):
        self._times[batch.ids[0]][1] = time.time()

    def early_or_late(self, files: list[lake.LakeFile]) -> list[str]:
        """Return the records that lie in a bucket in which they did not arrive."""
        wrong = []
        for file in files:
            name = FileName.parse(file.path.name)
            for line in file.lines():
                sent_at, answered_at = self._times.get(self._id_of(line), (name.start_at, name.start_at))
                if not (name.start_at <= answered_at and sent_at < name.end_at):
                    wrong.append(f"{self._id_of(line)}: sent {sent_at:.3f}, answered {answered_at:.3f}, in {name}")
        return wrong


class Load(Posting):
    """Gateways of two tenants."""

    def __init__(
        self,
        service: ServiceProcess,
        *,
        seed: int,
        records_per_second: float = 1500,
        connections: int = 8,
        bad_every: int = 12,
        keyed_every: int = 0,
    ) -> None:
        """One batch in ``keyed_every`` gets an ``Idempotency-Key``, and is sent until, and again after, its 200."""
        super().__init__(connections=connections, records_per_second=records_per_second)
        self._service = service
        self._seed = seed
        self._traffic = Traffic(TENANTS, seed=seed, bad_every=bad_every)
        self._keyed_every = keyed_every
        self._posts = 0
        self.oracle = TimedOracle()
        self.batches: Counter[tuple[int, str]] = Counter()
        """Batches by (status, errorCode); 0 is no answer."""
        self.records: Counter[int] = Counter()
        """Records by status."""
        self.replays = 0
        """Repeats of batches with a key that were answered as such."""
        self.surprises: list[str] = []
        """Answers that the contract does not allow."""

    def __repr__(self) -> str:
        return f"<Load seed={self._seed}: {dict(self.batches)}>"

    @property
    def acknowledged(self) -> int:
        """Records answered 200 so far."""
        return self.records[200]

    @property
    def refused_by_the_disk(self) -> int:
        """Batches refused because the disk takes nothing, so far."""
        return self.batches[503, "STORAGE_UNAVAILABLE"]

    def wait_acknowledged(self, records: int, timeout_seconds: float = 60.0) -> None:
        """Wait until so many more records were acknowledged."""
        goal = self.acknowledged + records
        wait_until(lambda: self.acknowledged >= goal, timeout_seconds=timeout_seconds, what=f"{goal} acknowledged")

    async def _post_one(self, session: aiohttp.ClientSession) -> None:
        post = self._traffic.post(time.time())
        await self._turn(len(post.records))
        self._posts += 1
        if self._keyed_every and self._posts % self._keyed_every == 0:
            post = replace(post, headers={**post.headers, KEY: f"{self._posts}-{secrets.token_hex(8)}"})
        batch = self.oracle.sent(post.tenant, post.records)
        answer = await (self._insist if KEY in post.headers else self._send)(session, post)
        self._note(post, batch, answer)
        if KEY in post.headers and answer[0] == 200:
            await self._repeat(session, post)

    async def _insist(self, session: aiohttp.ClientSession, post: Post) -> tuple[int, str]:
        """Send a batch with a key until it is clear what became of it: that is what the key is for."""
        deadline = time.monotonic() + INSIST_SECONDS
        answers = {answer := await self._send(session, post)}
        while answer in BUSY | {IN_USE, UNANSWERED, NEVER_LEFT} and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            answers.add(answer := await self._send(session, post))
        return UNANSWERED if answer[0] != 200 and answers & {UNANSWERED, IN_USE} else answer

    async def _repeat(self, session: aiohttp.ClientSession, post: Post) -> None:
        """Send once more what was stored; nothing but a repeat is expected, or nothing at all."""
        answer = await self._send(session, post, REPEATED)
        if answer == (200, ""):
            self.surprises.append(f"a repeat of {post.headers[KEY]} was taken for a new batch")
        elif answer[0] not in {0, 200, 503} and answer != WITHOUT_SCOPES:
            self.surprises.append(f"{answer} to the repeat of {post.headers[KEY]}")

    async def _send(self, session: aiohttp.ClientSession, post: Post, replayed: str = "") -> tuple[int, str]:
        """Return status and errorCode; with the 200 to a repeat what ``replayed`` says."""
        answer, is_replay = await post_to(
            session,
            self._service.base_url + post.path,
            post.body,
            post.headers,
            timeout_seconds=PATIENCE_SECONDS,
            chunk_bytes=10_000 if post.chunked else 0,
        )
        self.replays += is_replay
        return (answer[0], replayed) if is_replay else answer

    def _note(self, post: Post, batch: SentBatch, answer: tuple[int, str]) -> None:
        self.batches[answer] += 1
        self.records[answer[0]] += len(post.records)
        if answer == UNANSWERED:
            self.oracle.unknown(batch)
        elif answer[0] == 200:
            self.oracle.acknowledged(batch)
        else:
            self.oracle.refused(batch)
        if answer not in {post.refusal or (200, ""), UNANSWERED, NEVER_LEFT} | BUSY:
            self.surprises.append(f"{answer} instead of {post.refusal or 200}")

    # -- judging

    def report(self, lake_directory: Path) -> Report:
        """Hold the lake against what was sent."""
        return self.oracle.compare(lake.files(lake_directory))

    def assert_conserved(self, lake_directory: Path | None = None) -> Report:
        """Assert the promise: acknowledged once, refused never, unanswered once or not at all, each in its bucket."""
        directory = lake_directory or self._service.directory / "lake"
        report = self.report(directory)
        found = "\n".join(map(str, report.examples))
        assert report.holds, f"{self!r}\n{dict(report.faults)}\n{found}"
        assert not self.surprises, f"{self!r}\n{self.surprises}"
        wrong = self.oracle.early_or_late(lake.files(directory))
        assert not wrong, f"{self!r}\n{len(wrong)} in a wrong bucket\n{wrong[:5]}"
        return report


def status(service: ServiceProcess) -> Answer | None:
    """Ask the agent for its status without starting a command; None while nobody answers."""
    try:
        return ask(DataDirectory(service.directory / "ax").control, {"command": "status"})
    except NotRunningError:
        return None


def amounts(service: ServiceProcess, what: str = "records") -> dict[str, int]:
    """Return the totals by state; empty while nobody answers."""
    answer = status(service)
    return {state: amount[what] for state, amount in answer["totals"].items()} if answer else {}


def is_settled(service: ServiceProcess) -> bool:
    """Tell whether, by books of up to a second ago, everything that was accepted is in the store."""
    records = amounts(service)
    return bool(records) and records["accepted"] == records["uploaded"] and not records["spooled"] + records["failed"]


def settled(service: ServiceProcess) -> Callable[[], bool]:
    """Return what tells whether everything that was accepted until now is in the store, by the service's own books.

    It says so once the books are from after this moment: an answer may have been made a second before it is given.
    """
    not_before = time.monotonic() + 1.5 * FRESH_SECONDS
    return lambda: time.monotonic() >= not_before and is_settled(service)


def wait_settled(service: ServiceProcess, timeout_seconds: float = 60.0) -> None:
    """Wait until everything that was accepted is in the store."""
    try:
        wait_until(settled(service), timeout_seconds=timeout_seconds, pause_seconds=0.1, what="settled")
    except TimeoutError as error:
        raise TimeoutError(f"{error}; the books say {status(service)}") from None


def assert_books_balance(service: ServiceProcess, report: Report) -> None:
    """Assert that the service's own totals are what lies in the lake."""
    total = report.total()
    delivered = total.delivered + total.unanswered_delivered
    records = amounts(service)
    assert (records["accepted"], records["uploaded"], records["set_aside"]) == (delivered, delivered, 0)


def children(pid: int) -> list[int]:
    """Return the pids of the child processes of a process; of an agent, its workers."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            continue  # it ended while we looked
    return found


def first_true(condition: Callable[[], object], seconds: float) -> bool:
    """Wait for a condition for at most so long; tell whether it came true."""
    try:
        wait_until(condition, timeout_seconds=seconds, what="it")
    except TimeoutError:
        return False
    return True
