"""The collection service, over HTTP.

=======  ==============================  ==========================================================================
GET      {base_path}/analytics           200 ``{"url": ..., "headers": ...}``, and the entry is in the audit log;
                                         400 parameters; 401 token; 403 not this token's tenant; 404 no such tenant;
                                         429 + ``Retry-After`` too often; 503 + ``Retry-After`` no credentials to sign
                                         with, or no audit log to write to
PUT      /lake/{store}/{key}             stores of type ``local`` only, see ``local``
GET      /health, /ready                 200; ``/ready`` 503 while the service stops
=======  ==============================  ==========================================================================
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web

from apidanalytics.access.tokens import Token, hash_token
from apidanalytics.clock import Clock
from apidanalytics.collection import answers
from apidanalytics.collection.asked import Asked, read_asked
from apidanalytics.collection.audit import AuditLog, format_time
from apidanalytics.collection.local import PREFIX, LocalStore
from apidanalytics.collection.ports import Put, Store, StoreUnavailableError
from apidanalytics.collection.rate import RateLimit
from apidanalytics.collection.tenants import Denial, Found, Rules

RETRY_AFTER_SECONDS: Final = 5

_STATUS: Final = {
    Denial.NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Denial.UNKNOWN: HTTPStatus.NOT_FOUND,
    Denial.UNUSABLE: HTTPStatus.BAD_REQUEST,
    Denial.AMBIGUOUS: HTTPStatus.BAD_REQUEST,
}

log = structlog.get_logger()

_CANNOT_SIGN: Final = "requests for this store get 503 meanwhile; mend its credentials, and they are read again"
_CANNOT_AUDIT: Final = "requests get 503: no URL is handed out without its entry; make room, or mend its folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What the configuration in force says; a reload replaces it as a whole."""

    tokens: Mapping[str, Token]
    """By hash."""
    rules: Rules
    stores: Mapping[str, Store]
    limit: RateLimit
    audit: AuditLog


class CollectionServer:
    """Answers requests; it decides, signs, and writes the audit log."""

    def __init__(self, in_force: InForce, clock: Clock) -> None:
        self.in_force = in_force
        self._clock = clock
        self.is_stopping = False

    def __repr__(self) -> str:
        return f"<CollectionServer stores={sorted(self.in_force.stores)} stopping={self.is_stopping}>"

    def application(self, base_path: str) -> web.Application:
        """Return the routes."""
        app = web.Application(client_max_size=0)
        app.router.add_get(f"{base_path}/analytics", self._sign)
        app.router.add_put(PREFIX + "{store}/{key:.+}", self._put, expect_handler=self._expect)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        return app

    async def _sign(self, request: web.Request) -> web.Response:
        in_force = self.in_force
        token = in_force.tokens.get(hash_token(answers.bearer_token(request)))
        if token is None:
            return answers.unauthorized()
        wait_seconds = in_force.limit.take(token.name)
        if wait_seconds:
            retry = {"Retry-After": str(math.ceil(wait_seconds))}
            return answers.problem(HTTPStatus.TOO_MANY_REQUESTS, "more URLs than this token may ask for", retry)
        try:
            asked = read_asked(request.query)
        except ValueError as error:
            return answers.problem(HTTPStatus.BAD_REQUEST, str(error))
        found = in_force.rules.decide(asked.readings, token.allows)
        if isinstance(found, Denial):
            return answers.problem(_STATUS[found], found.value)
        return await self._hand_out(request, in_force, token, found, asked)

    async def _hand_out(
        self, request: web.Request, in_force: InForce, token: Token, found: Found, asked: Asked
    ) -> web.Response:
        rule = found.rule
        if asked.content_type not in rule.content_types:
            allowed = " or ".join(rule.content_types)
            return answers.problem(HTTPStatus.BAD_REQUEST, f"file_content_type is not {allowed}")
        put = Put(
            key=found.key(asked.relative_path),
            content_type=asked.content_type,
            encrypt=asked.encrypt,
            asked_at=self._clock.now(),
            expires_seconds=rule.expires_seconds,
        )
        try:
            signed = in_force.stores[rule.store].sign(put)
            await in_force.audit.write(
                {
                    "token": token.name,
                    "tenant": found.tenant,
                    "store": rule.store,
                    "key": put.key,
                    "content_type": put.content_type,
                    "encrypt": put.encrypt,
                    "expires_at": format_time(put.expires_at),
                    "client": request.remote,
                }
            )
        except StoreUnavailableError as error:
            log.error("collection.cannot_sign", store=rule.store, reason=str(error), hint=_CANNOT_SIGN)  # noqa: TRY400 - the reason says it all
            return _unavailable("the store's credentials are not to be had now")
        except OSError as error:
            log.error("collection.cannot_audit", reason=error.strerror, hint=_CANNOT_AUDIT)  # noqa: TRY400 - the reason says it all
            return _unavailable("the audit log cannot be written")
        return answers.signed(signed)

    async def _put(self, request: web.Request) -> web.Response:
        store = self._local_store(request)
        if store is None:
            return answers.problem(HTTPStatus.NOT_FOUND, "there is nothing at this path")
        return await store.put(request, request.match_info["key"])

    async def _expect(self, request: web.Request) -> web.StreamResponse | None:
        store = self._local_store(request)
        if store is None:
            return answers.problem(HTTPStatus.NOT_FOUND, "there is nothing at this path")
        return await store.expect(request, request.match_info["key"])

    def _local_store(self, request: web.Request) -> LocalStore | None:
        store = self.in_force.stores.get(request.match_info["store"])
        return store if isinstance(store, LocalStore) else None

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        if self.is_stopping:
            return answers.problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service stops")
        return web.json_response({"status": "ready"})


def _unavailable(reason: str) -> web.Response:
    return answers.problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": str(RETRY_AFTER_SECONDS)})
