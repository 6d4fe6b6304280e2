"""What a scribe tells its worker, over their link: messages of msgpack. Never waits for an answer."""

import contextlib
import socket
import time
from dataclasses import astuple

import msgpack

from recorder.format import layout
from recorder.model import Head


class Reports:
    """The scribe's side of the link, for sending; used by one thread."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._heads: dict[tuple[str, int, bool], Head] = {}
        self._heads_sent = 0.0

    def send(self, *report: object) -> None:
        """Sends a report: its name, then its facts."""
        with contextlib.suppress(OSError):  # the worker is gone: what is written counts all the same
            self._link.sendall(msgpack.packb(report))

    def head(self, head: Head, *, running: bool) -> None:
        """Keeps a head to be sent: of those of one segment that come in one interval, the newest."""
        self._heads[head.session, head.segment, running] = head

    def send_heads(self, *, now: bool = False) -> None:
        """Sends the heads that were kept, ten times a second at most unless it is to be `now`."""
        if not self._heads or not (now or time.monotonic() - self._heads_sent >= layout.FLUSH_US / 1e6):
            return
        self._heads_sent = time.monotonic()
        waiting, self._heads = self._heads, {}
        for (_, _, running), head in waiting.items():
            self.send("head", running, *astuple(head))
