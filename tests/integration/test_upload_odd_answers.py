"""Answers of a store that are not what they seem, and files that come back from ``failed/``."""

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web

from apidanalytics.backoff import Backoff
from apidanalytics.upload.states import State
from tests.integration.upload_faults import answer, attempts, only
from tests.integration.upload_world import QUICK, fine, until

TENANTS = ["acme~prod", "zeta~test"] * 6


async def test_a_put_that_is_forbidden_asks_for_a_new_url_within_the_same_attempt(world):
    world.store.behave = answer(403, times=1)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()
    assert world.endpoint.signed == 2
    assert attempts(world) == [0]
    first, second = (request.query["signature"] for request in world.store.requests)
    assert first != second


async def test_a_create_only_put_of_what_is_there_is_a_delivery(world):
    world.endpoint.headers = {"If-None-Match": "*"}
    world.store.after = answer(412)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()
    assert len(world.store.puts) == 1


async def test_a_412_that_forbids_every_put_is_no_delivery(world):
    async def forbidden(_request):
        body = "<Error><Code>OrgPolicyConstraintFailed</Code><Message>Request violates a constraint.</Message></Error>"
        return web.Response(status=412, text=body)

    world.store.behave = forbidden
    world.stage("acme~prod")
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    assert world.ledger.files(State.FAILED)[0].reason == "the object store answered 412 OrgPolicyConstraintFailed"
    assert len(world.left()) == 1
    world.store.behave = fine
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.1)):
        await world.delivered()


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_every_2xx_is_a_success(world, status):
    world.store.after = answer(status)
    world.stage("acme~prod")
    async with world.uploading():
        await world.delivered()


async def test_an_answer_that_is_lost_after_the_store_has_the_object_changes_nothing(world):
    lose = iter([True, False, True, True, False] * 100)

    async def lose_some(request):
        if next(lose):
            request.transport.abort()

    world.store.after = lose_some
    world.stage(*TENANTS)
    async with world.uploading():
        await world.delivered()
    assert len(world.store.puts) > len(world.expected)
    assert set(attempts(world)) == {0}


async def test_failed_files_come_back_after_a_later_success(world):
    world.endpoint.behave = answer(404)
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(interval_seconds=0.05)):
        await until(lambda: world.total(State.FAILED) == len(TENANTS), "all failed")
        world.endpoint.behave = answer(200, times=0)
        await asyncio.sleep(0.3)
        assert world.total(State.FAILED) == len(TENANTS), "nothing succeeded since"
        world.stage("acme~prod")
        await world.delivered()


async def test_failed_files_come_back_by_the_slow_clock_too(world):
    world.endpoint.behave = answer(404)
    world.stage(*TENANTS)
    async with world.uploading(settings=world.settings(failed_retry_seconds=0.5)):
        await until(lambda: world.total(State.FAILED) == len(TENANTS), "all failed")
        world.endpoint.behave = answer(200, times=0)
        await world.delivered()


async def test_a_file_from_failed_has_one_attempt_so_that_a_hopeless_one_costs_little(world):
    world.endpoint.behave = only("acme~prod", answer(404))
    world.stage("acme~prod")
    async with world.uploading(settings=world.settings(interval_seconds=0.1)):
        await until(lambda: world.total(State.FAILED) == 1, "failed")
        asked = len(world.endpoint.requests)
        world.stage("zeta~test")
        await until(lambda: len(world.endpoint.requests) == asked + 2, "one for each")
        await asyncio.sleep(0.5)
        assert len(world.endpoint.requests) == asked + 2


async def test_attempts_survive_a_restart(world):
    world.endpoint.behave = answer(404)
    world.stage("acme~prod")
    asked, pauses = [], Backoff(first_seconds=0.4, factor=1, longest_seconds=0.4)
    for _ in range(3):
        async with world.uploading(settings=world.settings(policy=replace(QUICK, file_pauses=pauses))):
            await until(lambda: sum(attempts(world)) > sum(asked), "one more attempt")
        asked.append(sum(attempts(world)) - sum(asked))
    assert world.total(State.FAILED) == 1
    assert len(world.endpoint.requests) == 3
