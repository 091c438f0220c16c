"""The bearer token for the collection endpoint: fixed, or the content of a file that may be replaced at any time."""

import asyncio
import os
from pathlib import Path
from typing import Protocol

from apidanalytics.errors import ApidAnalyticsError
from apidanalytics.file_versions import Version, version_of


class TokenUnavailableError(ApidAnalyticsError):
    """There should be a token, but it cannot be read."""


class TokenSource(Protocol):
    """Where the token comes from."""

    async def current(self) -> str | None:
        """Return the token as it is now; None when there is none.

        Raises:
            TokenUnavailableError: there should be one, but it cannot be read.

        """

    async def refused(self, token: str | None) -> None:
        """Hear that the endpoint does not take this token; another one may be there afterwards."""


class FixedToken:
    """A token that never changes, or none."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "<FixedToken>"

    async def current(self) -> str | None:
        """Return it."""
        return self._token or None

    async def refused(self, token: str | None) -> None:
        """Do nothing: there is no other one."""


class TokenFile:
    """The content of a file without the white space around it, read again whenever the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: Version | None = None
        self._token: str | None = None

    def __repr__(self) -> str:
        return f"<TokenFile {self._path}>"

    async def current(self) -> str | None:
        """Return what the file says now.

        Raises:
            TokenUnavailableError: it cannot be read, or is empty.

        """
        try:
            token = await asyncio.to_thread(self._read)
        except (OSError, UnicodeDecodeError) as error:
            raise TokenUnavailableError(f"cannot read the token from {self._path}: {type(error).__name__}") from error
        if not token:
            raise TokenUnavailableError(f"no token in {self._path}")
        return token

    async def refused(self, token: str | None) -> None:
        """Do nothing: the file is read again anyway."""

    def _read(self) -> str | None:
        with self._path.open(encoding="utf-8") as file:
            version = version_of(os.fstat(file.fileno()))
            if version != self._version:
                self._token = file.read(1 << 20).strip()
                self._version = version
        return self._token
