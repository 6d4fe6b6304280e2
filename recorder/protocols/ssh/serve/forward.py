"""What an agent asks for with a direct-tcpip channel (RFC 4254 section 7.2). Decides nothing, resolves no name."""

from typing import NamedTuple

from asyncssh.packet import PacketDecodeError, SSHPacket

KIND = b"direct-tcpip"
_LIMIT = 4096  # bytes of the fields together; a host's name has 255 at most
_SHOWN = 256  # bytes of an asserted name that are kept in a note


class Forward(NamedTuple):
    """An address to be reached from the target; `arguments` are these fields as they crossed."""

    host: bytes
    port: int
    originator: bytes
    originator_port: int
    arguments: bytes

    @property
    def address(self) -> bytes:
        """HOST:PORT, an IPv6 address in brackets."""
        return _address(self.host, self.port)

    def facts(self) -> dict[str, object]:
        """What the tape says of it."""
        return {
            "host": _text(self.host),
            "port": self.port,
            "originator": _text(_address(self.originator[:_SHOWN], self.originator_port)),
        }


def read(packet: SSHPacket) -> Forward:
    """The fields that are specific to the type; PacketDecodeError when they are malformed."""
    arguments = packet.get_remaining_payload()
    if len(arguments) > _LIMIT:
        raise PacketDecodeError(f"An address of more than {_LIMIT} bytes")
    host, port = packet.get_string(), packet.get_uint32()
    originator, originator_port = packet.get_string(), packet.get_uint32()
    packet.check_end()
    return Forward(host, port, originator, originator_port, arguments)


def sealed(beginning: bytes) -> str | None:
    """Which encrypted protocol a connection speaks by its first bytes; None when it is none that is known.

    RFC 4253 section 4.2 (the version of SSH), RFC 8446 section 5.1 (a handshake record of TLS).
    """
    if beginning.startswith(b"SSH-"):
        return "ssh"
    if beginning[:2] == b"\x16\x03" and len(beginning) > 5 and beginning[5] in (1, 2):
        return "tls"
    return None


def _address(host: bytes, port: int) -> bytes:
    return b"[%b]:%d" % (host, port) if b":" in host and not host.startswith(b"[") else b"%b:%d" % (host, port)


def _text(value: bytes) -> str:
    return value[:_SHOWN].decode("utf-8", "surrogateescape")
