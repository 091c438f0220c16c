"""What is fuzzed. A target takes any bytes, and raises when something is not as documented.

Each of them holds the code against a second opinion: ``json`` for records and change lists, the rules of the
documentation for keys, the list of documented answers for HTTP, what was committed for spools.
"""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from apidanalytics import config
from apidanalytics.apigeesync.build import check, prepare
from apidanalytics.apigeesync.database import VersionFile
from apidanalytics.apigeesync.errors import SnapshotNeededError, SyncError
from apidanalytics.apigeesync.rows import check_fit, effect_of
from apidanalytics.apigeesync.tables import KEPT, stand_in
from apidanalytics.apigeesync.wire import Operation, read_changes, read_error, read_txid
from apidanalytics.errors import ApidAnalyticsError, ConfigurationError
from apidanalytics.ingest.payload import PayloadOptions
from apidanalytics.pack.salvage import Salvage
from apidanalytics.scopes import scopes_yaml
from apidanalytics.spool.counting import SpoolCounts, count_records
from apidanalytics.spool.segment import SegmentReader
from tests.property import test_http as wire
from tests.property import test_records as records
from tests.property.test_spool_format import as_bytes, flat, read_all
from tests.unit.ingest.batches import Api, body_of, good, request, told, zipped
from tests.unit.ingest.http_wire import Server
from tests.unit.spool.test_segment import CLAIMS, GROUPS

_DIRECTORY = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
_DEEPEST = 100
"""Where nesting ends is the parsers' own affair; that it ends well is a matter of other tests."""


def http(data: bytes) -> None:
    """Answer any bytes, however they were split, as documented or not at all, and leave nothing behind."""
    how, data = (data or b"\0")[0], data[1:]
    server = Server(answers=bool(how & 1), **wire.LIMITS)
    cuts = [part for part in data.split(b"\xff\xff") if part]
    client = server.connect().send(*cuts)
    if how & 2:
        client.half_close()
    server.answer_all()
    server.answer_all()
    for _ in range(12):
        server.clock.time += 40
        if server.state.sweep():
            server.state.expire_overdue()
        server.run()
        server.answer_all()
    _check_answers(client.transport.written, has_heads=b"HEAD" in b"".join(cuts))
    assert client.is_over
    assert server.state.budget.used == server.state.budget.partial == 0
    assert not server.state.connections


def _check_answers(written: bytes, *, has_heads: bool) -> None:
    """Every byte belongs to an answer; one that refuses is documented, and is the last one."""
    while written:
        head, separator, written = written.partition(b"\r\n\r\n")
        line, *lines = head.decode("ascii").split("\r\n")
        status, headers = int(line.split(" ")[1]), dict(field.split(": ", 1) for field in lines)
        is_for_head = has_heads and (not written or written.startswith(b"HTTP/1.1 "))
        length = 0 if is_for_head else int(headers.get("Content-Length", 0))
        body, written = written[:length], written[length:]
        assert separator
        assert len(body) == length
        if status not in {100, 200}:
            assert status in wire.DOCUMENTED
            assert is_for_head or json.loads(body)["errorCode"] == wire.DOCUMENTED[status]
            assert headers["Connection"] == "close"
            assert not written


def batch(data: bytes) -> None:
    """Answer any body as ``json`` and the rules say, and keep what they say."""
    how, body = (data or b"\0")[0], data[1:]
    if body.count(b"[") + body.count(b"{") > _DEEPEST:
        return
    options = PayloadOptions(
        is_strict=bool(how & 1), overwrites_tenant=bool(how & 2), adds_developer=bool(how & 4), max_records=50_000
    )
    path = "/analytics" if how & 8 else "/analytics/testid"
    sent, encoding = (zipped(body), "gzip") if how & 16 else (body, None)
    assert records.answer(sent, path=path, options=options, encoding=encoding) == records.expected(body, path, options)


def zipped_batch(data: bytes) -> None:
    """Answer any bytes that are said to be gzip as documented."""
    status, code, _ = Api().post(data, encoding="gzip")
    assert (status, code) in records.DOCUMENTED


def configuration(data: bytes) -> None:
    """Make settings of any file, or say what is wrong with it."""
    path = _DIRECTORY / "settings.yaml"
    path.write_bytes(data)
    environ = {"APID_LOCAL_STORAGE_PATH": "/var/apid", "APID_APIDANALYTICS_UAP_SERVER_BASE": "https://c.example"}
    try:
        loaded = config.load(config_file=path, environ=environ)
    except ConfigurationError as error:
        said = "\n".join(error.problems)
        said.encode()
    else:
        assert config.Settings.from_json(loaded.to_json()) == loaded


def scopes(data: bytes) -> None:
    """Read any scopes file, or say what is wrong with it."""
    try:
        found = scopes_yaml.parse(data)
    except ApidAnalyticsError as error:
        str(error).encode()
    else:
        assert all(scope.id and scope.org and scope.env for scope in found.scopes)


