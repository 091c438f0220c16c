"""Keeps a good token at hand: renewed ahead of its end, the old one serving meanwhile; replaced when refused."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from apidanalytics.apigeesync.backoff import pause_seconds
from apidanalytics.apigeesync.errors import AccountRefusedError, SyncError
from apidanalytics.apigeesync.outage import Outage
from apidanalytics.apigeesync.token_life import Token
from apidanalytics.clock import Clock

_log: Final = structlog.get_logger()

_ACCOUNT: Final = "the server refuses this account: check apigeesync_consumer_key and apigeesync_consumer_secret"
_SERVER: Final = "look at the server of apigeesync_proxy_server_base, and the way to it"
_OLD_SERVES: Final = "the old token serves until it ends"
_NONE_SERVES: Final = (
    "until there is one, scope data stay as they are (without any, batches get 500), and uploads that use it wait"
)

CALM_SECONDS: Final = 60.0
"""A token refused sooner than this after it was got does not make the next one come at once."""


class TokenKeeper:
    """Owns the token. ``run`` fetches it; everybody else asks ``current``, and says so when one was refused."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], *, clock: Clock, cap_seconds: float, random: Callable[[], float]
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cap_seconds = cap_seconds
        self._random = random
        self._token: Token | None = None
        self._refusals = 0
        self._arrived = asyncio.Event()
        self._wanted = asyncio.Event()
        self.outage = Outage(clock)
        self._meanwhile = ""
        self.last_error = ""
        """Why the last attempt failed; empty: it did not."""

    def __repr__(self) -> str:
        return f"<TokenKeeper {self._token} refusals={self._refusals}>"

    def good(self) -> str | None:
        """Return the token if it is good now."""
        token = self._token
        return token.text if token is not None and self._clock.monotonic() < token.ends_at else None

    async def current(self) -> str:
        """Return a good token, as soon as there is one."""
        while (token := self.good()) is None:
            self._arrived.clear()
            self._wanted.set()
            await self._arrived.wait()
        return token

    def refuse(self, text: str) -> None:
        """Have another token fetched, unless that has happened since this one was sent."""
        token = self._token
        if token is None or token.text != text:
            return
        is_calm = self._clock.monotonic() - token.obtained_at > CALM_SECONDS
        self._refusals = 0 if is_calm else self._refusals + 1
        self._token = None
        self._wanted.set()

    async def run(self) -> None:
        """Fetch and renew until cancelled."""
        while True:
            await asyncio.sleep(pause_seconds(self._refusals, self._cap_seconds, self._random))
            self._token = token = await self._fetch_at_last()
            self._wanted.clear()  # who wanted one while it was being fetched has it now
            self._arrived.set()
            try:
                async with asyncio.timeout(max(token.renew_at - self._clock.monotonic(), 0.0)):
                    await self._wanted.wait()
            except TimeoutError:
                self._refusals = 0

    async def _fetch_at_last(self) -> Token:
        failures = 0
        while True:
            try:
                token = await self._fetch()
            except SyncError as error:
                failures += 1
                self._note(error)
                await asyncio.sleep(pause_seconds(failures, self._cap_seconds, self._random))
            else:
                self._mend()
                return token

    def _note(self, error: SyncError) -> None:
        """Note a failed attempt; it is logged when its reason is new, when the old token ended, and once an hour."""
        self.last_error = str(error)
        meanwhile = _NONE_SERVES if self.good() is None else _OLD_SERVES
        advice = _ACCOUNT if isinstance(error, AccountRefusedError) else _SERVER
        has_changed, self._meanwhile = meanwhile != self._meanwhile, meanwhile
        if self.outage.failed(self.last_error) or has_changed:
            _log.warning(
                "sync.token_failed",
                reason=self.last_error,
                failing_for_seconds=self.outage.seconds,
                attempts=self.outage.attempts,
                good_for_seconds=self._left_seconds(),
                hint=f"{meanwhile}; it is tried again by itself; {advice}",
            )

    def _mend(self) -> None:
        if self.last_error:
            outage = self.outage
            _log.info("sync.token_mended", failed_for_seconds=outage.seconds, attempts=outage.attempts)
        self.outage.end()
        self.last_error = self._meanwhile = ""

    def _left_seconds(self) -> float:
        """Return for how long the token in use is good."""
        token = self._token
        return 0.0 if token is None else round(max(token.ends_at - self._clock.monotonic(), 0.0), 1)
