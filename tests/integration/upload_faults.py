"""How endpoint and store of an upload world may misbehave."""

import asyncio

from aiohttp import web

from apidanalytics.upload.states import State


def attempts(world):
    states = (State.STAGED, State.FAILED, State.UPLOADED)
    return [known.attempts for state in states for known in world.ledger.files(state)]


def answer(status, *, times=None, **headers):
    """Misbehave with this status, so many times or always."""
    left = [times]

    async def behave(_request):
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                return None
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return behave


def only(tenant, behave):
    """Misbehave for one tenant, at the endpoint or at the store."""

    async def behave_for_one(request):
        if tenant in (request.query.get("tenant"), request.match_info["path"].partition("/")[0]):
            return await behave(request)
        return None

    return behave_for_one


async def hang(_request):
    await asyncio.sleep(30)


async def garbage(_request):
    return web.Response(text="<html>Welcome to the hotel's network</html>")


async def number_for_url(_request):
    return web.json_response({"url": 42})


async def cut_off_the_put(request):
    await request.content.read(10)
    request.transport.abort()
    return web.Response()


async def other_bytes(request):
    await request.read()
    return web.Response(headers={"ETag": f'"{"0" * 32}"'})


async def expired(_request):
    return web.Response(
        status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
    )
