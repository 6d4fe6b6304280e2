"""One end of a channel (RFC 4254 section 5): windows, order and nothing else. What crosses is the pair's business.

Whatever arrives on a channel is delivered in the order in which it arrived: data, requests, replies, EOF and close.
A leg that must wait (for an answer, for the other end's window or socket, for the tape) keeps what arrives in a queue
that its receive window bounds.
"""

from collections import deque
from typing import TYPE_CHECKING, Protocol

from asyncssh.constants import (
    EXTENDED_DATA_STDERR,
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
)
from asyncssh.misc import ProtocolError
from asyncssh.packet import Boolean, SSHPacket, SSHPacketHandler, String, UInt32

from recorder.protocols.ssh.serve.items import Close, Data, Eof, Item, Reply, Request

if TYPE_CHECKING:
    from recorder.protocols.ssh.serve.transport import Transport

WINDOW = 256 * 1024  # bytes; larger, and one bulk channel makes the interactive ones of its connection wait
_SMALL_WINDOW = 64 * 1024  # of each channel beyond _FEW: what waits on all of them together stays small
_FEW = 16
PACKET = 32 * 1024  # bytes of data in one packet, which is also the limit of a frame's body
_WINDOW_LIMIT = 0xFFFFFFFF
_QUEUE_LIMIT = 4096  # items that wait on one channel
_JOINED = 4096  # bytes up to which packets that wait are put together
_REQUESTS_LIMIT = 1024 * 1024  # bytes of requests that wait on all channels of a connection


class Pair(Protocol):
    """Where a leg delivers to."""

    def data(self, leg: "Leg", data: bytes) -> None:
        """Takes bytes that arrived on `leg`, in order and when nothing must wait."""

    def deliver(self, leg: "Leg", item: Item) -> None:
        """Takes the next item that arrived on `leg`."""

    def at_once(self, leg: "Leg", request: Request) -> bool:
        """Whether the request that came on `leg` was dealt with out of turn; else it is delivered in turn."""

    def must_wait(self, leg: "Leg") -> bool:
        """Whether nothing may be delivered from `leg` now; `leg.pump` is called when that changes."""

    def drained(self, leg: "Leg") -> None:
        """What waited for the peer's window on `leg` is sent: the leg that feeds it may go on."""

    def closing(self, leg: "Leg") -> None:
        """The peer closed `leg` while items still wait on it."""

    def lost(self, leg: "Leg") -> None:
        """The connection under `leg` is gone."""

    def opened(self, leg: "Leg", failure: tuple[int, str, str] | None) -> None:
        """The other side confirmed the opening of `leg`, or failed it with code, reason and language."""


