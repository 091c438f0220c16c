"""Every name in the data directory and in the object store, with formatter and parser side by side.

What stands beside the data directory has its paths in ``config.Settings``.

::

    <local_storage_path><data_path>/             one agent owns it (agent.lock); directories 0700, files 0600
      tmp/        <spool number>.spool           open: a worker appends to it and holds its lock
                  <spool number>.spool.new       being created, holds nothing that was acknowledged
                  <anything>.part                half-made file, worth nothing after a crash
      sealed/     <spool number>.spool           complete, waits to be packed, never changed again
      recovered/  <spool number>~recoveredTS~<time>.spool    left by a process that died, waits to be packed
      staging/    <bucket directory>/<file>      closed, ready to upload, never changed again
      failed/     <bucket directory>/<file>      gave up for now
      damaged/    <name>, <name>.reason.json     could not be read, with the reason beside it
      keys/       index.db, later index.<n>.db   which idempotency keys were used; turn.lock: who may use it
                  <owner>.worker                 locked by a worker that claims keys, as long as it lives
      ledger.db   history and totals
      control.sock

    <spool number>       12 lower-case hex digits (48 random bits)
    <bucket directory>   <org>~<env>~<start>[~recoveredTS~<time>]
    <file>               <4 hex>_<start>.<end>_<instance id>_writer_<n>[_recovered_<time>].txt.gz
    <start>, <end>       yyyyMMddHHmmss, UTC
    <time>               yyyyMMddHHmmss.SSS, UTC: when the dead process's spool was moved to recovered/
    <n>                  spool number (decimal) * 1,000,000 + number of the file within the spool

Bytes of org and env other than ``A-Z a-z 0-9 . _ -`` are percent-encoded. The names that the Go original left in
``tmp``, ``recovered``, ``staging`` and ``failed`` parse with the same functions.
"""

from apidanalytics.layout.directory import DataDirectory
from apidanalytics.layout.names import (
    FILES_PER_SPOOL,
    MAX_TENANT_BYTES,
    BucketName,
    FileName,
    SpoolName,
    format_key_index,
    format_object_path,
    format_tenant,
    is_bucket,
    name_hash,
    parse_key_index,
    parse_tenant,
    spool_of,
    spool_pattern,
)

__all__ = [
    "FILES_PER_SPOOL",
    "MAX_TENANT_BYTES",
    "BucketName",
    "DataDirectory",
    "FileName",
    "SpoolName",
    "format_key_index",
    "format_object_path",
    "format_tenant",
    "is_bucket",
    "name_hash",
    "parse_key_index",
    "parse_tenant",
    "spool_of",
    "spool_pattern",
]
