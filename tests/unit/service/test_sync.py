"""What is said of Apigee Sync while it cannot be followed, and while there is only no new token."""

from types import SimpleNamespace

import pytest

from apidanalytics.apigeesync.state import State, SyncState
from apidanalytics.apigeesync.token import TokenKeeper
from apidanalytics.scopes.trouble import Lasting
from apidanalytics.service.sync import ScopeSync, SyncToken
from apidanalytics.upload.token import TokenUnavailableError

NOW = 1_800_000_000.0
REASON = "token: status 503"


@pytest.fixture
def parts():
    """Return what follows Apigee Sync, the clock's seconds, its state and its keeper of the token."""
    seconds = [0.0]
    clock = SimpleNamespace(now=lambda: NOW + seconds[-1], monotonic=lambda: seconds[-1])
    state = SyncState(clock=clock, version="1_a", state=State.FOLLOWING)
    tokens = TokenKeeper(None, clock=clock, cap_seconds=1.0, random=lambda: 0.0)
    sync = ScopeSync.__new__(ScopeSync)
    sync._follower, sync._tokens, sync._clock = SimpleNamespace(state=state), tokens, clock
    return SimpleNamespace(sync=sync, seconds=seconds, state=state, tokens=tokens)


def test_trouble_lasts_since_its_first_attempt(parts):
    for second in (0.0, 60.0):
        parts.seconds.append(second)
        parts.state.failed("no connection", 1.0)
    assert parts.sync.trouble == Lasting(reason="no connection", since=NOW)
    parts.state.reached()
    assert parts.sync.trouble is None


def test_while_the_old_token_serves_the_scope_data_are_followed(parts):
    parts.tokens._token = SimpleNamespace(text="t", ends_at=60.0)
    parts.tokens.last_error = REASON
    parts.tokens.outage.failed(REASON)
    assert parts.sync.trouble is None
    assert (parts.sync.status()["state"], parts.sync.status()["last_error"]) == ("following", REASON)
    parts.seconds.append(60.0)
    assert parts.sync.trouble == Lasting(reason=REASON, since=NOW)
    assert parts.sync.status()["state"] == "behind"


async def test_uploads_without_a_token_say_why_there_is_none(parts):
    token = SyncToken(parts.tokens)
    with pytest.raises(TokenUnavailableError, match="no token from Apigee Sync yet"):
        await token.current()
    parts.tokens.last_error = REASON
    with pytest.raises(TokenUnavailableError, match=f"no token from Apigee Sync: {REASON}"):
        await token.current()
