"""Neither token nor signed URL leave the way they are meant for."""

import asyncio

from aiohttp import web
from structlog.testing import capture_logs

from apidanalytics.upload.states import State
from tests.integration.upload_faults import answer, cut_off_the_put
from tests.integration.upload_world import Server, broken_off, until

TENANTS = ["acme~prod", "zeta~test"] * 6


async def test_the_token_goes_to_no_other_host_along_a_redirect(world):
    seen = []

    class Other(Server):
        async def handle(self, request):
            seen.append(request)
            return web.json_response({"url": "http://127.0.0.1:1/"})

    other = Other()
    await other.open()
    world.endpoint.behave = answer(307, Location=f"{other.base}/base/analytics")
    world.stage(*TENANTS)
    async with world.uploading() as uploader:
        await until(lambda: uploader.state().stopped_since, "the breaker opens")
        assert "redirect" in uploader.state().stopped_reason
        world.endpoint.behave = answer(200, times=0)
        await world.delivered()
    await other.aclose()
    assert seen == []


async def test_a_redirect_within_the_endpoint_is_followed_with_the_token(world):
    async def move(request):
        if request.path == "/old/analytics":
            return web.Response(status=307, headers={"Location": f"/base/analytics?{request.query_string}"})
        return None

    world.endpoint.behave = move
    world.stage("acme~prod")
    async with world.uploading(base=f"{world.endpoint.base}/old"):
        await world.delivered()


async def test_a_put_is_not_redirected_and_its_url_not_passed_on(world):
    seen = []

    class Other(Server):
        async def handle(self, request):
            seen.append(request)
            return web.Response()

    other = Other()
    await other.open()
    world.store.behave = answer(307, Location=f"{other.base}/elsewhere")
    world.stage("acme~prod")
    async with world.uploading():
        await until(lambda: world.total(State.FAILED) == 1, "failed")
    await other.aclose()
    assert seen == []


async def test_no_token_and_no_signed_url_is_in_a_log_or_in_the_ledger(world):
    behaviours = [
        answer(403),
        answer(500),
        broken_off,
        cut_off_the_put,
        answer(302, Location="http://127.0.0.1:9/secret-0"),
    ]
    with capture_logs() as logs:
        for behave in behaviours:
            world.store.behave = behave
            world.stage("acme~prod")
            async with world.uploading(timeout_seconds=0.3, settings=world.settings(interval_seconds=60)):
                await until(lambda: world.total(State.FAILED) or logs, "something is said")
                await asyncio.sleep(0.2)
    text = repr(logs) + repr([known for state in State for known in world.ledger.files(state)])
    assert "upload.tenant_trouble" in text
    assert "secret" not in text
