"""Answers of the collection endpoint that both of its servers give, and how the token is read."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from apidanalytics.collection.ports import SignedPut

_NO_STORE: Final = {"Cache-Control": "no-store"}


def signed(put: SignedPut) -> web.Response:
    """Return the answer that hands out a URL."""
    body = msgspec.json.encode({"url": put.url, "headers": put.headers})
    return web.Response(body=body, content_type="application/json", charset="utf-8", headers=_NO_STORE)


def problem(status: HTTPStatus, reason: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer that says what is wrong."""
    return web.json_response({"reason": reason}, status=status, headers=headers)


def unauthorized() -> web.Response:
    """Return the same answer for every token that is not good."""
    return problem(HTTPStatus.UNAUTHORIZED, "bearer token missing or wrong", {"WWW-Authenticate": "Bearer"})


def bearer_token(request: web.Request) -> str:
    """Return the token that a request brings; ``""`` if there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
