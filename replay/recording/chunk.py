"""One chunk checked: its stored bytes against its SEAL, and its frames against its root. Holds no file."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from recorder import tree
from recorder.format.blocks import Malformed
from recorder.format.frame import ChunkDecoder, Frame, FrameError, Kind
from recorder.format.reader import decompressed
from recorder.format.seal import Seal, frame_leaf


class Kept:
    """The frames of a segment that count: all, or those before number `end` when the next segment continues there."""

    def __init__(self, end: int | None = None) -> None:
        self._end = end
        self._leaves = tree.Tree()
        self.gaps = 0
        self.last_t = 0
        self.first_kind: int | None = None

    def take(self, frame: Frame, packed: bytes, seed: bytes) -> None:
        """Takes the next frame that could be read, with its chunk's seed."""
        if self._end is not None:
            if frame.number >= self._end:
                return
            self._leaves.append(frame_leaf(seed, frame.number, packed))
        if self.first_kind is None:
            self.first_kind = frame.kind
        self.last_t = frame.t
        self.gaps += frame.kind == Kind.GAP

    @property
    def root(self) -> bytes:
        """The root over them, as the next segment has it; of nothing when there is none."""
        return self._leaves.root()


class Place(NamedTuple):
    """What a chunk must be by what stands before it: its number, its first frame's number, the least time (µs)."""

    seq: int
    first_frame: int
    least_t: int


@dataclass(slots=True)
class Checked:
    """What was found in a chunk; `wrong` are sentences."""

    frames: int = 0
    last_t: int = 0
    last_kind: int | None = None
    wrong: list[str] = field(default_factory=list)


def check(stored: bytes, seal: Seal, payload: bytes, wanted: Place, kept: Kept) -> Checked:
    """Compares a whole chunk with its SEAL (`payload` as it stands in the file) and with its place."""
    result = Checked()
    if payload != seal.pack():
        result.wrong.append("its SEAL is not written as a gateway writes it")
    if (seal.seq, seal.first_frame) != (wanted.seq, wanted.first_frame):
        belongs = f"chunk {wanted.seq} from frame {wanted.first_frame} on"
        result.wrong.append(f"it stands where {belongs} belongs")
    if seal.stored != len(stored) or seal.sha256 != hashlib.sha256(stored).digest():
        result.wrong.append("its bytes are not those that were sealed")
        return result
    place = Place(seal.seq, seal.first_frame, wanted.least_t)
    first_t = _decode(stored, place, result, kept, root=seal.root)
    if result.frames != seal.frames:
        result.wrong.append(f"it has {result.frames} frames, its SEAL says {seal.frames}")
    elif (first_t, result.last_t) != (seal.first_t, seal.last_t):
        result.wrong.append("the times of its frames are not those of its SEAL")
    return result


def readable(stored: bytes, wanted: Place, kept: Kept) -> Checked:
    """What can be read of a chunk that was never sealed."""
    result = Checked()
    _decode(stored, wanted, result, kept)
    return result


def _decode(stored: bytes, wanted: Place, result: Checked, kept: Kept, root: bytes | None = None) -> int | None:
    """Reads the frames; with `root`, it must be theirs, and nothing may be left over. The first frame's time."""
    decoder = ChunkDecoder()
    leaves = tree.Tree()
    first_t: int | None = None
    least_t = wanted.least_t
    try:
        for piece in decompressed(stored):
            for frame, packed in decoder.feed(piece):
                seed = decoder.preamble.seed if decoder.preamble is not None else b""
                if root is not None:
                    leaves.append(frame_leaf(seed, frame.number, packed))
                first_t = frame.t if first_t is None else first_t
                if frame.t < least_t:
                    result.wrong.append(f"time runs backwards at frame {frame.number}")
                    return first_t
                least_t = result.last_t = frame.t
                result.frames += 1
                result.last_kind = frame.kind
                kept.take(frame, packed, seed)
    except (Malformed, FrameError, OverflowError) as error:
        result.wrong.append(str(error))
        return first_t
    preamble = decoder.preamble
    if preamble is not None and (preamble.seq, preamble.first_frame) != (wanted.seq, wanted.first_frame):
        result.wrong.append(f"it says that it is chunk {preamble.seq} from frame {preamble.first_frame} on")
    if root is not None and (decoder.pending or leaves.root() != root):
        result.wrong.append("its frames are not those that were sealed")
    return first_t
