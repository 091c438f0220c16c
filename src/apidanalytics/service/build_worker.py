"""One ingest worker: scope data, spool writer, acceptor and listener, joined and run."""

import asyncio
import atexit
import gc
import os
import resource
import secrets
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

import uvloop

from apidanalytics.clock import SystemClock
from apidanalytics.config import Settings
from apidanalytics.control.channel import Channel, Message
from apidanalytics.ingest.accept import AcceptOptions, Acceptor
from apidanalytics.ingest.guard import Guard
from apidanalytics.ingest.limits import HttpLimits
from apidanalytics.ingest.listener import ACCEPTS_PER_TURN, ACCEPTS_PER_TURN_SHARED, Listener
from apidanalytics.ingest.payload import PayloadOptions
from apidanalytics.ingest.routes import Routes
from apidanalytics.service.access import follow_tokens
from apidanalytics.service.floods import hold_floods_back, no_floods
from apidanalytics.service.keys import WriterAndDesk, key_desk
from apidanalytics.service.lease import disk_lease, follow_lease
from apidanalytics.service.log_setup import configure_logs
from apidanalytics.service.masking import mark_secret, mask
from apidanalytics.service.scope_feed import ScopeFeed
from apidanalytics.service.stepping import BusySeconds, step_back
from apidanalytics.service.tls import admission, server_tls
from apidanalytics.service.worker import Worker, end_with_the_agent
from apidanalytics.service.worker_report import WorkerReport
from apidanalytics.spool.limits import SpoolLimits
from apidanalytics.spool.writer import SpoolWriter
from apidanalytics.telemetry.recent import Recent

GREETING_SECONDS: Final = 30.0
"""The agent sends the settings as soon as it has started the process."""
SWITCH_SECONDS: Final = 0.0005
"""How long the event loop goes on while the writer's thread could: a commit asks several times, and all wait for it."""
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


def run_worker(control_fd: int, listen_fds: Sequence[int]) -> int:
    """Run one worker on these inherited descriptors; return its exit code."""
    control = socket.socket(fileno=control_fd)
    agent = _made_by(control)
    end_with_the_agent(lambda: os.getppid() != agent)
    uvloop.run(_serve(control, [socket.socket(fileno=number) for number in listen_fds]))
    return 0


def _made_by(control: socket.socket) -> int:
    """Return the pid of the agent, which made this pipe; by now another process may be our parent."""
    credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[0])


async def _serve(control: socket.socket, listening: Sequence[socket.socket]) -> None:
    inbox: list[Message] = []
    news = asyncio.Event()
    worker: Worker | None = None
    is_alone = False

    def hear(message: Message) -> None:
        if worker is None:
            inbox.append(message)
            news.set()
        else:
            worker.hear(message)

    def lost() -> None:
        nonlocal is_alone
        is_alone = True
        news.set()
        if worker is not None:
            worker.abandoned()

    channel = await Channel.open(control, hear, lost, max_message_bytes=None)
    async with asyncio.timeout(GREETING_SECONDS):
        # All of it: connections that wait for this worker are not to be refused because half of it is still on its way.
        while not is_alone and not (inbox and len(inbox) > inbox[0].get("follows", 0)):
            news.clear()
            await news.wait()
    if is_alone:
        return  # the agent was gone before it had said all, or right after
    start = inbox.pop(0)
    worker = _build(start, listening, channel)
    _settle_down()
    for message in inbox:
        worker.hear(message)
    await worker.run(channel)


def _build(start: Message, listening: Sequence[socket.socket], channel: Channel) -> Worker:
    settings = Settings.from_json(start["settings"].encode())
    recent, name = Recent(), f"worker-{start['index']}"
    atexit.register(configure_logs(settings, name, recent))
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    owner = secrets.randbits(48) or 1
    desk = key_desk(settings, owner, clock)
    writer = SpoolWriter(
        settings.data,
        _spool_limits(settings, start["instance_id"], owner),
        clock,
        on_sealed=lambda: channel.send({"type": "sealed"}),
    )
    lease = disk_lease(settings, channel)
    guard = Guard() if settings.api_tokens_file is not None else None
    options = _accept_options(settings, bytes.fromhex(start["mask_key"]))
    acceptor = Acceptor(spool=writer, keys=desk, timers=loop, clock=clock, options=options, lease=lease, guard=guard)
    listener = Listener(
        listening,
        acceptor,
        clock=clock,
        limits=_http_limits(settings),
        tls=server_tls(settings),
        lane_of=acceptor.lane_of,
        admit=admission(settings),
        busy_seconds=BusySeconds(),
        is_awaited=writer.is_awaited,
        accepts_per_turn=ACCEPTS_PER_TURN_SHARED if start["shares_sockets"] else ACCEPTS_PER_TURN,
    )

    floods = no_floods()
    if settings.flood_share < 1:
        routes = Routes(settings.base_path)
        floods = hold_floods_back(listener, writer, acceptor, routes=routes, guard=guard, call_later=loop.call_later)

    def follow(message: Message) -> None:
        follow_lease(message, lease, writer)
        if guard is not None:
            follow_tokens(message, guard)

    feed = ScopeFeed(settings, acceptor, clock)

    return Worker(
        server=listener,
        writer=WriterAndDesk(writer, desk),
        start_draining=lambda: setattr(acceptor, "draining", True),
        load_scopes=feed.load,
        poll_scopes=feed.poll,
        report=WorkerReport(acceptor, listener, writer, desk, recent, scopes=feed, floods=floods),
        follow=follow,
    )


def _spool_limits(settings: Settings, instance_id: str, owner: int) -> SpoolLimits:
    return SpoolLimits(
        durability=settings.durability,
        capacity=settings.buffer_channel_size,
        linger_seconds=settings.commit_linger,
        interval_seconds=int(settings.collection_interval),
        max_bytes=settings.spool_max_bytes,
        max_file_bytes=settings.max_file_bytes,
        instance_id=instance_id,
        owner=owner,
    )


def _accept_options(settings: Settings, mask_key: bytes) -> AcceptOptions:
    return AcceptOptions(
        base_path=settings.base_path,
        interval_seconds=int(settings.collection_interval),
        max_payload_bytes=settings.max_payload_bytes,
        overload_wait_seconds=settings.overload_wait,
        max_over_share_bytes=settings.max_inflight_bytes // 8,
        overload_status=settings.overload_status,
        mark_secret=mark_secret(settings, mask_key),
        payload=PayloadOptions(
            is_strict=settings.validation == "strict",
            overwrites_tenant=settings.tenant_fields == "overwrite",
            adds_developer=settings.developer_info,
            max_records=settings.max_batch_records,
            max_members=settings.max_record_members,
            mask=mask(settings, mask_key),
        ),
    )


def _http_limits(settings: Settings) -> HttpLimits:
    return HttpLimits(
        max_header_bytes=settings.max_header_bytes,
        max_target_bytes=settings.max_target_bytes,
        max_body_bytes=settings.max_body_bytes,
        max_inflight_bytes=settings.max_inflight_bytes,
        max_connections=settings.max_connections,
        reclaim_after=settings.reclaim_after,
        request_timeout=settings.request_timeout,
        max_unanswered=settings.max_pipelined_requests,
        flood_share=settings.flood_share,
        keepalive_timeout=settings.keepalive_timeout,
        handshake_timeout=settings.handshake_timeout,
    )


def _settle_down() -> None:
    """Take as many connections as the system allows, let others go first, and stay clear of the garbage collector."""
    step_back()
    sys.setswitchinterval(SWITCH_SECONDS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
