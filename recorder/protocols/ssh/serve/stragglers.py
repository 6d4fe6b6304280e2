"""What a peer sends to a channel that both sides have closed: dropped where OpenSSH drops it, else an error."""

from typing import TYPE_CHECKING

from asyncssh.constants import MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.misc import ProtocolError
from asyncssh.packet import SSHPacket, SSHPacketHandler

if TYPE_CHECKING:
    from asyncssh.connection import SSHConnection


class Channels(dict[int, SSHPacketHandler]):
    """The channels of a connection by our number, as asyncssh keeps them; one that was closed is still told apart."""

    def __init__(self, connection: "SSHConnection") -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, number: int) -> SSHPacketHandler:
        """Called by asyncssh's packet loop; numbers are given in order: one below the next is past."""
        if number >= self._connection._next_recv_chan:
            raise KeyError(number)
        return _Closed(number)


class _Closed(SSHPacketHandler):
    def __init__(self, number: int) -> None:
        self._number = number

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool:
        """paramiko's readers adjust the window while another of its threads already answers the close."""
        if pkttype != MSG_CHANNEL_WINDOW_ADJUST:
            raise ProtocolError(f"Invalid channel number {self._number} received")
        return True

    def log_received_packet(self, pkttype: int, pktid: int | None, packet: object, note: str = "") -> None:
        """Packets are never logged: they carry what must reach no log."""
