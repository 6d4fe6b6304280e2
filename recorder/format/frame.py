"""Frames: one `[t, kind, stream, body]` of a tape, to and from msgpack. Holds no file and no clock."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import msgpack

from recorder.format.layout import CHUNK_RAW_LIMIT, CONTAINER_LIMIT, FRAME_LIMIT

_MOST = (1 << 63) - 1  # a frame's number, which must fit into 8 bytes with what is counted on from it


class Kind(IntEnum):
    """What a frame's body is; numbers as on the tape."""

    OPEN = 0
    IN = 1
    OUT = 2
    ERR = 3
    NOTE = 4
    VERDICT = 5
    GAP = 6
    RECOVERY = 7
    CLOSE = 8
    HELD = 9
    MADE = 10
    WITHHELD = 11


class FrameError(ValueError):
    """Bytes that are not a run of frames."""


class Frame(NamedTuple):
    """One frame. `number` counts from 0 through all segments; `t` is µs since the session's start.

    `kind` is a plain integer so that kinds unknown to this version are kept; `body` is bytes for the kinds that carry
    bytes, a dict for facts, a list for `made` and `withheld`.
    """

    number: int
    t: int
    kind: int
    stream: int
    body: object

    def data(self) -> bytes:
        """The body of a frame that carries bytes; empty for any other."""
        return self.body if isinstance(self.body, bytes) else b""

    def facts(self) -> dict[str, object]:
        """The body of a frame that carries a map; empty for any other."""
        return self.body if isinstance(self.body, dict) else {}


class Preamble(NamedTuple):
    """What a chunk begins with; `resume` lists `(stream, side, bytes left of a message begun earlier)`."""

    seq: int
    first_frame: int
    seed: bytes
    resume: tuple[tuple[int, int, int], ...]


def pack_preamble(preamble: Preamble) -> bytes:
    """The msgpack form of a preamble."""
    return bytes(msgpack.packb((preamble.seq, preamble.first_frame, preamble.seed, preamble.resume)))


class ChunkDecoder:
    """Decodes a chunk piece by piece: the preamble first, then each frame with its packed bytes (for its leaf hash)."""

    def __init__(self) -> None:
        self._skipper = msgpack.Unpacker(max_buffer_size=CHUNK_RAW_LIMIT)
        self.preamble: Preamble | None = None
        self._next = 0
        self._raw = bytearray()
        self._consumed = 0

    def feed(self, data: bytes) -> Iterator[tuple[Frame, bytes]]:
        """Yields each frame completed by `data` with its packed bytes; FrameError when they are none."""
        try:
            self._skipper.feed(data)
        except msgpack.BufferFull:
            raise FrameError(f"a chunk of more than {CHUNK_RAW_LIMIT} bytes") from None
        self._raw += data
        start = self._consumed
        while (end := self._end_of_next()) is not None:
            packed = bytes(self._raw[start - self._consumed : end - self._consumed])
            start = end
            value = self._unpacked(packed)
            if self.preamble is None:
                self.preamble = _preamble(value)
                self._next = self.preamble.first_frame
                continue
            yield _frame(self._next, value), packed
            self._next += 1
        del self._raw[: start - self._consumed]
        self._consumed = start
        if len(self._raw) > FRAME_LIMIT:
            raise FrameError(f"frame {self._next}: more than {FRAME_LIMIT} bytes")

    def _end_of_next(self) -> int | None:
        """Where the next value ends, found without making it; None when it is not whole yet."""
        try:
            self._skipper.skip()
        except msgpack.OutOfData:
            return None
        except (msgpack.UnpackException, ValueError) as error:
            raise FrameError(f"frame {self._next}: {str(error) or 'not msgpack'}") from None
        return self._skipper.tell()

    def _unpacked(self, packed: bytes) -> object:
        if len(packed) > FRAME_LIMIT:
            raise FrameError(f"frame {self._next}: {len(packed)} bytes, {FRAME_LIMIT} at most")
        try:
            value: object = msgpack.unpackb(
                packed,
                strict_map_key=False,
                max_array_len=CONTAINER_LIMIT,
                max_map_len=CONTAINER_LIMIT,
                unicode_errors="surrogateescape",
            )
        except (msgpack.UnpackException, ValueError, TypeError, RecursionError) as error:
            raise FrameError(f"frame {self._next}: {str(error) or 'not msgpack'}") from None
        return value

    @property
    def pending(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._raw)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _preamble(value: object) -> Preamble:
    if not isinstance(value, list) or len(value) < 4:
        raise FrameError("a chunk that does not begin with a preamble")
    seq, first, seed, resume = value[:4]
    well_formed = (
        _is_count(seq)
        and _is_count(first)
        and first <= _MOST
        and isinstance(seed, bytes)
        and isinstance(resume, list)
        and all(isinstance(entry, list) and len(entry) == 3 and all(map(_is_count, entry)) for entry in resume)
    )
    if not well_formed:
        raise FrameError("a chunk whose preamble is malformed")
    return Preamble(seq, first, seed, tuple((entry[0], entry[1], entry[2]) for entry in resume))


def _frame(number: int, value: object) -> Frame:
    if not isinstance(value, list) or len(value) < 4 or not all(map(_is_count, value[:3])):
        raise FrameError(f"frame {number}: not of the form [t, kind, stream, body]")
    return Frame(number, value[0], value[1], value[2], value[3])
