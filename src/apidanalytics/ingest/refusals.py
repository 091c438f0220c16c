"""The refusals that the HTTP server gives by itself; the connection closes after each of them."""

from apidanalytics.errors import ErrorCode, Refusal


def too_large() -> Refusal:
    """Return the 413 for a body that is over the limit, as received."""
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "The request body is too large")


def framing_too_large() -> Refusal:
    """Return the 413 for a chunked body that has far more bytes around it than in it."""
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, "Chunk extensions or trailers are too large")


def header_too_large() -> Refusal:
    """Return the 431."""
    return Refusal(431, ErrorCode.HEADERS_TOO_LARGE, "The request header is too large")


def target_too_long() -> Refusal:
    """Return the 414."""
    return Refusal(414, ErrorCode.URI_TOO_LONG, "The request target is too long")


def malformed(what: str) -> Refusal:
    """Return the 400 for what is not HTTP, or could be read in two ways."""
    return Refusal(400, ErrorCode.BAD_REQUEST, f"Malformed HTTP request: {what}")


def unsupported_version() -> Refusal:
    """Return the 505."""
    return Refusal(505, ErrorCode.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are supported")


def client_not_allowed() -> Refusal:
    """Return the 403 for a client whose certificate has none of the allowed names."""
    return Refusal(403, ErrorCode.CLIENT_NOT_ALLOWED, "No name in the client certificate is allowed here")


def unsupported_expectation() -> Refusal:
    """Return the 417."""
    return Refusal(417, ErrorCode.EXPECTATION_FAILED, "Only supported expectation is 100-continue")


def too_slow() -> Refusal:
    """Return the 408."""
    return Refusal(408, ErrorCode.REQUEST_TIMEOUT, "The request did not arrive in time")


def unsupported_coding() -> Refusal:
    """Return the 501."""
    return Refusal(501, ErrorCode.UNSUPPORTED_TRANSFER_ENCODING, "Only supported transfer encoding is chunked")


def from_parser(text: str) -> Refusal:
    """Return the answer to what llhttp does not accept; ``text`` is the reason it gives."""
    if text in {"Invalid HTTP version", "Pause on PRI/Upgrade"}:  # the latter is the preface of HTTP/2
        return unsupported_version()
    if text == "Request has invalid `Transfer-Encoding`":
        return unsupported_coding()
    return malformed(text)
