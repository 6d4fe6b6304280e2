"""A segment compared with the heads that the catalogue keeps of it: what it must contain, whatever it says itself."""

import hashlib
from collections.abc import Mapping, Sequence

from recorder import tree
from recorder.format import layout
from recorder.format.seal import Header
from recorder.model import Head
from replay.recording.findings import Audit, Trouble


class Known:
    """The catalogue's newest heads, each with whether it is that of an open chunk (a running one)."""

    def __init__(self, found: Audit, heads: Sequence[tuple[Head, bool]]) -> None:
        self._found = found
        self._heads = heads

    def keep(self, segment: int) -> None:
        """From now on only those of this segment count."""
        self._heads = [entry for entry in self._heads if entry[0].segment == segment]

    def wants(self, size: int) -> bool:
        """Whether the root of the first `size` chunks is asked for."""
        return any(head.tree_size == size for head, _ in self._heads)

    def chunk(self, seq: int, stored: bytes) -> None:
        """Compares what is stored of chunk `seq`, sealed or not, with what was known of it while it was open."""
        for head, running in self._heads:
            if not running or head.tree_size != seq:
                continue
            missing = head.stored - len(stored)
            if 0 < missing <= self._found.beyond:
                continue  # it lies beyond what counts: no sync confirmed it
            if missing > 0:
                text = f"the catalogue knows {head.stored} bytes of chunk {seq}, the tape has {len(stored)}"
                self._found.blame(Trouble.TAIL_MISSING, text)
            elif hashlib.sha256(stored[: head.stored]).digest() != head.root:
                self._found.blame(Trouble.ALTERED, "it is not what the catalogue knows of it", seq)

    def segment(self, header: Header, chunks: int, roots: Mapping[int, bytes]) -> None:
        """Compares the whole: `chunks` that are sealed, and the roots of the sizes that were asked for."""
        for head, running in self._heads:
            begun = running and self._found.finished and head.stored > 0
            if not running and not self._signed(head, header, roots):
                continue
            if self._found.beyond and (running or head.stored - self._found.beyond <= self._found.length < head.stored):
                continue
            if head.tree_size + begun > chunks:
                text = f"the catalogue knows {head.tree_size + running} chunks, the tape has {chunks}"
                self._found.blame(Trouble.TAIL_MISSING, text)
            elif not running and head.stored > self._found.length:
                text = f"the catalogue knows {head.stored} bytes, the tape has {self._found.length}"
                self._found.blame(Trouble.TAIL_MISSING, text)

    def _signed(self, head: Head, header: Header, roots: Mapping[int, bytes]) -> bool:
        """Whether the head is this segment's own, and its root the one that was found."""
        origin = layout.origin(header.session, header.segment)
        wrong = ""
        try:
            checkpoint = tree.open_checkpoint(head.note, origin, header.key)
        except ValueError:
            wrong = "the catalogue knows it with another key: this is not the tape that was written"
        else:
            if (checkpoint.size, checkpoint.root) != (head.tree_size, head.root):
                wrong = "the catalogue's head of it is not what was signed"
            elif roots.get(checkpoint.size, checkpoint.root) != checkpoint.root:
                wrong = f"the catalogue knows another content of its first {checkpoint.size} chunks"
        if wrong:
            self._found.blame(Trouble.ALTERED, wrong)
        return not wrong