class Leg(SSHPacketHandler):
    """A channel on one connection, keyed by our channel number; `remote` is the peer's once it is open."""

    def __init__(self, connection: "Transport", pair: Pair) -> None:
        self.connection = connection
        self.pair = pair
        self.local: int = connection.add_channel(self)  # type: ignore[arg-type] # asyncssh's registry takes any handler of channel packets
        self.remote: int | None = None
        self.asked = False  # the peer for the opening, and it has not answered yet
        self.waiting = False  # for the answer to a request; set by the pair
        self.eof_sent = self.close_sent = self.close_received = False
        self._inbound: deque[Item] = deque()
        self.outbound: deque[Data] = deque()  # waits for the peer's window
        self._window = WINDOW if connection.channels <= _FEW else _SMALL_WINDOW
        self._receive_window = self._window
        self._consumed = 0
        self._send_window = 0
        self._packet_size = 0
        self._remote = b""

    # Opening

    def request_open(self, kind: str, arguments: bytes) -> None:
        """Asks the peer to open a channel; `arguments` are the fields of its type."""
        self.asked = True
        self.connection.open_channel(String(kind), UInt32(self.local), UInt32(self._window), UInt32(PACKET), arguments)

    def accept(self, remote: int, window: int, packet_size: int) -> None:
        """Confirms the opening that the peer asked for."""
        self._open(remote, window, packet_size)
        self.connection.send_channel_open_confirmation(remote, self.local, self._window, PACKET)

    def process_open_confirmation(self, remote: int, window: int, packet_size: int, packet: SSHPacket) -> None:
        """Called by asyncssh: the peer opened the channel."""
        packet.check_end()
        self._answered()
        self._open(remote, window, packet_size)
        self.pair.opened(self, None)

    def process_open_failure(self, code: int, reason: str, lang: str) -> None:
        """Called by asyncssh: the peer did not open the channel."""
        self._answered()
        self.forget()
        self.pair.opened(self, (code, reason, lang))

    def _answered(self) -> None:
        if not self.asked:
            raise ProtocolError("An answer to no channel open")
        self.asked = False

    def _open(self, remote: int, window: int, packet_size: int) -> None:
        self.remote = remote
        self._remote = UInt32(remote)
        self._send_window = window
        self._packet_size = min(packet_size, PACKET)

    # Receiving

    @property
    def idle(self) -> bool:
        """Whether everything that arrived was delivered."""
        return not self._inbound

    def discard(self) -> int:
        """Drops what arrived and cannot be delivered any more; how many bytes that was."""
        dropped = sum(len(item.data) for item in self._inbound if isinstance(item, Data))
        self.connection.queued -= sum(len(item.payload) for item in self._inbound if isinstance(item, Request))
        self._inbound.clear()
        return dropped

    def receive(self, data: bytes) -> None:
        """Data from the short way of the transport."""
        if self._inbound or self.waiting or self.pair.must_wait(self):
            self._arrived(Data(data, stderr=False))
            return
        size = len(data)
        if size:
            self._admit(size)
            self._consume(size)
            self.pair.data(self, data)

    def _admit(self, size: int) -> None:
        if size > PACKET:
            raise ProtocolError(f"{size} bytes in one packet, {PACKET} at most were agreed")
        if size > self._receive_window:
            raise ProtocolError("Window exceeded")
        self._receive_window -= size

    def _arrived(self, item: Item) -> None:
        if isinstance(item, Data):
            self._admit(len(item.data))
            if not item.data:
                return
        elif isinstance(item, Request):
            self.connection.queued += len(item.payload)
        if len(self._inbound) > _QUEUE_LIMIT or self.connection.queued > _REQUESTS_LIMIT:
            raise ProtocolError("Too many channel requests wait")
        if not isinstance(item, Data) or not self._joined(item):
            self._inbound.append(item)
        self.pump()

    def _joined(self, item: Data) -> bool:
        """Whether `item` was put to the data that waits last: thousands of small packets would cost far more memory."""
        last = self._inbound[-1] if self._inbound else None
        if not isinstance(last, Data) or last.stderr is not item.stderr or len(last.data) + len(item.data) > _JOINED:
            return False
        self._inbound[-1] = last._replace(data=last.data + item.data)
        return True

    def pump(self, limit: int = -1) -> bool:
        """Delivers what waits, `limit` items at most, as far as it may; True when more could follow."""
        while limit and (item := self._next()) is not None:
            if isinstance(item, Data):
                self._consume(len(item.data))
            elif isinstance(item, Request):
                self.connection.queued -= len(item.payload)
            self.pair.deliver(self, item)
            limit -= 1
        return bool(self._inbound) and not self.waiting and not self.pair.must_wait(self)

    def _next(self) -> Item | None:
        """Takes what may be delivered now: an answer passes what waits for one, since both sides may be asking."""
        if not self._inbound or self.pair.must_wait(self):
            return None
        if not self.waiting:
            return self._inbound.popleft()
        reply = next((item for item in self._inbound if isinstance(item, Reply)), None)
        if reply is not None:
            self._inbound.remove(reply)
        return reply

    def _consume(self, size: int) -> None:
        self._consumed += size
        if self._consumed >= self._window // 2 and not self.close_received:
            self._receive_window += self._consumed
            self._send(MSG_CHANNEL_WINDOW_ADJUST, UInt32(self._consumed))
            self._consumed = 0

    # Sending

    def send_data(self, data: bytes) -> None:
        """Sends bytes, or queues them until the peer's window allows."""
        size = len(data)
        if self.outbound or size > self._send_window or size > self._packet_size or self.close_sent:
            self._transmit(Data(data, stderr=False))
            return
        self._send_window -= size
        self.connection.send_channel_data(self._remote, data)

    def send_stderr(self, data: bytes) -> None:
        """Sends bytes as extended data of type stderr."""
        self._transmit(Data(data, stderr=True))

    def _transmit(self, item: Data) -> None:
        size = len(item.data)
        if not self.outbound and size <= self._send_window and size <= self._packet_size:
            self._packet(item)
        elif not self.close_sent:
            self.outbound.append(item)
            self._drain()

    def _packet(self, item: Data) -> None:
        size = len(item.data)
        self._send_window -= size
        if item.stderr:
            self._send(MSG_CHANNEL_EXTENDED_DATA, UInt32(EXTENDED_DATA_STDERR), UInt32(size), item.data)
        else:
            self._send(MSG_CHANNEL_DATA, UInt32(size), item.data)

    def _drain(self) -> None:
        while self.outbound and self._send_window:
            item = self.outbound.popleft()
            room = min(self._send_window, self._packet_size)
            if len(item.data) > room:
                self.outbound.appendleft(item._replace(data=item.data[room:]))
                item = item._replace(data=item.data[:room])
            self._packet(item)

    def send_request(self, request: Request) -> None:
        """Sends a channel request as it came."""
        name, want_reply, payload = request
        self._send(MSG_CHANNEL_REQUEST, String(name), Boolean(want_reply), payload)

    def send_reply(self, ok: bool) -> None:
        """Answers a request that wanted an answer."""
        self._send(MSG_CHANNEL_SUCCESS if ok else MSG_CHANNEL_FAILURE)

    def send_eof(self) -> None:
        """Says that no more data will come."""
        if not self.eof_sent:
            self.eof_sent = True
            self._send(MSG_CHANNEL_EOF)

    def send_close(self) -> None:
        """Ends the channel; what still waits for the peer's window is dropped, as RFC 4254 section 5.3 allows."""
        if not self.close_sent and self.remote is not None:
            self._send(MSG_CHANNEL_CLOSE)
            self.outbound.clear()
        self.close_sent = True
        if self.close_received:
            self.forget()

    def _send(self, kind: int, *arguments: bytes) -> None:
        if self.remote is not None and not self.close_sent:
            self.connection.send_packet(kind, UInt32(self.remote), *arguments)

    def forget(self) -> None:
        """Gives up the channel number."""
        if self.connection.has_channel(self.local, self):
            self.connection.remove_channel(self.local)

    # asyncssh's side of a channel

    def process_connection_close(self, exc: Exception | None) -> None:
        """Called by asyncssh: the connection is gone."""
        self.forget()
        self.close_received = self.close_sent = True
        self.pair.lost(self)

    def close(self) -> None:
        """Called by asyncssh when it disconnects."""
        self.send_close()

    def log_received_packet(self, pkttype: int, pktid: int | None, packet: object, note: str = "") -> None:
        """Packets are never logged: they carry what must reach no log."""

    log_sent_packet = log_received_packet

    def _process_window_adjust(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        size = packet.get_uint32()
        packet.check_end()
        self._send_window = min(self._send_window + size, _WINDOW_LIMIT)
        if self.outbound:
            self._drain()
            if not self.outbound:
                self.pair.drained(self)

    def _process_data(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        data = packet.get_string()
        packet.check_end()
        self._check_open()
        self._arrived(Data(data, stderr=False))

    def _process_extended_data(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        datatype = packet.get_uint32()
        data = packet.get_string()
        packet.check_end()
        self._check_open()
        if datatype != EXTENDED_DATA_STDERR:
            raise ProtocolError("Invalid extended data type")
        self._arrived(Data(data, stderr=True))

    def _process_request(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        name = packet.get_string()
        want_reply = packet.get_boolean()
        self._check_open()
        try:
            text = name.decode("ascii")
        except UnicodeDecodeError:
            raise ProtocolError("Invalid channel request") from None
        request = Request(text, want_reply, packet.get_remaining_payload())
        if not self.pair.at_once(self, request):
            self._arrived(request)

    def _process_response(self, kind: int, _id: int, packet: SSHPacket) -> None:
        packet.check_end()
        self._arrived(Reply(kind == MSG_CHANNEL_SUCCESS))

    def _process_eof(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        packet.check_end()
        self._check_open()
        self._arrived(Eof())

    def _process_close(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        packet.check_end()
        self._check_open()
        self.close_received = True
        self.outbound.clear()  # the peer opens its window no more
        self._arrived(Close())
        if self._inbound:
            self.pair.closing(self)

    def _check_open(self) -> None:
        if self.remote is None or self.close_received:
            raise ProtocolError("Channel not open")

    _packet_handlers = {  # noqa: RUF012 - asyncssh declares it so
        MSG_CHANNEL_WINDOW_ADJUST: _process_window_adjust,
        MSG_CHANNEL_DATA: _process_data,
        MSG_CHANNEL_EXTENDED_DATA: _process_extended_data,
        MSG_CHANNEL_EOF: _process_eof,
        MSG_CHANNEL_CLOSE: _process_close,
        MSG_CHANNEL_REQUEST: _process_request,
        MSG_CHANNEL_SUCCESS: _process_response,
        MSG_CHANNEL_FAILURE: _process_response,
    }
