"""What aiohttp may log of a request: not the one that is no HTTP, for aiohttp quotes it, signatures and all."""

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError


class _WithoutBadRequests(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


HTTP_LOG: Final = logging.getLogger("aiohttp.server.collection")
HTTP_LOG.addFilter(_WithoutBadRequests())
