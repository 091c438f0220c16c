"""What blocks is done in one thread, in its order, and answered where it was asked."""

import asyncio
import threading

import pytest

from apidanalytics.errands import Errands


@pytest.fixture
async def make():
    made = []

    def make(carry_out):
        made.append(Errands("test", carry_out))
        return made[-1]

    yield make
    for errands in made:
        errands.close()


async def test_each_gets_its_own_result_or_error_from_another_thread(make):
    def carry_out(errands):
        assert threading.current_thread() is not threading.main_thread()
        return [ValueError(str(errand)) if errand == 2 else errand * 10 for errand in errands]

    errands = make(carry_out)
    answers = await asyncio.gather(*(errands.do(n) for n in range(4)), return_exceptions=True)
    assert [answers[0], answers[1], answers[3]] == [0, 10, 30]
    assert repr(answers[2]) == "ValueError('2')"


async def test_what_comes_while_it_is_at_work_is_done_in_one_go_and_in_order(make):
    seen, busy, go = [], threading.Event(), threading.Event()

    def carry_out(errands):
        seen.append(list(errands))
        busy.set()
        go.wait(30)
        return errands

    errands = make(carry_out)
    first = asyncio.create_task(errands.do(0))
    await asyncio.to_thread(busy.wait, 30)
    others = [asyncio.create_task(errands.do(n)) for n in range(1, 200)]
    await asyncio.sleep(0)
    go.set()
    assert [await first, *await asyncio.gather(*others)] == list(range(200))
    assert seen[0] == [0]
    assert len(seen) == 5, "64 at a time"


async def test_an_error_of_the_whole_is_everybodys_and_the_next_ones_go_on(make):
    def carry_out(errands):
        if None in errands:
            raise OSError("full")
        return errands

    errands = make(carry_out)
    with pytest.raises(OSError, match="full"):
        await errands.do(None)
    assert await errands.do(1) == 1


async def test_one_that_nobody_waits_for_any_more_is_done_all_the_same(make):
    done, go = [], threading.Event()

    def carry_out(errands):
        go.wait(30)
        done.extend(errands)
        return errands

    errands = make(carry_out)
    gone = asyncio.create_task(errands.do("gone"))
    await asyncio.sleep(0)
    gone.cancel()
    stays = asyncio.create_task(errands.do("stays"))
    await asyncio.sleep(0)
    go.set()
    assert await stays == "stays"
    assert done == ["gone", "stays"]


async def test_closed_it_finishes_and_another_errand_starts_it_anew(make):
    errands = make(lambda asked: [(threading.get_ident(), errand) for errand in asked])
    thread, _ = await errands.do(1)
    last = asyncio.create_task(errands.do(2))
    await asyncio.sleep(0)
    errands.close()
    errands.close()
    assert (await last)[0] == thread
    assert (await errands.do(3))[1] == 3


async def test_what_was_made_for_somebody_who_went_away_is_handed_to_who_cleans_up():
    busy, go, left = threading.Event(), threading.Event(), []

    def carry_out(errands):
        busy.set()
        go.wait(30)
        return [ValueError("no") if errand == 2 else errand for errand in errands]

    errands = Errands("test", carry_out, left_over=left.append)
    askers = [asyncio.create_task(errands.do(n)) for n in range(4)]
    await asyncio.to_thread(busy.wait, 30)
    for asker in askers[:3]:
        asker.cancel()
    go.set()
    assert await askers[3] == 3
    assert left == [0, 1]
    errands.close()


async def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch):
    errands = Errands("test", lambda errands: errands)

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            await errands.do(1)
    assert await asyncio.wait_for(errands.do(2), 30) == 2
    errands.close()


async def test_what_was_asked_in_the_turn_that_ends_it_is_carried_out(make):
    errands = make(lambda asked: asked)
    both = [asyncio.create_task(errands.do(n)) for n in range(2)]
    await asyncio.sleep(0)
    errands.close()
    assert await asyncio.gather(*both) == [0, 1]
    assert await errands.do(2) == 2
