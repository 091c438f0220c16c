"""The listener of the administration address. That its port is taken must not keep batches from being taken."""

import asyncio
import errno
import ssl
from typing import Final

import structlog
from aiohttp import web

log = structlog.get_logger()

RETRY_SECONDS: Final = 2.0
"""Until a port that another program has is tried again."""


class AdminServer:
    """Serves an application. ``start`` returns at once; ``run`` goes on trying where the port was taken."""

    def __init__(self, application: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._host = host
        self._port = port
        self._tls = tls
        self._is_listening = False

    def __repr__(self) -> str:
        return f"<AdminServer {self.url or 'not listening'}>"

    @property
    def url(self) -> str | None:
        """Where it serves; None while it does not."""
        if not self._is_listening or not self._runner.addresses:
            return None
        host, port = self._runner.addresses[0][:2]
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    async def start(self) -> None:
        """Listen, if the port is free.

        Raises:
            OSError: the address is none of this machine's, or may not be used.

        """
        await self._runner.setup()
        if not await self._listen():
            hint = "another program has this port; tried again every few seconds, and batches are taken meanwhile"
            log.warning("admin.port_taken", address=f"{self._host}:{self._port}", hint=hint)

    async def run(self) -> None:
        """Go on trying until it listens, then rest."""
        while not self._is_listening:
            await asyncio.sleep(RETRY_SECONDS)
            await self._listen()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Close everything; stopping twice is fine."""
        self._is_listening = False
        await self._runner.cleanup()

    async def _listen(self) -> bool:
        site = web.TCPSite(self._runner, self._host or None, self._port, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            await site.stop()
            return False
        self._is_listening = True
        log.info("admin.listening", address=self.url)
        return True
