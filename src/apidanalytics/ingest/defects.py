"""What no check foresaw: a defect of ours, which costs its request a 500 and one line of the log."""

import structlog

log = structlog.get_logger()


def report(error: Exception) -> None:
    """Log a defect, with its traceback. A defect may strike with every request: lines that repeat are counted."""
    hint = "a defect of ours: the request was answered 500, and nothing of it was kept"
    log.error("ingest.defect", exc_info=error, hint=hint)
