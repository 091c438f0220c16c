"""The three calls to Apigee Sync: token, snapshot, changes. Each is one attempt; the caller decides about the next."""

from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from apidanalytics import failpoints
from apidanalytics.apigeesync import redirect
from apidanalytics.apigeesync.errors import AccountRefusedError, SnapshotNeededError, SyncError, TokenRefusedError
from apidanalytics.apigeesync.http import Answer, Http
from apidanalytics.apigeesync.identity import Identity
from apidanalytics.apigeesync.sequence import Sequence
from apidanalytics.apigeesync.token import TokenKeeper
from apidanalytics.apigeesync.token_life import Token, read_token
from apidanalytics.apigeesync.wire import SNAPSHOT_TOO_OLD, ChangeList, read_changes, read_error
from apidanalytics.clock import Clock

FORM: Final = "application/x-www-form-urlencoded; param=value"
"""As the Go original spells it."""
SQLITE: Final = "application/transicator+sqlite"
_FORWARDED: Final = ("accept", "user-agent")
_NOT_THIS_ACCOUNT: Final = frozenset({400, 401, 403})
"""What a wrong key or secret is answered with; by OAuth 2.0 (RFC 6749, 5.2) it may be any of the first two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where the three servers are, and the account there."""

    proxy_base: str
    snapshot_base: str
    change_base: str
    key: str
    secret: str

    def __repr__(self) -> str:
        return f"Servers({self.proxy_base}, {self.snapshot_base}, {self.change_base})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A snapshot as it came, not looked into yet."""

    path: Path
    txid: str
    """What the header called it; may be empty, or anything."""
    is_verified: bool
    """Its SHA-256 is that of the ETag; False: there was none."""


class TokenCall:
    """Asks for tokens."""

    def __init__(self, servers: Servers, http: Http, identity: Identity, clock: Clock) -> None:
        self._servers = servers
        self._http = http
        self._identity = identity
        self._clock = clock

    async def __call__(self) -> Token:
        """Return a new token.

        Raises:
            SyncError: there is none.

        """
        servers = self._servers
        form = {"client_id": servers.key, "client_secret": servers.secret, "grant_type": "client_credentials"}
        headers = {"Content-Type": FORM, "Accept": "application/json", **self._identity.for_token()}
        url = _join(servers.proxy_base, "accesstoken")
        asked_at = self._clock.monotonic()
        answer = await self._http.fetch("POST", url, headers, body=urlencode(form).encode())
        if answer.status != 200:
            kind = AccountRefusedError if answer.status in _NOT_THIS_ACCOUNT else SyncError
            raise kind(f"token: {_refusal(answer, servers.secret, servers.key)}")
        token = read_token(answer.body, asked_at)
        if token is None:
            raise SyncError("token: the answer holds none")
        return token


class DataClient:
    """Asks for snapshots and changes, with the keeper's token; a refused one is replaced once."""

    def __init__(
        self, servers: Servers, http: Http, identity: Identity, tokens: TokenKeeper, *, block: int, limit: int
    ) -> None:
        self._servers = servers
        self._http = http
        self._identity = identity
        self._tokens = tokens
        self._block = block
        self._limit = limit

    def __repr__(self) -> str:
        return f"<DataClient {self._servers!r}>"

    async def snapshot(self, selectors: Many[str], target: Path) -> Downloaded:
        """Save a snapshot of these selectors as a new file.

        Raises:
            SyncError: it did not come, or not whole.
            OSError: it cannot be saved.

        """
        url = f"{_join(self._servers.snapshot_base, 'snapshots')}?{_query([('scope', s) for s in selectors])}"
        answer = await self._download(url, target)
        if answer.status == 401:
            answer = await self._download(url, target)
        if answer.status == 401:
            raise TokenRefusedError("snapshot: the token is not taken")
        if answer.status != 200:
            raise SyncError(f"snapshot: {_refusal(answer)}")
        txid = answer.headers.get("transicator-snapshot-txid", "")
        return Downloaded(path=target, txid=txid, is_verified=_check_etag(answer))

    async def changes(
        self, selectors: Many[str], *, since: Sequence | None, snapshot: str, waits: bool = True
    ) -> ChangeList:
        """Return what changed since; if there is a ``since`` and nothing changed, wait for it (or do not).

        Raises:
            SnapshotNeededError: the server has forgotten what comes after ``since``.
            SyncError: there is no usable answer.

        """
        block = self._block if waits and since is not None else 0
        asked = [("block", str(block)), ("limit", str(self._limit)), *(("scope", name) for name in selectors)]
        asked += [("since", str(since))] if since is not None else []
        url = f"{_join(self._servers.change_base, 'changes')}?{_query([*asked, ('snapshot', snapshot)])}"
        answer = await self._ask(url, block)
        if answer.status == 401:
            answer = await self._ask(url, block)
        return _read(answer)

    async def _ask(self, url: str, block: int) -> Answer:
        token = await self._tokens.current()
        answer = await self._http.fetch("GET", url, self._identity.for_data(token), wait_seconds=block)
        if answer.status == 401:
            self._tokens.refuse(token)
        return answer

    async def _download(self, url: str, target: Path) -> Answer:
        """Follow redirects to the snapshot and save it."""
        token = await self._tokens.current()
        named = {"Accept": SQLITE, **self._identity.for_data(token)}
        current, answer = url, await self._save(url, url, named, target)
        for _ in range(redirect.MAX_REDIRECTS):
            if answer.status not in redirect.STATUSES:
                break
            place = redirect.target_of(current, answer.headers.get("location"))
            if place is None:
                raise SyncError("snapshot: a redirect leads nowhere")
            current, answer = place, await self._save(url, place, named, target)
            prefixed = redirect.with_prefix(self._servers.snapshot_base, place)
            if answer.status == 404 and prefixed is not None:
                current, answer = prefixed, await self._save(url, prefixed, named, target)
        if answer.status == 401:
            self._tokens.refuse(token)
        return answer

    async def _save(self, origin: str, url: str, headers: dict[str, str], target: Path) -> Answer:
        failpoints.hit("sync.before_download")
        is_ours = redirect.is_same_origin(origin, url)
        sent = headers if is_ours else {name: value for name, value in headers.items() if name.lower() in _FORWARDED}
        return await self._http.save(url, sent, target)


def _read(answer: Answer) -> ChangeList:
    if answer.status == 401:
        raise TokenRefusedError("changes: the token is not taken")
    if answer.status == 400 and read_error(answer.body)[0] == SNAPSHOT_TOO_OLD:
        raise SnapshotNeededError("the server no longer has the changes since then")
    if answer.status != 200:
        raise SyncError(f"changes: {_refusal(answer)}")
    try:
        return read_changes(answer.body)
    except ValueError as error:
        raise SyncError(f"changes: {error}") from error


def _check_etag(answer: Answer) -> bool:
    """Hold the file against the SHA-256 in the ETag; return whether there is one."""
    etag = answer.headers.get("etag", "").removeprefix("W/").strip('"').lower()
    if len(etag) == 64 and etag != answer.sha256:
        raise SyncError("snapshot: what came is not what its ETag says")
    return etag == answer.sha256


def _refusal(answer: Answer, *secrets: str) -> str:
    code, text = read_error(answer.body, secrets)
    return " ".join(part for part in (f"status {answer.status}", code, text and f"({text})") if part)


def _join(base: str, name: str) -> str:
    return f"{base.rstrip('/')}/{name}"


def _query(pairs: Many[tuple[str, str]]) -> str:
    return urlencode(pairs, quote_via=quote, safe="")
