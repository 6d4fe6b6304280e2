"""asyncssh's packet layer with its hot spots worked around: the same protocol, fewer copies. Decides nothing.

asyncssh 2.24 copies its whole read buffer for each packet, makes a cipher and sends an SSH_MSG_IGNORE
with each packet, and formats a log line that nobody reads. Once AES-GCM (RFC 5647) is in force and no key exchange
is under way, channel data takes the short way here; every other packet takes asyncssh's own.
"""

import asyncio
import logging
import os
import sys
import time
from types import TracebackType
from typing import Protocol, cast

from asyncssh.constants import DISC_BY_APPLICATION, MSG_CHANNEL_DATA, MSG_CHANNEL_OPEN, MSG_KEX_LAST
from asyncssh.encryption import Encryption, GCMEncryption
from asyncssh.misc import DisconnectError, ProtocolError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recorder.protocols.ssh.serve.attention import PAUSE_S, Attention
from recorder.protocols.ssh.serve.stragglers import Channels

_TAG = 16
_BLOCK = 16
_LENGTH = 4
_LINGER_S = 2.0
_BUFFERED = 256 * 1024  # bytes the loop may gather for one writev before it counts the connection as congested
_TURN = 128  # packets that are dealt with before other connections have their turn
_PIECE = 16 * 1024  # bytes that take the long way at once
_COUNTER = 0xFFFFFFFFFFFFFFFF


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

log = logging.getLogger("tacho.ssh")


class DataReceiver(Protocol):
    """A channel that takes data from the short way."""

    def receive(self, data: bytes) -> None:
        """Takes the data of one SSH_MSG_CHANNEL_DATA."""


class _Aead:
    """AES-GCM of one direction with its key schedule kept; the invocation counter stays in asyncssh's own object."""

    __slots__ = ("_shim", "decrypt", "encrypt", "encryption")

    def __init__(self, encryption: GCMEncryption) -> None:
        self.encryption = encryption
        self._shim = encryption._cipher
        cipher = AESGCM(self._shim._key)
        self.encrypt = cipher.encrypt
        self.decrypt = cipher.decrypt

    @property
    def iv(self) -> bytes:
        """The nonce of the next invocation."""
        return self._shim._iv

    def advance(self) -> None:
        """Counts one invocation (RFC 5647 section 7.1)."""
        iv = self._shim._iv
        count = int.from_bytes(iv[4:], "big") + 1 & _COUNTER
        self._shim._iv = iv[:4] + count.to_bytes(8, "big")


