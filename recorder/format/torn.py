"""What stands of a segment that was not completed: its frames as far as they decode, and what they hash to.

The next segment's HEADER carries it. Reads only; nothing of a torn segment is ever changed.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from recorder import tree
from recorder.format import layout
from recorder.format.blocks import Malformed
from recorder.format.frame import ChunkDecoder, Frame, FrameError
from recorder.format.reader import ChunkRef, SegmentReader, decompressed
from recorder.format.seal import Header, Previous, frame_leaf

_PIECE = 1024 * 1024


def examine(
    path: Path, end: int | None = None, tell: Callable[[Frame], None] | None = None
) -> tuple[Header, Previous, int]:
    """The HEADER of the segment at `path`, what its successor says of it, and how many of its bytes are damaged.

    With `end` only the first `end` bytes count. `tell` is called for each frame. UnreadableTape, or OSError.
    """
    reader = SegmentReader(path, end)
    try:
        leaves = tree.Tree()
        first = reader.header.first_frame
        after = first
        for chunk in reader.chunks:
            after = max(after, _leaves(reader, chunk, leaves, tell) or after)
        length = reader.source.size()
        digest = hashlib.sha256()
        for at in range(0, length, _PIECE):
            digest.update(reader.source.read(at, min(_PIECE, length - at)))
        cut = sum(damage.length for damage in reader.damage)
        return reader.header, Previous(length, digest.digest(), after - first, leaves.root()), cut
    finally:
        reader.close()


def _leaves(
    reader: SegmentReader, chunk: ChunkRef, leaves: tree.Tree, tell: Callable[[Frame], None] | None
) -> int | None:
    """Adds the leaves of a chunk's frames; the number after its last frame, None when it has none."""
    size = reader.source.size()
    end = chunk.offset + chunk.stored if chunk.stored else size
    stored = reader.source.some(chunk.offset, min(end - chunk.offset, layout.CHUNK_STORED_LIMIT))
    decoder, after = ChunkDecoder(), None
    try:
        for piece in decompressed(stored):
            for frame, packed in decoder.feed(piece):
                seed = decoder.preamble.seed if decoder.preamble is not None else b""
                leaves.append(frame_leaf(seed, frame.number, packed))
                after = frame.number + 1
                if tell is not None:
                    tell(frame)
    except (Malformed, FrameError):
        return after  # what follows does not decode: it is counted as cut, and stays where it is
    return after
