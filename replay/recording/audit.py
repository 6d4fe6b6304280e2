"""One segment checked from its first byte to its last, against its own signatures and the catalogue's heads.

It follows no INDEX, believes nothing that is not signed, and holds one chunk at a time.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from recorder import tree
from recorder.format import layout
from recorder.format.blocks import Block, Damage, Malformed, Source, Torn, block_at, blocks_from, payload_of
from recorder.format.frame import Kind
from recorder.format.genuine import Genuine
from recorder.format.reader import signed_index
from recorder.format.seal import Header, Previous, Seal, SealError, unpack_header, unpack_seal
from recorder.format.writer import is_locked
from recorder.model import Head
from replay.recording.chunk import Kept, Place, check, readable
from replay.recording.findings import Audit, Trouble
from replay.recording.heads import Known
from replay.recording.seals import canonical_checkpoint, canonical_header, canonical_index


def audit(path: Path, heads: Sequence[tuple[Head, bool]] = (), continued: Previous | None = None) -> Audit:
    """Checks the segment at `path`; `heads` are the catalogue's newest ones of its session, read before. OSError.

    `continued` is what the next segment says of this one: what lies beyond is not checked.
    """
    found = Audit(path)
    try:
        end = continued.length if continued is not None else None
        with closing(Source(path)) as whole, closing(Source(path, end)) as source:
            found.beyond = max(whole.size() - end, 0) if end is not None else 0
            header = _header(whole, found)
            if header is not None:
                _Walk(source, found, header, heads, continued).run()
    except Malformed as error:
        found.blame(Trouble.ALTERED, str(error))
    except Torn:
        found.blame(Trouble.ALTERED, "the file became shorter while it was read")
    return found


class _Walk:
    """The walk over one segment's blocks."""

    def __init__(
        self,
        source: Source,
        found: Audit,
        header: tuple[Header, int],
        heads: Sequence[tuple[Head, bool]],
        continued: Previous | None,
    ) -> None:
        self._source = source
        self._found = found
        self._header, self._offset = header  # … and where the last whole block ended
        self._known = Known(found, heads)
        self._continued = continued.frames if continued is not None else None
        self._kept = Kept(self._header.first_frame + continued.frames if continued is not None else None)
        self._tree: tree.Tree | None = tree.Tree()  # None once a SEAL is lost
        self._roots: dict[int, bytes] = {0: tree.EMPTY_ROOT}
        self._index: list[tuple[int, int, int, int]] = []
        self._seq = 0
        self._next_frame = 0
        self._t = 0
        self._last_kind: int | None = None
        self._pending: Block | None = None
        self._lost: Damage | None = None

    def run(self) -> None:
        found, header, kept = self._found, self._header, self._kept
        found.live = is_locked(self._source.fileno())
        found.length = self._source.size()
        self._genuine = Genuine(self._source, header)
        self._next_frame = header.first_frame
        self._known.keep(header.segment)
        for item in blocks_from(self._source, self._offset, self._is_next):
            if found.live and item.offset >= found.length:
                break  # the rest was written since
            if isinstance(item, Damage):
                self._tree = self._pending = None
                self._lost = item
            else:
                self._block(item, header)
            self._offset = item.offset + item.length
        self._name_lost(None)
        self._ending()
        self._known.segment(header, self._seq, self._roots)
        found.frames = self._next_frame - header.first_frame
        found.counted = found.frames if self._continued is None else min(found.frames, self._continued)
        found.gaps, found.root = kept.gaps, kept.root
        found.last_t = min(self._t, kept.last_t)
        found.closed = found.complete and self._last_kind == Kind.CLOSE
        found.recovers = kept.first_kind == Kind.RECOVERY

    def _is_next(self, seal: Seal, block: Block) -> bool:
        return seal.seq >= self._seq and self._genuine.sealed(seal, block)

    def _altered(self, text: str, chunk: int | None = None, *times: int) -> None:
        self._found.blame(Trouble.ALTERED, text, chunk, *times)

    def _block(self, block: Block, header: Header) -> None:
        if block.magic == layout.SEAL_MAGIC:
            self._seal(block)
            return
        if self._pending is not None:
            self._altered("a chunk has lost its SEAL", self._seq)
            self._tree = self._pending = None
        if self._found.finished:
            self._altered(f"a block follows the INDEX at byte {block.offset}")
        elif block.magic == layout.ZSTD_MAGIC:
            self._pending = block
        elif block.magic == layout.CHECKPOINT_MAGIC:
            self._checkpoint(block, header)
        elif block.magic == layout.INDEX_MAGIC:
            self._check_index(block)
        else:
            self._altered(f"a second HEADER at byte {block.offset}")

    def _name_lost(self, after: Seal | None) -> None:
        """Puts bytes that are no blocks between the chunks before and `after` them."""
        lost, self._lost = self._lost, None
        if lost is None:
            return
        text = f"{lost.length} bytes from byte {lost.offset} on cannot be read: {lost.reason}"
        self._altered(text, self._seq, self._t, after.first_t if after else self._t)

    def _seal(self, block: Block) -> None:
        payload = payload_of(self._source, block)
        chunk, self._pending = self._pending, None
        try:
            seal = unpack_seal(payload)
        except SealError as error:
            self._altered(str(error), self._seq)
            self._tree = None
            return
        if chunk is None or self._found.finished:
            self._altered("a SEAL has lost its chunk", seal.seq)
            self._tree = None
            return
        self._name_lost(seal)
        if self._tree is None:  # after damage: go on from what this SEAL says
            self._seq, self._next_frame, self._t = seal.seq, seal.first_frame, min(self._t, seal.first_t)
        self._chunk(chunk, seal, payload)

    def _chunk(self, chunk: Block, seal: Seal, payload: bytes) -> None:
        stored = self._source.read(chunk.offset, chunk.length)
        result = check(stored, seal, payload, Place(self._seq, self._next_frame, self._t), self._kept)
        for text in result.wrong:
            self._altered(text, seal.seq, seal.first_t, seal.last_t)
        self._known.chunk(self._seq, stored)
        if self._tree is not None:
            self._tree.append(seal.leaf())
            if self._known.wants(self._tree.size):
                self._roots[self._tree.size] = self._tree.root()
            self._index.append((chunk.offset, seal.first_frame, seal.first_t, seal.last_t))
        self._seq += 1
        self._next_frame = seal.first_frame + seal.frames
        self._t = self._t if result.wrong else seal.last_t
        self._last_kind = result.last_kind
        self._found.chunks += 1

    def _checkpoint(self, block: Block, header: Header) -> None:
        origin = layout.origin(header.session, header.segment)
        try:
            checkpoint = canonical_checkpoint(payload_of(self._source, block), origin, header.key)
        except tree.NoteError as error:
            self._altered(f"the checkpoint after it is not what the gateway signed: {error}", max(self._seq - 1, 0))
            return
        if self._tree is not None and (checkpoint.size, checkpoint.root) != (self._tree.size, self._tree.root()):
            self._altered("the signed tree does not fit the SEALs up to it", max(self._seq - 1, 0))
            self._tree = None

    def _check_index(self, block: Block) -> None:
        self._found.finished = True
        end = block.offset + block.length
        if self._source.size() > end:
            self._altered(f"{self._source.size() - end} bytes follow the footer")
        elif self._tree is not None:
            expected = canonical_index(self._index, self._next_frame)
            same = block.length == len(expected) and self._source.read(block.offset, block.length) == expected
            if not same:
                self._altered("the INDEX does not fit what stands before it")
            self._found.complete = same

    def _ending(self) -> None:
        """What follows the last whole block: nothing, an open chunk, or what cannot be told."""
        found, size = self._found, self._source.size()
        start = self._pending.offset if self._pending else self._offset
        if found.finished:
            if start < size:
                self._altered(f"the last {size - start} bytes cannot be read")
            return
        if not found.live and signed_index(self._source, self._genuine) is not None:
            found.finished = True
            if start < size:
                self._altered(f"{size - start} bytes from byte {start} on cannot be read", self._seq)
            return
        stored = self._source.some(start, layout.CHUNK_STORED_LIMIT)
        self._known.chunk(self._seq, stored)
        if not stored:
            return
        result = readable(stored, Place(self._seq, self._next_frame, self._t), self._kept)
        for text in () if found.live else result.wrong:
            self._altered(text, self._seq, self._t, result.last_t)
        found.unsealed = result.frames
        self._next_frame += result.frames
        self._t = max(self._t, result.last_t)


