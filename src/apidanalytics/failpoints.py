"""Named points in the code at which a test can make the process die, hang or fail.

``hit("spool.before_sync")`` costs a dictionary look-up while nothing is armed. Points are armed by the
environment, ``APIDANALYTICS_FAILPOINTS="spool.before_sync=kill@3,pack.before_publish=error"``: the action, and
after ``@`` at which hit it strikes (default: every one). Actions: ``kill`` (SIGKILL to this process), ``error``
(raise ``OSError(EIO)``), ``full`` (raise ``OSError(ENOSPC)``), ``sleep:<seconds>``.

Every point is listed in ``POINTS``: from the first byte to the delete after upload, then those of recovery, of scope
data that follows a feed, and of keys that a dead worker left open. The crash tests run through that list, so a point
that is not listed is an error.
"""

import errno
import os
import re
import signal
import time
from typing import Final

POINTS: Final = (
    "keys.before_claim",
    "keys.after_claim",
    "ingest.before_append",
    "spool.before_create",
    "spool.after_create",
    "spool.before_write",
    "spool.before_sync",
    "spool.after_sync",
    "keys.before_settle",
    "keys.after_settle",
    "spool.before_seal",
    "spool.after_seal",
    "pack.before_read",
    "pack.before_write",
    "pack.before_publish",
    "pack.after_publish",
    "pack.before_ledger",
    "pack.after_ledger",
    "keys.before_spool_goes",
    "keys.after_spool_goes",
    "pack.before_remove_spool",
    "pack.after_remove_spool",
    "upload.before_sign",
    "upload.before_put",
    "upload.after_put",
    "upload.after_ledger",
    "upload.after_delete",
    "recover.before_rename",
    "recover.after_rename",
    "sync.before_download",
    "sync.after_download",
    "sync.before_verify",
    "sync.before_build",
    "sync.after_build",
    "sync.before_publish",
    "sync.before_state",
    "sync.after_publish",
    "sync.before_apply",
    "sync.before_commit",
    "sync.after_commit",
    "sync.before_announce",
    "sync.after_announce",
    "sync.before_remove",
    "sync.after_remove",
    "keys.before_close",
    "keys.after_close",
)

VARIABLE: Final = "APIDANALYTICS_FAILPOINTS"

_TERM: Final = re.compile(r"([a-z._]+)=(kill|error|full|sleep:\d+(?:\.\d+)?)(?:@(\d+))?")


class _Armed:
    """One armed point: what to do, and at which hit."""

    def __init__(self, action: str, at: int) -> None:
        self.action = action
        self.at = at
        self.hits = 0

    def strike(self) -> None:
        self.hits += 1
        if self.at and self.hits != self.at:
            return
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "error":
            raise OSError(errno.EIO, "failpoint")
        elif self.action == "full":
            raise OSError(errno.ENOSPC, "failpoint")
        else:
            time.sleep(float(self.action.removeprefix("sleep:")))


def parse(text: str) -> dict[str, _Armed]:
    """Parse the value of the environment variable.

    Raises:
        ValueError: a point that is not in ``POINTS``, or a term that is not ``point=action[@hit]`` with a known action.

    """
    armed: dict[str, _Armed] = {}
    for term in filter(None, text.split(",")):
        parts = _TERM.fullmatch(term)
        if parts is None or parts[1] not in POINTS:
            raise ValueError(f"not a failpoint: {term}")
        armed[parts[1]] = _Armed(parts[2], int(parts[3] or 0))
    return armed


_armed = parse(os.environ.get(VARIABLE, ""))


def hit(point: str) -> None:
    """Do what is armed for this point; nothing, almost for free, when nothing is."""
    if _armed and (armed := _armed.get(point)) is not None:
        armed.strike()
