"""Who is let in at the data API: the file of its tokens, read again whenever it changed, and told to the workers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from apidanalytics.access.tokens import Token
from apidanalytics.access.tokens_file import from_plain, load_tokens, to_plain
from apidanalytics.clock import Clock
from apidanalytics.config import Settings
from apidanalytics.control.channel import Message
from apidanalytics.errors import ConfigurationError
from apidanalytics.file_versions import Resting, look_at
from apidanalytics.ingest.guard import Guard

LOOK_SECONDS: Final = 1.0
"""How often the file is looked at; what changed must rest for as long before it is read."""

log = structlog.get_logger()


def check_access(settings: Settings) -> Sequence[Token] | None:
    """Return the tokens that are good; None: none is asked for.

    Raises:
        ConfigurationError: the file cannot be used; with every problem in it.

    """
    if settings.api_tokens_file is None:
        return None
    try:
        return load_tokens(settings.api_tokens_file)
    except ConfigurationError as error:
        raise ConfigurationError([f"apidanalytics_api_tokens_file: {one}" for one in error.problems]) from None


class Access:
    """The tokens in force. What the file says holds as a whole, or what was in force before stays."""

    def __init__(self, settings: Settings, tell: Callable[[Message], None], clock: Clock) -> None:
        """Read the file; ``tell`` tells every worker.

        Raises:
            ConfigurationError: it cannot be used.

        """
        self._paths = [settings.api_tokens_file] if settings.api_tokens_file is not None else []
        self._tell = tell
        self._clock = clock
        self._resting = Resting(look_at(self._paths))
        self._tokens = check_access(settings)
        self.trouble: str | None = None
        """Why the file as it is now is not in force."""
        self.trouble_since: float | None = None

    def __repr__(self) -> str:
        return "<Access open>" if self._tokens is None else f"<Access {len(self._tokens)} tokens>"

    def greeting(self) -> list[Message]:
        """Return what a new worker has to be told, before anything else is: it lets nobody in until then."""
        return [] if self._tokens is None else [{"type": "tokens", "tokens": to_plain(self._tokens)}]

    async def run(self) -> None:
        """Follow the file."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = await asyncio.to_thread(look_at, self._paths)
            if self._resting.is_due(now):
                self._resting.has_read(now)
                await self._renew()

    async def _renew(self) -> None:
        (path,) = self._paths
        try:
            self._tokens = await asyncio.to_thread(load_tokens, path)
        except ConfigurationError as error:
            self.trouble, self.trouble_since = error.problems[0], self._clock.now()
            hint = "the tokens of before stay in force"
            log.error("agent.tokens_refused", problems=error.problems, hint=hint)  # noqa: TRY400 - the problems say it all
            return
        self.trouble = self.trouble_since = None
        for message in self.greeting():
            self._tell(message)
        log.info("agent.tokens", tokens=len(self._tokens))


def follow_tokens(message: Message, guard: Guard) -> None:
    """Follow the agent's message in a worker."""
    if message["type"] == "tokens":
        guard.renew(from_plain(message["tokens"]))