def _header(source: Source, found: Audit) -> tuple[Header, int] | None:
    """The HEADER and where it ends; None when there is none."""
    try:
        header, end, canonical = _read_header(source)
    except (Torn, Malformed, SealError) as error:
        found.length = source.size()
        text = f"the HEADER cannot be read, and without it nothing else can be checked: {error}"
        found.blame(Trouble.ALTERED, text)
        return None
    found.header = header
    if not header.endorsed():
        found.blame(Trouble.ALTERED, "the HEADER is not endorsed by the key that it names")
    elif not canonical:
        found.blame(Trouble.ALTERED, "the HEADER is not written as a gateway writes it")
    return header, end


def header_of(path: Path) -> Header | None:
    """The HEADER of the segment at `path`; None when it cannot be read. OSError."""
    try:
        with closing(Source(path)) as source:
            return _read_header(source)[0]
    except (Torn, Malformed, SealError):
        return None  # `audit` says so


def _read_header(source: Source) -> tuple[Header, int, bool]:
    """The HEADER, its length, and whether it is written as it must be."""
    block = block_at(source, 0)
    if block.magic != layout.HEADER_MAGIC:
        raise Malformed("it does not begin with a HEADER")
    payload = payload_of(source, block)
    header = unpack_header(payload)
    return header, block.length, canonical_header(header, payload)
