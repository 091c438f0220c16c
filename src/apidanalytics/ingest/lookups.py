"""The questions to the scope data, with the answer a client gets when there is none."""

from apidanalytics.errors import ErrorCode, LookupFailedError, Refusal, quote
from apidanalytics.ingest.ports import Scopes
from apidanalytics.model import Tenant


def tenant_by_scope(scopes: Scopes, uuid: str) -> Tenant:
    """Return the tenant behind a scope.

    Raises:
        Refusal: there is none, or the lookup failed.

    """
    try:
        tenant = scopes.tenant(uuid)
    except LookupFailedError:
        raise _failed("Tenant") from None
    if tenant is None:
        raise _unknown(f"scopeuuid: {quote(uuid)}")
    return tenant


def tenant_by_name(scopes: Scopes, org: str, env: str) -> Tenant:
    """Return the tenant of an org and env.

    Raises:
        Refusal: there is none, or the lookup failed.

    """
    try:
        tenant = scopes.tenant_of(org, env)
    except LookupFailedError:
        raise _failed("Tenant") from None
    if tenant is None:
        raise _unknown(f"org: {quote(org)} and env: {quote(env)}")
    return tenant


def developer_failed() -> Refusal:
    """Return the answer when nobody can say who stands behind an API key."""
    return _failed("Developer")


def _failed(what: str) -> Refusal:
    return Refusal(500, ErrorCode.INTERNAL_SEARCH_ERROR, f"{what} lookup failed")


def _unknown(what: str) -> Refusal:
    return Refusal(400, ErrorCode.UNKNOWN_SCOPE, f"No tenant found for this {what}")
