"""One chunk checked: its stored bytes against its SEAL, and its frames against its root. Holds no file."""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from recorder import tree
from recorder.format.blocks import Malformed
from recorder.format.frame import ChunkDecoder, FrameError, Kind
from recorder.format.reader import decompressed
from recorder.format.seal import Seal, frame_leaf


class Place(NamedTuple):
    """What a chunk must be by what stands before it: its number, its first frame's number, the least time (µs)."""

    seq: int
    first_frame: int
    least_t: int


@dataclass(slots=True)
class Checked:
    """What was found in a chunk; `wrong` are sentences."""

    frames: int = 0
    gaps: int = 0
    last_t: int = 0
    last_kind: int | None = None
    wrong: list[str] = field(default_factory=list)


def check(stored: bytes, seal: Seal, payload: bytes, wanted: Place) -> Checked:
    """Compares a whole chunk with its SEAL (`payload` as it stands in the file) and with its place."""
    result = Checked()
    if payload != seal.pack():
        result.wrong.append("its SEAL is not written as a gateway writes it")
    if (seal.seq, seal.first_frame) != (wanted.seq, wanted.first_frame):
        place = f"chunk {wanted.seq} from frame {wanted.first_frame} on"
        result.wrong.append(f"it stands where {place} belongs")
    if seal.stored != len(stored) or seal.sha256 != hashlib.sha256(stored).digest():
        result.wrong.append("its bytes are not those that were sealed")
        return result
    first_t = _decode(stored, Place(seal.seq, seal.first_frame, wanted.least_t), result, root=seal.root)
    if result.frames != seal.frames:
        result.wrong.append(f"it has {result.frames} frames, its SEAL says {seal.frames}")
    elif (first_t, result.last_t) != (seal.first_t, seal.last_t):
        result.wrong.append("the times of its frames are not those of its SEAL")
    return result


def readable(stored: bytes, wanted: Place) -> Checked:
    """What can be read of a chunk that was never sealed."""
    result = Checked()
    _decode(stored, wanted, result)
    return result


def _decode(stored: bytes, wanted: Place, result: Checked, root: bytes | None = None) -> int | None:
    """Reads the frames; with `root`, it must be theirs, and nothing may be left over. The first frame's time."""
    decoder = ChunkDecoder()
    leaves = tree.Tree()
    first_t: int | None = None
    least_t = wanted.least_t
    try:
        for piece in decompressed(stored):
            for frame, packed in decoder.feed(piece):
                preamble = decoder.preamble
                if root is not None and preamble is not None:
                    leaves.append(frame_leaf(preamble.seed, frame.number, packed))
                first_t = frame.t if first_t is None else first_t
                if frame.t < least_t:
                    result.wrong.append(f"time runs backwards at frame {frame.number}")
                    return first_t
                least_t = result.last_t = frame.t
                result.frames += 1
                result.gaps += frame.kind == Kind.GAP
                result.last_kind = frame.kind
    except (Malformed, FrameError, OverflowError) as error:
        result.wrong.append(str(error))
        return first_t
    preamble = decoder.preamble
    if preamble is not None and (preamble.seq, preamble.first_frame) != (wanted.seq, wanted.first_frame):
        result.wrong.append(f"it says that it is chunk {preamble.seq} from frame {preamble.first_frame} on")
    if root is not None and (decoder.pending or leaves.root() != root):
        result.wrong.append("its frames are not those that were sealed")
    return first_t
