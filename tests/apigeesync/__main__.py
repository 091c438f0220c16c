"""Start the stand-in by hand: ``python -m tests.apigeesync --port 9090``."""

import argparse
import asyncio
import sys

from aiohttp import web

from tests.apigeesync.accounts import CLUSTER, example_database
from tests.apigeesync.commands import HELP, KINDS, Console, MisunderstoodError
from tests.apigeesync.server import StandIn

CONFIGURATION = """\
# apid_config.yaml
local_storage_path: ./data
apidanalytics_collection_interval: 2
apigeesync_proxy_server_base: {base}
apigeesync_snapshot_server_base: {base}
apigeesync_change_server_base: {base}
apigeesync_consumer_key: {key}
apigeesync_consumer_secret: {secret}
apigeesync_cluster_id: {cluster}
"""


class StandInByHand(StandIn):
    """Takes commands by HTTP too, one a line: ``curl -d 'scope remove testid' <origin>/admin``."""

    def add_routes(self, application: web.Application) -> None:
        application.router.add_post("/admin", self._command)

    async def _command(self, request: web.Request) -> web.Response:
        console = Console(stand_in=self)
        try:
            return web.Response(text="".join(console.execute(line) for line in (await request.text()).splitlines()))
        except MisunderstoodError as error:
            return web.Response(status=400, text=f"{error}\n")


async def main() -> None:
    """Serve until the end of standard input, or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.apigeesync", description=__doc__)
    parser.add_argument("--port", type=int, default=9090, help="of 127.0.0.1; 0: any free one (default: %(default)s)")
    parser.add_argument("--serve-only", action="store_true", help="read no commands from standard input")
    arguments = parser.parse_args()
    stand_in = StandInByHand(example_database())
    await stand_in.start(arguments.port)
    try:
        await _run(stand_in, serve_only=arguments.serve_only)
    finally:
        await stand_in.stop()


async def _run(stand_in: StandIn, *, serve_only: bool) -> None:
    tokens = stand_in.tokens
    print(CONFIGURATION.format(base=stand_in.base_url, key=tokens.key, secret=tokens.secret, cluster=CLUSTER))
    print(f"# Commands here, or: curl -d 'scope remove testid' {stand_in.base_url.removesuffix('/edgex')}/admin")
    print(HELP.format(kinds=", ".join(KINDS)), flush=True)
    if serve_only:
        await asyncio.Event().wait()
    console = Console(stand_in=stand_in)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            print(console.execute(line), end="", flush=True)
        except MisunderstoodError as error:
            print(error, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print()
