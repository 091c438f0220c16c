"""From HTTP requests to the service's commands, and back."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from apidanalytics.admin.exposition import expose
from apidanalytics.admin.guard import SECURITY_HEADERS, Guard, Handler
from apidanalytics.admin.labels import LabelledTenants
from apidanalytics.admin.pages import Page, description, pages
from apidanalytics.admin.routes import ROUTES, STATUSES, Route

log = structlog.get_logger()

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers a command of the service."""

MAX_BODY_BYTES: Final = 1 << 16


def application(ask: Ask, guard: Guard, labelled: LabelledTenants) -> web.Application:
    """Return what serves the administration address."""
    app = web.Application(middlewares=[_guarded(guard)], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready(ask))
    app.router.add_get("/metrics", _metrics(ask, labelled))
    app.router.add_get("/openapi.json", _answer_of(description()))
    for page in pages():
        app.router.add_get(page.path, _answer_of_page(page))
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _command(ask, route))
        if route.method == "GET":
            app.router.add_route("HEAD", route.path, _command(ask, route))
    return app


def _guarded(guard: Guard) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = guard.refusal(request)
        response = await _handle(request, handler) if refusal is None else _problem(*refusal)
        response.headers.update({name: text for name, text in SECURITY_HEADERS.items() if name not in response.headers})
        if response.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    return middleware


async def _handle(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = _problem(error.status, error.reason)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("admin.defect", path=request.path, hint="a defect of ours; nothing else is affected")
        return _problem(500, "the service could not answer; its log says why")


def _command(ask: Ask, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        parameters: dict[str, Any] = dict(request.query)
        if len(parameters) < len(request.query):
            return _problem(400, "a parameter is there twice")
        if "command" in parameters or parameters.keys() & request.match_info.keys():
            return _problem(400, "no such parameter")
        if route.command == "status":
            parameters.setdefault("tenants", "false")
        answer = await ask({**parameters, **request.match_info, "command": route.command})
        if "error" in answer:
            return _problem(STATUSES[answer["kind"]], answer["error"])
        return _json(answer)

    return handle


async def _health(_request: web.Request) -> web.StreamResponse:
    return _json({"status": "alive"})


def _ready(ask: Ask) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        answer = await ask({"command": "ready"})
        return _json(answer, status=200 if answer.get("ready") else 503)

    return handle


def _metrics(ask: Ask, labelled: LabelledTenants) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        facts = await ask({"command": "metrics"})
        body, content_type = expose(facts, labelled, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return handle


def _answer_of(content: dict[str, Any]) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return _json(content)

    return handle


def _answer_of_page(page: Page) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=page.body, content_type=page.content_type, charset="utf-8")

    return handle


def _json(content: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def _problem(status: int, reason: str) -> web.Response:
    return _json({"error": reason}, status=status)
