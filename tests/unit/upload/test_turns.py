"""Files are got ready ahead, and sent in turn."""

import asyncio

import pytest

from apidanalytics.upload.turns import PostponedError, Turns


async def test_no_more_than_the_slots_have_their_turn_and_the_next_gets_it_when_one_is_through():
    turns = Turns(1)
    first, second = turns.turn(), turns.turn()
    async with first:
        waiting = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(0)
        assert (second.is_waiting, waiting.done()) == (True, False)
    await waiting
    assert not second.is_waiting


async def test_they_go_as_they_were_taken_whichever_was_ready_first():
    turns = Turns(1)
    names = ["first", "second", "third"]
    taken = {name: turns.turn() for name in names}
    went = []

    async def go(name: str) -> None:
        async with taken[name]:
            went.append(name)

    async with asyncio.TaskGroup() as group, turns.turn():
        for name in reversed(names):
            group.create_task(go(name))
            await asyncio.sleep(0)
    assert went == names


async def test_one_that_gives_its_turn_up_lets_the_next_go_and_returns_it_once():
    turns = Turns(1)
    first, second, third = turns.turn(), turns.turn(), turns.turn()
    async with first:
        first.give_up()
        first.give_up()
        async with second, asyncio.timeout(60):
            waiting = asyncio.create_task(third.__aenter__())
            await asyncio.sleep(0)
            assert third.is_waiting
        await waiting
    async with asyncio.timeout(60), first:
        pass  # for another try it needs none


async def test_one_that_is_over_before_it_is_left_lets_the_next_go_and_needs_another_for_another_try():
    turns = Turns(1)
    first, second = turns.turn(), turns.turn()
    async with first:
        first.end()
        first.end()
        async with second, asyncio.timeout(1):
            waiting = asyncio.create_task(first.__aenter__())
            await asyncio.sleep(0)
            assert first.is_waiting
        await waiting


async def test_one_that_is_cancelled_while_it_waits_takes_nothing_along():
    turns = Turns(1)
    async with turns.turn():
        waiting = asyncio.create_task(turns.turn().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    async with asyncio.timeout(60), turns.turn():
        pass


async def test_one_that_may_not_go_any_more_when_its_turn_comes_is_postponed_and_leaves_the_turn_to_others():
    turns = Turns(1)
    with pytest.raises(PostponedError):
        async with turns.turn(lambda: False):
            raise AssertionError("entered")
    async with asyncio.timeout(60), turns.turn():
        pass


async def test_one_that_may_not_go_yet_lets_others_go_and_goes_when_it_may_once_something_ended():
    turns = Turns(2)
    may_go = None
    early, late = turns.turn(lambda: may_go), turns.turn()
    async with asyncio.timeout(10):
        waiting = asyncio.create_task(early.__aenter__())
        await asyncio.sleep(0)
        async with late:
            assert (early.is_waiting, turns.has_free) == (True, True)
        assert early.is_waiting
        may_go = True
        turns.look_again()
        await waiting
    assert not early.is_waiting


async def test_of_those_that_wait_the_first_one_that_may_goes_first():
    turns, came = Turns(1), []

    async def come(name):
        async with turns.turn(lambda: True if name in allowed else None):
            came.append(name)

    allowed = ()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(come(name))
        await asyncio.sleep(0)
        allowed = "bc"
        turns.look_again()
        while came != ["b", "c"]:
            await asyncio.sleep(0)
        allowed = "a"
        turns.look_again()
    assert came == ["b", "c", "a"]


async def test_only_one_at_a_time_is_sent_back_for_each_changes_what_the_others_may():
    turns, may_go = Turns(1), None
    waiting = [asyncio.create_task(turns.turn(lambda: may_go).__aenter__()) for _ in range(2)]
    await asyncio.sleep(0)
    may_go = False
    turns.look_again()
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.done() for task in waiting] == [True, False]
    turns.look_again()
    await asyncio.wait(waiting)
    assert [type(task.exception()) for task in waiting] == [PostponedError] * 2


async def test_one_that_is_cancelled_just_as_its_turn_comes_gives_it_back():
    turns = Turns(1)
    async with turns.turn():
        waiting = asyncio.create_task(turns.turn().__aenter__())
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not turns.has_free
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert turns.has_free


async def test_the_next_is_asked_only_when_it_is_decided_what_follows_from_how_the_last_one_ended():
    turns, may_go = Turns(1), True
    async with turns.turn():
        waiting = asyncio.create_task(turns.turn(lambda: may_go).__aenter__())
        await asyncio.sleep(0)
    may_go = False
    with pytest.raises(PostponedError):
        await waiting
