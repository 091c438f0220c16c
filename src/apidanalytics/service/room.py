"""The worker's side of the disk: it asks the agent for a lease of room, and seals and waits as it is told."""

import os

from apidanalytics.config import Settings
from apidanalytics.control.channel import Channel, Message
from apidanalytics.ingest.room import Room
from apidanalytics.quota.decide import Limits
from apidanalytics.spool.writer import SpoolWriter


def disk_room(settings: Settings, channel: Channel) -> Room:
    """Return the lease of a new worker: nothing until the agent has answered, unless nothing is limited."""
    if not Limits.of(settings).are_any:
        return Room()
    room = Room(allowed=0)
    room.ask = lambda needed: channel.send({"type": "room", "pid": os.getpid(), "taken": room.taken, "needed": needed})
    room.ask(0)
    return room


def follow_room(message: Message, room: Room, writer: SpoolWriter) -> None:
    """Follow the agent's message; when the disk is full, let go of the open spool, which packing can make smaller."""
    if message["type"] == "seal":
        writer.seal_soon()
    if message["type"] != "room":
        return
    if message["is_full"] and not room.is_full:
        writer.seal_soon()
    room.told(
        allowed=message["allowed"],
        is_full=message["is_full"],
        share=message["share"],
        shares=message["shares"],
    )
