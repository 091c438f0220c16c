"""What a refused request for a token says of the reason."""

from types import SimpleNamespace

import pytest

from apidanalytics.apigeesync.client import Servers, TokenCall
from apidanalytics.apigeesync.errors import AccountRefusedError, SyncError
from apidanalytics.apigeesync.http import Answer

SERVERS = Servers(proxy_base="http://p", snapshot_base="http://s", change_base="http://c", key="k1", secret="s3cret")


@pytest.mark.parametrize(("status", "kind"), [(401, AccountRefusedError), (503, SyncError)])
async def test_what_the_server_repeats_of_the_account_is_not_said(status, kind):
    async def fetch(_method, _url, _headers, *, body):
        return Answer(status=status, headers={}, body=b'{"error": "refused: %b", "description": "s3cret"}' % body)

    identity = SimpleNamespace(for_token=dict)
    call = TokenCall(SERVERS, SimpleNamespace(fetch=fetch), identity, SimpleNamespace(monotonic=lambda: 0.0))
    with pytest.raises(kind) as caught:
        await call()
    assert type(caught.value) is kind
    assert str(caught.value) == (
        f"token: status {status} (refused: client_id=***&client_secret=***&grant_type=client_credentials: ***)"
    )