class Transport(Attention):
    """Mixin for asyncssh's connections: the short way for channel data, quiet packet logs, a close that is heard."""

    _receiving: _Aead | None = None
    _sending: _Aead | None = None
    _held = b""  # the beginning of a packet that the last read broke off
    _left = 0  # of this turn's packets
    queued = 0  # bytes of channel requests that wait on all channels; the legs count them
    _padding = os.urandom(2 * _BLOCK)  # under an AEAD its content protects nothing: drawn once, not for each packet

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there (asyncio.Protocol)."""
        super().connection_made(transport)
        self._channels = Channels(self)  # type: ignore[assignment] # any handler of channel packets may be one
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=_BUFFERED)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Takes what the socket read (asyncio.Protocol)."""
        if self._transport is None:
            return  # closing: what still comes is read only so that the peer hears our last words
        self._heard = True
        if self._postponed:
            self._postponed += data
            return
        self._take(data)
        if self.congested and self._flooded():
            self._pause(PAUSE_S)

    def _take(self, data: bytes) -> None:
        self._left = _TURN
        try:
            start = self._complete(data) if self._held else 0
            if start < len(data):
                self._packets(data, start)
        except DisconnectError as error:
            self._send_disconnect(error.code, error.reason, error.lang)
            self._force_close(error)

    def _finish_recv_packet(
        self, pkttype: int, seq: int, _task: "asyncio.Task[None] | None" = None, is_async: bool = False
    ) -> None:
        """Called by asyncssh for each packet that took the long way."""
        self._left -= 1
        super()._finish_recv_packet(pkttype, seq, _task, is_async)

    def _complete(self, data: bytes) -> int:
        """Completes the packet that the last read broke off; how many bytes of `data` that took."""
        held, need = self._held, _LENGTH - len(self._held)
        if need <= 0:
            need = self._whole(held, 0) - len(held)
        elif len(data) >= need:
            need = self._whole(held + data[:need], 0) - len(held)
        if need > len(data):
            self._held = held + data
            return len(data)
        self._held = b""
        self._packets(held + data[:need], 0)
        return need

    def _whole(self, data: bytes | memoryview, position: int) -> int:
        length = int.from_bytes(data[position : position + _LENGTH], "big")
        if length > self._max_recv_pktlen:
            raise ProtocolError("Max packet size exceeded")
        return _LENGTH + length + _TAG

    def _packets(self, data: bytes, position: int) -> None:
        view = memoryview(data)
        end = len(data)
        aead = self._short_way_in()
        while position < end:
            if aead is None:
                after = min(position + _PIECE, end)
                self._long_way(data[position:after])
                aead = self._short_way_in()
            else:
                after = position + self._whole(view, position) if end - position >= _LENGTH else end + 1
                if after > end:
                    self._held = data[position:]
                    return
                if self._data_packet(aead, view[position : position + _LENGTH], view[position + _LENGTH : after]):
                    self._left -= 1
                else:
                    self._long_way(data[position:after])
                    aead = self._short_way_in()
            if self._transport is None:
                return
            position = after
            if self._left <= 0 and position < end:
                self._postponed = data[position:]
                self._pause(0)
                return

    def _short_way_in(self) -> _Aead | None:
        encryption = self._recv_encryption
        if self._receiving is None or self._receiving.encryption is not encryption:
            self._receiving = _aead(encryption)
        ready = self._auth_complete and self._decompressor is None and self._recv_handler == self._recv_pkthdr
        return self._receiving if ready and not self._inpbuf else None

    def _data_packet(self, aead: _Aead, header: memoryview, sealed: memoryview) -> bool:
        """Delivers a packet of channel data; False (and nothing counted) for any other, which asyncssh then reads."""
        try:
            packet = aead.decrypt(aead.iv, sealed, header)
        except InvalidTag:
            return False
        if len(packet) < 10 or packet[1] != MSG_CHANNEL_DATA:
            return False
        end = 10 + int.from_bytes(packet[6:10], "big")
        channel = self._channels.get(int.from_bytes(packet[2:6], "big"))
        if channel is None or end != len(packet) - packet[0]:
            return False
        aead.advance()
        self._recv_seq = self._recv_seq + 1 & 0xFFFFFFFF
        self._auth_final = True
        receiver: DataReceiver = channel  # type: ignore[assignment] # every channel of ours is a Leg
        receiver.receive(packet[10:end])
        return True

    def _long_way(self, data: bytes) -> None:
        self._inpbuf += data
        self._recv_data()

    def send_packet(self, pkttype: int, *args: bytes, handler: object = None) -> None:
        """Sends one packet: the short way once AES-GCM is in force and no key exchange is due or under way."""
        aead = self._short_way_out(pkttype)
        if aead is None:
            super().send_packet(pkttype, *args)
        else:
            self._seal(aead, pkttype, args, sum(map(len, args)))

    def send_channel_data(self, remote: bytes, data: bytes) -> None:
        """Sends SSH_MSG_CHANNEL_DATA to the peer's channel `remote` (4 bytes)."""
        aead = self._short_way_out(MSG_CHANNEL_DATA)
        size = len(data)
        if aead is None:
            super().send_packet(MSG_CHANNEL_DATA, remote, size.to_bytes(4, "big"), data)
        else:
            self._seal(aead, MSG_CHANNEL_DATA, (remote, size.to_bytes(4, "big"), data), 8 + size)

    def _seal(self, aead: _Aead, pkttype: int, args: tuple[bytes, ...], size: int) -> None:
        length = 2 + size
        padding = -length % _BLOCK
        if padding < 4:
            padding += _BLOCK
        length += padding
        header = length.to_bytes(4, "big")
        packet = b"".join((bytes((padding, pkttype)), *args, self._padding[:padding]))
        if self._transport is not None:
            self._transport.writelines((header, aead.encrypt(aead.iv, packet, header)))
        aead.advance()
        self._send_seq = self._send_seq + 1 & 0xFFFFFFFF
        self._rekey_bytes_sent += length

    def _short_way_out(self, pkttype: int) -> _Aead | None:
        if pkttype <= MSG_KEX_LAST or not (self._auth_complete and self._kex_complete) or self._compressor:
            return None
        if self._rekey_bytes_sent >= self._rekey_bytes or time.monotonic() >= self._rekey_time:
            return None
        encryption = self._send_encryption
        if self._sending is None or self._sending.encryption is not encryption:
            self._sending = _aead(encryption)
        return self._sending

    def log_sent_packet(self, pkttype: int, pktid: int | None, packet: object, note: str = "") -> None:
        """Packets are never logged: they carry what must reach no log."""

    def log_received_packet(self, pkttype: int, pktid: int | None, packet: object, note: str = "") -> None:
        """Packets are never logged: they carry what must reach no log."""

    def _force_close(self, exc: Exception | None) -> None:
        """Closes after what is buffered was sent; asyncssh's own would cut a disconnect message off."""
        transport = self._transport
        if transport is None:
            return
        self._transport = None
        try:
            if self._paused:
                transport.resume_reading()
            if transport.is_closing() or not transport.can_write_eof():
                transport.abort()
            else:
                transport.write_eof()
                self._loop.call_later(_LINGER_S, transport.abort)
        except (OSError, RuntimeError):
            transport.abort()  # the handle was closed under us
        self._loop.call_soon(self._cleanup, exc)

    def open_channel(self, *arguments: bytes) -> None:
        """Sends SSH_MSG_CHANNEL_OPEN (RFC 4254 section 5.1)."""
        self.send_packet(MSG_CHANNEL_OPEN, *arguments)

    @property
    def channels(self) -> int:
        """How many channels there are, those that are being opened included."""
        return len(self._channels)

    def has_channel(self, number: int, channel: object) -> bool:
        """Whether `channel` still has this number of ours."""
        return self._channels.get(number) is channel

    def internal_error(self, exc_info: _ExcInfo | None = None, error_logger: object = None) -> None:
        """An unexpected error in the handling of a packet ends the connection (asyncssh); here it is also said.

        Not before authentication: asyncssh stumbles over some garbage there, and `lost` says so in one line.
        """
        if self._auth_complete:
            log.error("a connection ended by a defect of the gateway", exc_info=exc_info or sys.exc_info())
        super().internal_error(exc_info)

    def bow_out(self, reason: str) -> None:
        """Sends SSH_MSG_DISCONNECT with one sentence, then closes."""
        self._send_disconnect(DISC_BY_APPLICATION, reason, "en")
        self._force_close(None)


def _aead(encryption: Encryption | None) -> _Aead | None:
    return _Aead(encryption) if isinstance(encryption, GCMEncryption) else None
