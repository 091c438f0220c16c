"""The worker's side of the disk: it asks the agent for a lease of room, and seals and waits as it is told."""

import os

from apidanalytics.config import Settings
from apidanalytics.control.channel import Channel, Message
from apidanalytics.ingest.lease import Lease
from apidanalytics.quota.decide import Limits
from apidanalytics.spool.writer import SpoolWriter


def disk_lease(settings: Settings, channel: Channel) -> Lease:
    """Return the lease of a new worker: nothing until the agent has answered, unless nothing is limited."""
    if not Limits.of(settings).are_any:
        return Lease()
    lease = Lease(allowed=0)
    lease.ask = lambda needed: channel.send(
        {"type": "room", "pid": os.getpid(), "taken": lease.taken, "needed": needed}
    )
    lease.ask(0)
    return lease


def follow_lease(message: Message, lease: Lease, writer: SpoolWriter) -> None:
    """Follow the agent's message; when the disk is full, let go of the open spool, which packing can make smaller."""
    if message["type"] == "seal":
        writer.seal_soon()
    if message["type"] != "room":
        return
    if message["is_full"] and not lease.is_full:
        writer.seal_soon()
    lease.told(
        allowed=message["allowed"],
        is_full=message["is_full"],
        share=message["share"],
        shares=message["shares"],
    )
