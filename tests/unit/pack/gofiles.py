"""Buckets as the Go original leaves them: one gzip stream, flushed (sync flush) after every batch."""

import zlib

START = "20170120102400"
END = "20170120102600"
INSTANCE = "218e3d99-efaf-4a7b-b3f2-5e4b00c023b7"
DIRECTORY = f"acme~test~{START}"
NAME = f"5be1_{START}.{END}_{INSTANCE}_writer_0.txt.gz"
RECOVERED_AT = "20170130155452.616"
RECOVERED_DIRECTORY = f"{DIRECTORY}~recoveredTS~{RECOVERED_AT}"
RECOVERED_NAME = NAME.replace(".txt.gz", f"_recovered_{RECOVERED_AT}.txt.gz")


def record(n, size=0):
    return b'{"client_id":"k","n":%d,"path":"%s"}' % (n, b"x" * size)


def gzipped(batches, *, closed=True):
    """Return the file's bytes, and the offset up to which each batch was flushed."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    content, flushed = b"", []
    for batch in batches:
        content += compressor.compress(b"".join(line + b"\n" for line in batch))
        content += compressor.flush(zlib.Z_SYNC_FLUSH)
        flushed.append(len(content))
    return (content + compressor.flush() if closed else content), flushed


def bucket(place, name=DIRECTORY, **files):
    """Make a bucket directory; files by name, `torn`, ... are given as bytes under ``files``."""
    directory = place / name
    directory.mkdir()
    for file, content in files.items():
        (directory / file).write_bytes(content)
    return directory
