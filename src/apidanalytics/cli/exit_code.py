"""What the shell is told when a command ends.

====  =========================================================
code  meaning
====  =========================================================
0     it went well
1     it failed; the reason was printed
2     the configuration, or the command line, cannot be used
3     the data directory belongs to another agent
4     no service is running where the command looked for it
130   Ctrl-C ended it before it was through
====  =========================================================
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """See the table above, docs/errors.md and docs/commands.md."""

    OK = 0
    FAILURE = 1
    CONFIGURATION = 2
    LOCKED = 3
    NOT_RUNNING = 4
    INTERRUPTED = 130
