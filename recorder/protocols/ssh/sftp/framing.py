"""Where SFTP packets begin and end (draft-ietf-secsh-filexfer-02 section 3): four bytes of length, then as many bytes.

`Framing` follows one side and looks at nothing else; `Flow` also keeps the head of each packet.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

LENGTH = 4  # bytes of a packet's length
MAXIMUM_PACKET = (1 << 24) - 1  # bytes; a longer packet is taken for a loss of the boundaries (OpenSSH: 256 KiB)
HEAD = 34 * 1024  # bytes of a packet that are kept: two paths of 16 KiB

_SERVER = re.compile(rb"(?:[\w./-]{0,256}/)?sftp-server(?: [\w ./=,-]*)?")


def is_sftp(request: str, text: bytes) -> bool:
    """Whether what a channel is asked to run speaks SFTP: the subsystem of that name, or a server by itself."""
    return text == b"sftp" if request == "subsystem" else request == "exec" and _SERVER.fullmatch(text) is not None


class Framing:
    """One side's packets while they cross. It costs the same for any number of bytes within a packet."""

    __slots__ = ("_length", "_seen", "left")

    def __init__(self) -> None:
        self.left = 0
        self._length = 0  # as far as it is known
        self._seen = 0  # bytes of the length

    def cross(self, data: bytes) -> int:
        """Takes the next bytes; how many are still to come of the packet that they begin or go on with.

        When they end inside the length itself, the rest of the length.
        """
        size = len(data)
        if size < self.left and not self._seen:
            self.left -= size
            return self.left
        at = 0 if self._seen else self.left
        while size - at >= LENGTH - self._seen:
            end = at + LENGTH - self._seen
            length = (self._length << 8 * (end - at)) | int.from_bytes(data[at:end], "big")
            self._length = self._seen = 0
            at = end + length
            if at > size:
                self.left = at - size
                return self.left
        self.left = 0
        if at < size:
            self._length = (self._length << 8 * (size - at)) | int.from_bytes(data[at:], "big")
            self._seen += size - at
        return LENGTH - self._seen if self._seen else 0


class Packet(NamedTuple):
    """A whole packet: `head` is what was kept of it (the type's own byte first), `length` how long all of it was."""

    offset: int
    length: int
    head: bytes


class Broken(NamedTuple):
    """A length that cannot be; `lost` when the boundaries are."""

    offset: int
    why: str
    lost: bool


class Flow:
    """One side's bytes, cut into packets. `heads` says by type how many bytes of a packet are worth keeping."""

    def __init__(self, heads: dict[int, int]) -> None:
        self.offset = 0  # of the next byte
        self.lost = False
        self._heads = heads
        self._begun = 0  # the offset of the packet at hand
        self._head = bytearray()
        self._wanted = LENGTH
        self._left = 0  # bytes of the packet at hand that are not kept
        self._length = 0

    @property
    def remaining(self) -> int:
        """Bytes still to come of the packet at hand; of its length, while that is not known."""
        if not self._head and not self._left:
            return 0
        if self._wanted == LENGTH:
            return LENGTH - len(self._head)
        return self._left or LENGTH + self._length - len(self._head)

    @property
    def torn(self) -> bool:
        """Whether the bytes so far end inside a packet."""
        return not self.lost and self.remaining > 0

    def gap(self, remaining: int | None) -> None:
        """Bytes are missing here; `remaining` of the next ones end a packet begun in them, None when nobody knows."""
        self._reset()
        self.lost = remaining is None
        self._length = self._left = remaining or 0
        self._wanted = 0 if remaining else LENGTH

    def feed(self, data: bytes) -> Iterator[Packet | Broken]:
        """Takes the next bytes; every packet that ends in them. Whoever stops iterating early loses the rest."""
        at, size = 0, len(data)
        start = self.offset
        self.offset += size
        while at < size and not self.lost:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                if not self._left:
                    yield from self._ended()
                continue
            if not self._head:
                self._begun = start + at
            piece = data[at : at + self._wanted - len(self._head)]
            self._head += piece
            at += len(piece)
            if len(self._head) == self._wanted:
                yield from self._known()

    def _known(self) -> Iterator[Packet | Broken]:
        """As much of the head is there as was wanted: the length, then the type, then what the type needs."""
        have = len(self._head)
        if have == LENGTH:
            self._length = int.from_bytes(self._head, "big")
            if not 0 < self._length <= MAXIMUM_PACKET:
                yield self._impossible()
                return
            self._wanted = LENGTH + 1
            return
        if have == LENGTH + 1:
            self._wanted = LENGTH + min(self._heads.get(self._head[LENGTH], HEAD), self._length)
        if have == self._wanted:
            self._left = LENGTH + self._length - have
            if not self._left:
                yield from self._ended()

    def _impossible(self) -> Broken:
        length, begun = self._length, self._begun
        self._reset()
        if length:
            self.lost = True
            return Broken(begun, f"a packet of {length:,} bytes, of which {MAXIMUM_PACKET:,} are read at most", True)
        return Broken(begun, "a packet without a type", False)

    def _ended(self) -> Iterator[Packet]:
        packet = Packet(self._begun, self._length, bytes(self._head[LENGTH:]))
        self._reset()
        if packet.head:
            yield packet

    def _reset(self) -> None:
        self._head.clear()
        self._wanted = LENGTH
        self._left = self._length = 0
