"""A stand-in for the service, just good enough to be played with: takes batches, enriches, writes a lake.

``python stand_in.py [fault]``; it can be told to make one of the mistakes that the play must notice.
"""

import asyncio
import gzip
import json
import os
import signal
import sys
import time
import zlib
from pathlib import Path

from aiohttp import web

from apidanalytics.control.server import ControlServer
from apidanalytics.demo import accounts, expect
from apidanalytics.layout import DataDirectory, FileName, format_object_path

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
HOME = Path(os.environ["APID_LOCAL_STORAGE_PATH"])
ACCOUNTS = accounts.load(Path(os.environ["APID_APIDANALYTICS_SCOPES_FILE"]))


class RefusedError(Exception):
    pass


class StandIn:
    def __init__(self):
        self.waiting = {account.name: [] for account in ACCOUNTS}
        self.accepted = dict.fromkeys(self.waiting, 0)
        self.uploaded = dict.fromkeys(self.waiting, 0)
        self.requests = {}
        self.files = 0
        self.worker = None

    async def run(self):
        application = web.Application(client_max_size=2**26)
        application.router.add_get("/ready", self.ready)
        application.router.add_post("/{path:.*}", self.post)
        runner = web.AppRunner(application, auto_decompress=False)
        await runner.setup()
        host, port = os.environ["APID_API_LISTEN"].split(":")
        DataDirectory(HOME / "ax").create()
        control = ControlServer(DataDirectory(HOME / "ax").control, self.answer)
        await control.start()
        watch = asyncio.create_task(self.watch())
        await web.TCPSite(runner, host, int(port)).start()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        while not stop.is_set():
            await asyncio.sleep(0.3)
            self.upload()
        watch.cancel()
        if self.worker.returncode is None:
            self.worker.kill()
            await self.worker.wait()
        await control.stop()
        await runner.cleanup()

    async def watch(self):
        """Hold a process that stands for a worker; when it is killed, break all connections, and start another."""
        while True:
            self.worker = await asyncio.create_subprocess_exec("sleep", "60")
            await self.worker.wait()
            for request in list(self.requests.values()):
                request.transport.abort()

    async def ready(self, request):
        return web.Response()

    async def post(self, request):
        self.requests[id(request)] = request
        try:
            tenant, records = self.check(request, await request.read())
        except RefusedError as error:
            return web.json_response({"errorCode": str(error), "reason": "as told"}, status=400)
        finally:
            await asyncio.sleep(0.01)
            del self.requests[id(request)]
        self.waiting[tenant.name] += [self.enriched(record, tenant) for record in records]
        self.accepted[tenant.name] += len(records)
        return web.Response(content_type="application/json")

    def check(self, request, body):
        if request.content_type != "application/json" and FAULT != "accepts":
            raise RefusedError("UNSUPPORTED_CONTENT_TYPE")
        scope = request.path.removeprefix("/analytics").removeprefix("/")
        tenant = next((account for account in ACCOUNTS if scope in account.scopes), None)
        if scope and tenant is None:
            raise RefusedError("UNKNOWN_SCOPE")
        if request.headers.get("Content-Encoding", "gzip") != "gzip":
            raise RefusedError("UNSUPPORTED_CONTENT_ENCODING")
        try:
            text = gzip.decompress(body) if "Content-Encoding" in request.headers else body
            members = dict(expect.members(text))
        except (ValueError, EOFError, zlib.error) as error:
            raise RefusedError("BAD_DATA") from error
        if tenant is None:
            named = (json.loads(members["organization"]), json.loads(members["environment"]))
            tenant = next((account for account in ACCOUNTS if (account.org, account.env) == named), None)
        if tenant is None:
            raise RefusedError("UNKNOWN_SCOPE")
        return tenant, [self.checked(record) for record in split(members["records"])]

    def checked(self, record):
        value = json.loads(record)
        if not isinstance(value, dict):
            raise RefusedError("BAD_DATA")
        start = value.get("client_received_start_timestamp")
        if start is None:
            raise RefusedError("MISSING_FIELD")
        if not isinstance(start, int) or start > value["client_received_end_timestamp"]:
            raise RefusedError("BAD_DATA")
        if not isinstance(value.get("client_id"), str | None):
            raise RefusedError("BAD_DATA")
        return record

    def enriched(self, record, tenant):
        added = expect.additions(record, tenant)
        if FAULT == "altered":
            record = record.replace(b":1.0", b":1")
        return (
            record[:-1] + b"".join(b',"%s":%s' % (k.encode(), json.dumps(v).encode()) for k, v in added.items()) + b"}"
        )

    def upload(self):
        if FAULT == "misplaced" and all(self.waiting.values()):
            first, second, *_ = self.waiting.values()
            first[0], second[0] = second[0], first[0]
        for tenant, lines in self.waiting.items():
            if lines:
                self.put(tenant, lines)
                self.uploaded[tenant] += len(lines)
                lines.clear()

    def put(self, tenant, lines):
        if FAULT == "lost":
            lines = lines[1:]
        if FAULT == "doubled":
            lines = [*lines, lines[-1]]
        self.files += 1
        start = int(time.time())
        name = FileName(hash="0000", start_at=start, end_at=start + 2, instance_id="stand-in", n=self.files)
        path = HOME / "lake" / tenant / format_object_path(str(name), start)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name("." + path.name)
        part.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), 1))
        part.rename(path)

    async def answer(self, request):
        assert request == {"command": "status"}
        states = {
            "accepted": self.accepted,
            "spooled": {tenant: len(lines) for tenant, lines in self.waiting.items()},
            "staged": dict.fromkeys(self.waiting, 0),
            "failed": dict.fromkeys(self.waiting, 0),
            "uploaded": self.uploaded,
        }
        worker = {"index": 0, "pid": self.worker.pid, "state": "running", "restarts": 0, "connections": 1}
        return {
            "workers": [worker],
            "tenants": {
                tenant: {state: {"records": counts[tenant]} for state, counts in states.items()}
                for tenant in self.waiting
            },
            "totals": {state: {"records": sum(counts.values())} for state, counts in states.items()},
        }


def split(listing):
    """Split a JSON list into its items, as they stand."""
    decoder, at, items = json.JSONDecoder(), 1, []
    while listing[at] != "]":
        end = decoder.raw_decode(listing, at)[1]
        items.append(listing[at:end].encode())
        at = end + (listing[end] == ",")
    return items


if __name__ == "__main__":
    asyncio.run(StandIn().run())
