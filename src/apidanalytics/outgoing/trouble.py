"""Says what went wrong with a call, without any URL in it: a signed URL is a secret, and aiohttp quotes URLs."""

import os

import aiohttp


def describe(error: Exception) -> str:
    """Return what went wrong, for logs and status."""
    # Never str(error), see above.
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host}:{error.port} is not trusted"
        case aiohttp.ClientConnectorError():
            return f"no connection to {error.host}:{error.port}: {os_reason(error.os_error)}"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            return "the connection ended before the answer was complete"
        case OSError():
            return f"the connection broke: {os_reason(error)}"
        case _:
            return type(error).__name__


def os_reason(error: OSError) -> str:
    """Return the system's words for an error."""
    # A failed name look-up has numbers of its own, below zero.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or type(error).__name__