def changes(data: bytes) -> None:
    """Refuse what is no change list; of one that is, ``json`` reads the same; its changes have an effect or none."""
    code, text = read_error(data)
    assert (code + text).isprintable()
    try:
        answer = read_changes(data)
    except ValueError:
        return
    plain = json.loads(data.decode(errors="replace"))  # what is not read need not be UTF-8
    assert str(answer.last) == _sequence(plain["lastSequence"])
    assert len(answer.changes) == len(plain.get("changes") or ())
    for change, sent in zip(answer.changes, plain.get("changes") or (), strict=True):
        assert (change.operation, change.table) == (sent["operation"], sent["table"])
        tables = {name: stand_in(name) for name in KEPT}
        try:
            effect = effect_of(change, check_fit(change, tables), lambda _: None, ("s",))
        except SnapshotNeededError:
            continue
        assert effect.before is None
        assert effect.after is None or change.operation is not Operation.DELETE


def _sequence(text: str) -> str:
    return ".".join(f"{int(part, 16):x}" for part in text.split("."))


def snapshot(data: bytes) -> None:
    """Take a snapshot for one, or refuse it: any values in its tables, or any bytes as its file."""
    path = _DIRECTORY / "snapshot.db"
    for left in _DIRECTORY.glob("snapshot.db*"):
        left.unlink()
    if data[:1] == b"{":
        if not _write_snapshot(path, data):
            return
    else:
        path.write_bytes(data)
    try:
        read_txid(data[:40].decode("latin-1"))
    except ValueError:
        pass
    try:
        found = check(path, "1:1:", cluster_id="c1")
    except SyncError:
        return
    assert found.selectors[-1] == "c1"
    assert all(isinstance(one, str) for one in found.selectors)
    try:
        prepare(path, found, {"taken_at": "1.0"}, is_verified=False)
    except (SyncError, sqlite3.Error):
        return
    VersionFile(path, "c1").close()


def _write_snapshot(path: Path, data: bytes) -> bool:
    """Make a database of ``{"table": [[columns], row, ...]}``; False if that cannot be done."""
    try:
        tables = json.loads(data)
        with closing(sqlite3.connect(path)) as connection:
            for name, (columns, *rows) in tables.items():
                connection.execute(f'CREATE TABLE "{name}" ({",".join(columns)})')
                connection.executemany(f'INSERT INTO "{name}" VALUES ({",".join("?" * len(columns))})', rows)
            connection.commit()
    except (ValueError, TypeError, AttributeError, RecursionError, sqlite3.Error, OverflowError):
        return False
    return True


def key(data: bytes) -> None:
    """Take a key of 1 to 255 visible ASCII characters, and no other; store what comes with it once."""
    value = data.rstrip(b" \t")  # white space around a header's value is no part of it; the parser takes what is before
    is_one = 1 <= len(value) <= 255 and all(0x21 <= byte <= 0x7E for byte in value)
    api = Api()
    first, again = body_of(good(n=1)), body_of(good(n=2))
    status, code, _ = told(api.send(request(first, key=data)))
    assert (status, code) == ((200, "") if is_one else (400, "IDEMPOTENCY_KEY_INVALID"))
    if is_one:
        replay = api.send(request(first, key=data))
        assert replay is not None
        assert (b"Idempotency-Replayed", b"true") in replay.headers
        assert told(api.send(request(again, key=data)))[:2] == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(api.spool.batches) == int(is_one)


_COMMITTED = [(group, claims) for group, claims in zip(GROUPS, CLAIMS, strict=True)]
_SPOOL = as_bytes(_COMMITTED)


def spool(data: bytes) -> None:
    """Read any bytes as a spool, or one that was written over in places: nothing comes out that was not put in."""
    path = _DIRECTORY / "fuzz.spool"
    is_edit = data[:1] == b"\0"
    path.write_bytes(_edited(data[1:]) if is_edit else data)
    count_records(path)
    SpoolCounts().look([(1, path)])
    try:
        found = read_all(path)
    except ApidAnalyticsError:
        return
    if is_edit:
        for things, left in zip(found, flat(_COMMITTED), strict=True):
            for thing in things:
                left.remove(thing)  # raises when it is there once too often


def _edited(edits: bytes) -> bytes:
    """Write over a good spool: (offset, 2 bytes; length, 1 byte; what to write)*; length 0 cuts it off there."""
    content = bytearray(_SPOOL)
    while len(edits) >= 3:
        offset, length = int.from_bytes(edits[:2], "little") % (len(content) + 1), edits[2]
        if length:
            content[offset : offset + length] = edits[3 : 3 + length]
        else:
            del content[offset:]
        edits = edits[3 + length :]
    return bytes(content)


def followed(data: bytes) -> None:
    """Follow and skim any bytes as a spool that still grows."""
    path = _DIRECTORY / "open.spool"
    path.write_bytes(_edited(data[1:]) if data[:1] == b"\0" else data)
    try:
        with SegmentReader.open(path) as reader:
            list(reader.follow())
            assert not list(reader.follow())
    except ApidAnalyticsError:
        return


def staged(data: bytes) -> None:
    """Save what can be saved of any bytes as a gzip file: whole records only."""
    path = _DIRECTORY / "fuzz.gz"
    path.write_bytes(data)
    salvage = Salvage(path)
    for line in salvage.lines():
        assert line.endswith(b"\n")
        assert isinstance(json.loads(line), dict)
    assert salvage.is_whole or salvage.is_torn or salvage.fault or salvage.bad_lines


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        http,
        batch,
        zipped_batch,
        configuration,
        scopes,
        changes,
        snapshot,
        key,
        spool,
        followed,
        staged,
    )
}
