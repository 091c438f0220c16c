"""The spool's frames against an SQLite database in WAL mode: CPU per commit and to close (docs/adr/0001)."""

import os
import resource
import shutil
import sqlite3
import tempfile
from pathlib import Path

from isal import isal_zlib

from apidanalytics.layout import DataDirectory
from apidanalytics.model import SpoolHeader
from apidanalytics.spool.file import OpenSpool
from apidanalytics.spool.frame import Share

COMMITS = 4000
CHUNKS = [os.urandom(30_000) for _ in range(20)]


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def with_sqlite(directory):
    database = sqlite3.connect(directory / "spool.db", isolation_level=None)
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=0"):
        database.execute(f"pragma {pragma}")
    database.execute("create table row (id integer primary key, tenant text, start int, records int, chunk blob)")
    before = cpu_seconds()
    for n in range(COMMITS):
        chunk = isal_zlib.compress(CHUNKS[n % 20], 1)
        database.execute("begin")
        database.execute("insert into row (tenant, start, records, chunk) values ('a~b', 0, 1, ?)", (chunk,))
        database.execute("commit")
    committed = cpu_seconds()
    database.close()
    return committed - before, cpu_seconds() - committed


def with_frames(directory):
    data = DataDirectory(directory)
    data.create()

    def header(number):
        return SpoolHeader(number=number, interval_seconds=1, max_file_bytes=1, instance_id="i", created_at=0.0)

    spool = OpenSpool.create(data, header, os.fdatasync)
    before = cpu_seconds()
    for n in range(COMMITS):
        spool.append([Share(tenant="a~b", start_at=0, records=1, lines=CHUNKS[n % 20])])
    committed = cpu_seconds()
    spool.seal(data)
    return committed - before, cpu_seconds() - committed


def main():
    print("CPU: µs per commit | seconds to close")
    for name, run in (("sqlite", with_sqlite), ("frames", with_frames)) * 3:
        directory = Path(tempfile.mkdtemp(dir="."))
        try:
            commit, close = run(directory)
        finally:
            shutil.rmtree(directory)
        print(f"{name}: {commit / COMMITS * 1e6:6.0f} | {close:.2f}")


if __name__ == "__main__":
    main()
