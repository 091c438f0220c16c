"""What is asked for first, by what an earlier process left."""

import asyncio
from types import SimpleNamespace

import pytest

from apidanalytics.apigeesync.follow import MOST_STALLED, STALE_START_SECONDS, Follower
from apidanalytics.apigeesync.wire import ChangeList

NOW = 1_800_000_000.0


class AskedError(Exception):
    """Ends the follower: what was asked for is known."""


class Client:
    async def snapshot(self, *_arguments, **_options):
        raise AskedError("snapshot")

    async def changes(self, *_arguments, **_options):
        raise AskedError("changes")


async def first_asked(taken_at, sequence=None):
    file = SimpleNamespace(
        version="v",
        sequence=sequence,
        taken_at=taken_at,
        is_outgrown=False,
        contact_at=taken_at,
        selectors=["s"],
        txid="t",
        is_sound=lambda: True,
        close=lambda: None,
    )
    store = SimpleNamespace(open_current=lambda: file, current="v", clear_part=lambda: "part", cluster_id="c")

    async def publish(_file, _news):
        pass

    clock = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
    follower = Follower(client=Client(), store=store, publish=publish, clock=clock, cap_seconds=1.0, random=lambda: 0.0)
    await follower.take_up()
    with pytest.raises(AskedError) as asked:
        await asyncio.wait_for(follower.run(), 30)
    await follower.aclose()
    return str(asked.value)


@pytest.mark.parametrize("seconds", [STALE_START_SECONDS + 1, -STALE_START_SECONDS - 1])
async def test_a_snapshot_that_is_old_or_from_the_future_is_taken_anew(seconds):
    assert await first_asked(NOW - seconds) == "snapshot"
    assert await first_asked(NOW - seconds, sequence="1") == "changes"


@pytest.mark.parametrize("seconds", [0, STALE_START_SECONDS, -STALE_START_SECONDS])
async def test_a_snapshot_of_a_moment_ago_is_followed(seconds):
    assert await first_asked(NOW - seconds) == "changes"


@pytest.mark.parametrize(("stalled", "reached"), [(0, 10), (MOST_STALLED, 10), (MOST_STALLED + 1, 5)])
async def test_a_server_that_is_a_little_behind_is_given_some_time_before_its_log_counts_as_new(stalled, reached):
    answers = [ChangeList(first=None, last=5, changes=())] * stalled + [ChangeList(first=None, last=10, changes=())]

    async def changes(*_arguments, **_options):
        return answers.pop(0)

    former = SimpleNamespace(sequence=10)
    file = SimpleNamespace(sequence=5, selectors=["s"], txid="t")
    file.apply = lambda _changes, last, _now: setattr(file, "sequence", last)
    clock = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
    store = SimpleNamespace(cluster_id="c")
    follower = Follower(
        client=SimpleNamespace(changes=changes),
        store=store,
        publish=lambda *_: None,
        clock=clock,
        cap_seconds=0.01,
        random=lambda: 0.0,
    )
    moved = []

    async def move_on(version):
        moved.append(version.sequence)

    follower._move_on = move_on
    await follower._catch_up(former, file)
    assert moved == [reached]
