"""Whether blocks that were found without walking to them are the writer's own: recorded bytes may look like blocks.

What the segment's key signed next to them decides; nobody but the writer could have put it there.
"""

from recorder import tree
from recorder.format import layout
from recorder.format.blocks import Block, Malformed, Source, Torn, block_at, payload_of
from recorder.format.seal import Header, Seal


class Genuine:
    """Judges by the key in a segment's HEADER."""

    def __init__(self, source: Source, header: Header) -> None:
        self._source = source
        self._key = header.key
        self._origin = layout.origin(header.session, header.segment)

    def sealed(self, seal: Seal, block: Block) -> bool:
        """Whether the SEAL in `block` is followed by the checkpoint that the writer signed for it."""
        try:
            following = block_at(self._source, block.offset + block.length)
        except (Torn, Malformed):
            return False
        return self._size(following) == seal.seq + 1

    def index(self, offset: int, chunks: int) -> bool:
        """Whether an INDEX of so many chunks at `offset` follows a checkpoint over just as many."""
        least = max(offset - layout.SKIPPABLE.size - layout.CHECKPOINT_LIMIT, 0)
        before = self._source.some(least, offset - least)
        at = len(before)
        while (at := before.rfind(layout.MAGIC.pack(layout.CHECKPOINT_MAGIC), 0, at)) >= 0:
            try:
                block = block_at(self._source, least + at)
            except (Torn, Malformed):
                continue
            if block.offset + block.length == offset and self._size(block) == chunks:
                return True
        return False

    def _size(self, block: Block) -> int | None:
        """The tree size of a checkpoint that the segment's key signed; None for anything else."""
        if block.magic != layout.CHECKPOINT_MAGIC:
            return None
        try:
            note = payload_of(self._source, block).decode()
            return tree.open_checkpoint(note, self._origin, self._key).size
        except ValueError:
            return None
