"""Tells systemd how the service is doing (``Type=notify``); without systemd it tells nobody."""

import os
import socket


def notify(*states: str) -> None:
    """Send states such as ``READY=1``, ``STOPPING=1`` or ``STATUS=...``; what goes wrong with that is no trouble."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.connect("\0" + address[1:] if address.startswith("@") else address)
            to.sendall("\n".join(states).encode())
    except OSError:
        # Whoever started us does not listen any more.
        pass
