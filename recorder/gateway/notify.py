"""Tells the service manager what the gateway does (sd_notify(3)). Says nothing when there is no service manager."""

import logging
import os
import socket

log = logging.getLogger("tacho.gateway")


def notify(state: str) -> None:
    """Sends one datagram to NOTIFY_SOCKET, when there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("cannot tell the service manager: %s", error)
