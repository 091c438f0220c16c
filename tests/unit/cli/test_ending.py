"""A command that could not do what it should says why in a sentence, without a traceback."""

import sqlite3

import pytest

from apidanalytics.cli.ending import told
from apidanalytics.errors import ConfigurationError, DataDirectoryLocked, NotRunningError, RefusedError

CASES = [
    (ConfigurationError(["a: wrong", "b: wrong"]), 2, "a: wrong\nb: wrong\n"),
    (DataDirectoryLocked("pid 7 has it"), 3, "Nothing was done: pid 7 has it.\n"),
    (NotRunningError("no agent answers there"), 4, "No agent answers there.\n"),
    (RefusedError("no such tenant: a~b"), 1, "No such tenant: a~b.\n"),
    (KeyboardInterrupt(), 130, ""),
    (PermissionError(13, "Permission denied", "/data/ledger.db"), 1, "/data/ledger.db: permission denied. Run this as"),
    (FileNotFoundError(2, "No such file or directory", "/data"), 1, "/data: No such file or directory.\n"),
    (sqlite3.DatabaseError("file is not a database"), 1, "The ledger cannot be read: file is not a database."),
]


@pytest.mark.parametrize(("error", "code", "said"), CASES, ids=lambda case: type(case).__name__)
def test_it_ends_with_its_code_and_a_sentence(error, code, said, capsys):
    assert told(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert bool(err) is bool(said)
