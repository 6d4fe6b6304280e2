"""A peer as the gateway minds it: whether it is there, whether it reads, whether it lets others have their turn.

Keepalives, back-pressure and turns of one connection. It knows nothing of packets but that they are `_take`n.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncssh.connection import SSHConnection as Base
else:
    Base = object

KEEPALIVE_S = 30.0
KEEPALIVES = 4  # that a peer may leave unanswered
PAUSE_S = 0.02
_UNREAD = 1024 * 1024  # bytes of ours that a peer leaves unread, at which it is not read from either


class Attention(Base):
    """Mixin below Transport."""

    congested = False  # what is sent now would wait here: for the peer, or for the end of a key exchange
    _full = False
    _paused = False  # nothing is read from the peer
    _postponed = b""  # whole packets and what follows them, for the next turn
    _heard = False  # from the peer, since the keepalive timer looked last
    _silent = 0  # intervals without a word from the peer

    def _take(self, data: bytes) -> None:
        """Takes bytes that arrived, as far as one turn goes; the rest is `_postponed`."""
        raise NotImplementedError

    # Keepalives: one timer that looks back, not one for each read

    def _reset_keepalive_timer(self) -> None:
        self._heard = True

    def _set_keepalive_timer(self) -> None:
        self._keepalive_timer = self._loop.call_later(KEEPALIVE_S, self._keepalive_timer_callback)

    def _keepalive_timer_callback(self) -> None:
        self._silent = 0 if self._heard else self._silent + 1
        self._heard = False
        if self._silent > KEEPALIVES:
            self._keepalive_timer = None
            self.vanished(f"has not answered for {self._silent * KEEPALIVE_S:g} s")
            return
        self._set_keepalive_timer()
        if self._silent:
            self._global_request_waiters.append(self._loop.create_future())  # asyncssh expects one for the answer
            self._send_global_request(b"keepalive@openssh.com", want_reply=True)

    def vanished(self, what: str) -> None:
        """The peer is gone without a word, as `what` says."""
        raise NotImplementedError

    # What the peer does not read

    def pause_writing(self) -> None:
        """The peer reads slower than we write (asyncio.Protocol)."""
        self._full = self.congested = True

    def resume_writing(self) -> None:
        """The peer caught up (asyncio.Protocol); feeders go on, one item each in turn, so that none waits long."""
        self._full = False
        self._ease()

    def _ease(self) -> None:
        self.congested = self._full or not self._kex_complete
        if not self.congested:
            self._feed()

    def _send_kexinit(self) -> None:
        """Begins a key exchange; asyncssh keeps what is sent meanwhile, so it must not become much."""
        super()._send_kexinit()
        self.congested = True

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """Called by asyncssh: our side of the key exchange is done."""
        super().send_newkeys(k, h)
        self._ease()

    def _feed(self) -> None:
        waiting = self.feeders()
        while waiting:
            waiting = [feed for feed in waiting if feed()]

    def feeders(self) -> Sequence[Callable[[], bool]]:
        """The channels that write into this connection, each as a step that says whether there is more."""
        return ()

    # A peer that sends many packets has its turns like others, and is not read from while it does not read

    def _flooded(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > _UNREAD

    def _pause(self, seconds: float) -> None:
        if self._paused or self._transport is None:
            return
        self._paused = True
        self._transport.pause_reading()
        self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._transport is None:
            return
        if self.held_back():
            self._heard = True  # that nothing is heard is our own doing
        elif not self._flooded():
            self._resume()
            return
        self._loop.call_later(PAUSE_S, self._go_on)

    def _resume(self) -> None:
        data, self._postponed = self._postponed, b""
        self._take(data)
        if self._postponed:
            self._loop.call_soon(self._go_on)
        elif self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def held_back(self) -> bool:
        """Whether what a flood asks for cannot be recorded now."""
        return False
