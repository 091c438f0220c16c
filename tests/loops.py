"""The end of an event loop that a test ran in a thread of its own."""

import asyncio


async def end_other_tasks() -> None:
    """End every other task of this event loop: one that is dropped in the middle closes nothing that it had open.

    What it leaves open is found by the garbage collector, in the middle of another test, and fails that one.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
