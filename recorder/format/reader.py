"""Reads one segment: by the footer when there is one, else by walking its blocks; live, torn and damaged ones too.

Memory stays flat: one chunk is held at a time, and nothing is allocated that the file does not have.
"""

import hashlib
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgpack
import zstandard

from recorder.format import layout
from recorder.format.blocks import Block, Damage, Malformed, Source, Torn, block_at, blocks_from, payload_of, seal_at
from recorder.format.frame import ChunkDecoder, Frame, FrameError
from recorder.format.genuine import Genuine
from recorder.format.growing import Growing
from recorder.format.seal import Header, Seal, SealError, unpack_header
from recorder.format.writer import is_locked

_PIECE = 512  # bytes; as runs of one byte (RFC 8878 section 3.1.1.2.2) they come to 16 MiB at most
_INDEX_KEYS = 64
_MAX_WINDOW = 8 * 1024 * 1024


class UnreadableTape(ValueError):
    """A file that is no tape, or whose HEADER cannot be read."""


class ChunkRef(NamedTuple):
    """Where a chunk lies. `stored` is 0 for the open chunk; `seal` is None there and when read by the INDEX."""

    seq: int
    offset: int
    stored: int
    first_frame: int
    first_t: int
    last_t: int
    seal: Seal | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The INDEX of a segment: `(offset, first frame, first t, last t)` a chunk; the number after the last frame."""

    chunks: tuple[tuple[int, int, int, int], ...]
    frames: int


class SegmentReader:
    """One segment, opened for random access. `refresh` looks again at a file that grows."""

    def __init__(self, path: Path, end: int | None = None) -> None:
        """Opens `path`, as though it ended at `end` (bytes) when that is given.

        UnreadableTape when it has no readable HEADER, OSError when it cannot be opened.
        """
        self.path = path
        try:
            self.source = Source(path, end)
        except Malformed as error:
            raise UnreadableTape(f"{path} is not a readable tape: {error}") from None
        self.chunks: list[ChunkRef] = []
        self.damage: list[Damage] = []
        self.index: Index | None = None
        try:
            self.header, self._body = self._read_header()
        except OSError:
            self.source.close()
            raise
        except (Torn, Malformed, SealError) as error:
            self.source.close()
            raise UnreadableTape(f"{path} is not a readable tape: {error}") from None
        self._genuine = Genuine(self.source, self.header)
        self._scanned = self._body
        self._seen = 0
        self._growing: Growing | None = None
        self.refresh()

    def close(self) -> None:
        """Closes the file."""
        self.source.close()

    @property
    def live(self) -> bool:
        """Whether a writer holds the segment's lock."""
        return is_locked(self.source.fileno())

    @property
    def closed(self) -> bool:
        """Whether the segment ends with an INDEX and its footer."""
        return self.index is not None

    @property
    def body(self) -> int:
        """The offset of the first block after the HEADER."""
        return self._body

    def _read_header(self) -> tuple[Header, int]:
        block = block_at(self.source, 0)
        if block.magic != layout.HEADER_MAGIC:
            raise Malformed("it does not begin with a HEADER")
        return unpack_header(payload_of(self.source, block)), block.length

    def refresh(self) -> None:
        """Finds the chunks that came since; a segment with a footer is read by its INDEX."""
        size = self.source.size()
        if self.index is not None or size == self._seen:
            return
        self._seen = size
        if not self.chunks and self._by_footer():
            return
        if self.chunks and not self.chunks[-1].stored:
            self.chunks.pop()
        self._walk()

    def _by_footer(self) -> bool:
        index = signed_index(self.source, self._genuine)
        if index is None:
            return False
        ends = [*(entry[0] for entry in index.chunks[1:]), self.source.size()]
        for seq, (offset, first_frame, first_t, last_t) in enumerate(index.chunks):
            # The room up to the next chunk also holds the SEAL and checkpoints; `stored` is exact once it is read.
            if not self._body <= offset < ends[seq]:
                self.chunks.clear()
                return False
            self.chunks.append(ChunkRef(seq, offset, ends[seq] - offset, first_frame, first_t, last_t))
        self.index = index
        return True

    def _walk(self) -> None:
        waiting: Block | None = None
        for found in blocks_from(self.source, self._scanned, self._is_next):
            if isinstance(found, Damage):
                if waiting is not None:
                    self._unsealed(ChunkRef(self._next_seq, waiting.offset, waiting.length, 0, 0, 0))
                    waiting = None
                self.damage.append(found)
                self._scanned = found.offset + found.length
            elif found.magic == layout.ZSTD_MAGIC:
                waiting = found
            elif found.magic == layout.SEAL_MAGIC and waiting is not None:
                self._sealed(waiting, found)
                waiting = None
                self._scanned = found.offset + found.length
            elif found.magic == layout.INDEX_MAGIC:
                self.index = read_index(self.source)
                self._scanned = found.offset + found.length
            elif waiting is None:
                self._scanned = found.offset + found.length
        if self._scanned < self.source.size() and self.index is None:
            self._open_chunk(waiting.offset + waiting.length if waiting is not None else self.source.size())
        else:
            self._growing = None

    @property
    def _next_seq(self) -> int:
        return self.chunks[-1].seq + 1 if self.chunks else 0

    def _is_next(self, seal: Seal, block: Block) -> bool:
        """Whether a SEAL that was found after damage is this segment's, and none that came before."""
        return seal.seq >= self._next_seq and self._genuine.sealed(seal, block)

    def _sealed(self, chunk: Block, block: Block) -> None:
        try:
            seal = seal_at(self.source, block)
        except SealError as error:
            self.damage.append(Damage(block.offset, block.length, str(error), self._next_seq))
            self._unsealed(ChunkRef(self._next_seq, chunk.offset, chunk.length, 0, 0, 0))
            return
        times = seal.first_frame, seal.first_t, seal.last_t
        self.chunks.append(ChunkRef(seal.seq, chunk.offset, chunk.length, *times, seal))

    def _open_chunk(self, end: int) -> None:
        """The chunk at the end that has no SEAL yet, up to offset `end`: what its flushed blocks hold is readable."""
        ref = ChunkRef(self._next_seq, self._scanned, 0, 0, 0, 0)
        if self._growing is None or self._growing.offset != ref.offset:
            self._growing = Growing(self.source, ref.offset)
        if not self._growing.grow(end):
            self._unsealed(ref)
        elif frames := self._growing.frames:
            times = frames[0].number, frames[0].t, frames[-1].t
            self.chunks.append(ref._replace(first_frame=times[0], first_t=times[1], last_t=times[2]))

    def _unsealed(self, ref: ChunkRef) -> None:
        """Adds a chunk that no SEAL describes, as far as it reads."""
        first, last = None, None
        try:
            for frame, _ in self.packed_frames(ref):
                first, last = first or frame, frame
        except (Malformed, FrameError) as error:
            length = ref.stored or self.source.size() - ref.offset
            self._damaged(Damage(ref.offset, length, str(error), ref.seq))
        if first is not None and last is not None:
            self.chunks.append(ref._replace(first_frame=first.number, first_t=first.t, last_t=last.t))

    def _damaged(self, damage: Damage) -> None:
        if damage not in self.damage:
            self.damage.append(damage)

    def packed_frames(self, chunk: ChunkRef) -> Iterator[tuple[Frame, bytes]]:
        """The frames of a chunk with their packed bytes; Malformed or FrameError where the chunk breaks off."""
        decoder = ChunkDecoder()
        for piece in decompressed(self._stored(chunk)):
            yield from decoder.feed(piece)
        if decoder.pending and chunk.stored:
            raise FrameError(f"chunk {chunk.seq} ends inside a frame")

    def _stored(self, chunk: ChunkRef) -> bytes:
        end = chunk.offset + chunk.stored if chunk.stored else self.source.size()
        return self.source.some(chunk.offset, min(end - chunk.offset, layout.CHUNK_STORED_LIMIT))

    def resume(self, chunk: ChunkRef) -> tuple[tuple[int, int, int], ...]:
        """What a chunk begins in the middle of: stream, side (0 in, 1 out), bytes left. Empty when it does not read."""
        decoder = ChunkDecoder()
        try:
            for piece in decompressed(self._stored(chunk)):
                for _ in decoder.feed(piece):
                    break
                if decoder.preamble is not None:
                    return decoder.preamble.resume
        except (Malformed, FrameError):
            return ()  # whoever reads its frames is told
        return ()

    def frames(self, chunk: ChunkRef) -> Iterator[Frame]:
        """The frames of a chunk; one that breaks off ends early and is added to `damage`."""
        growing = self._growing
        if not chunk.stored and growing is not None and growing.usable and growing.offset == chunk.offset:
            yield from growing.frames
            return
        count, reason = 0, None
        try:
            for frame, _ in self.packed_frames(chunk):
                if count == 0 and frame.number != chunk.first_frame:
                    reason = f"its frames are numbered from {frame.number} instead of {chunk.first_frame}"
                count += 1
                yield frame
        except (Malformed, FrameError) as error:
            reason = str(error)
        expected = self._expected(chunk)
        if reason is None and expected is not None and count != expected:
            reason = f"{count} frames where {expected} were written"
        if reason is not None:
            self._damaged(Damage(chunk.offset, chunk.stored, reason, chunk.seq, chunk.first_t, chunk.last_t))

    def _expected(self, chunk: ChunkRef) -> int | None:
        """How many frames a chunk must have, by its SEAL or by what follows in the INDEX; None when nothing says."""
        if chunk.seal is not None:
            return chunk.seal.frames
        if self.index is None or not chunk.stored or chunk.seq >= len(self.index.chunks):
            return None
        later = self.index.chunks[chunk.seq + 1 :][:1]
        return (later[0][1] if later else self.index.frames) - chunk.first_frame

    def chunk_for_time(self, t: int) -> int:
        """The number of the chunk in which a reader of time `t` (µs) begins: the last that starts before it.

        One that starts at `t` itself may follow a chunk that ends in frames of the same time.
        """
        return max(bisect_left(self.chunks, t, key=lambda chunk: chunk.first_t) - 1, 0)

    def chunk_for_frame(self, number: int) -> int:
        """The number of the chunk that holds frame `number`, or the nearest before it."""
        return max(bisect_right(self.chunks, number, key=lambda chunk: chunk.first_frame) - 1, 0)


def decompressed(stored: bytes) -> Iterator[bytes]:
    """The content of the zstd frame that `stored` begins with, piece by piece, as far as it goes; bounded.

    Malformed when it is not zstd or yields more than a chunk may.
    """
    total = 0
    # Not `stream_reader`: at the end of a frame that is still growing it keeps what its last read had no room for.
    stream = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
    try:
        for at in range(0, len(stored), _PIECE):
            piece = stream.decompress(stored[at : at + _PIECE])
            total += len(piece)
            if total > layout.CHUNK_RAW_LIMIT:
                raise Malformed(f"a chunk of more than {layout.CHUNK_RAW_LIMIT} bytes")
            if piece:
                yield piece
            if stream.eof:
                return
    except zstandard.ZstdError as error:
        raise Malformed(f"a chunk that does not decompress: {error}") from None


def signed_index(source: Source, genuine: Genuine) -> Index | None:
    """The INDEX at the very end of the file, when it follows a checkpoint by the writer over as many chunks."""
    index = read_index(source)
    if index is None:
        return None
    size = source.size()
    _, length, _ = layout.FOOTER.unpack(source.read(size - layout.FOOTER.size, layout.FOOTER.size))
    return index if genuine.index(size - length, len(index.chunks)) else None


def read_index(source: Source) -> Index | None:
    """The INDEX by the footer at the very end of the file; None when there is no well-formed one."""
    size = source.size()
    least = layout.SKIPPABLE.size + layout.FOOTER.size
    if size < least:
        return None
    digest, length, magic = layout.FOOTER.unpack(source.read(size - layout.FOOTER.size, layout.FOOTER.size))
    if magic != layout.FOOTER_MAGIC or not least <= length <= min(size, layout.INDEX_LIMIT):
        return None
    try:
        block = block_at(source, size - length)
        if block.magic != layout.INDEX_MAGIC or block.length != length:
            return None
        payload = payload_of(source, block)[: -layout.FOOTER.size]
        if hashlib.sha256(payload).digest() != digest:
            return None
        value = msgpack.unpackb(payload, max_array_len=0, max_map_len=_INDEX_KEYS)
        packed, frames = value["chunks"], value["frames"]
        chunks = tuple(layout.INDEX_ENTRY.iter_unpack(packed))
    except (Torn, Malformed, ValueError, TypeError, KeyError, struct.error, msgpack.UnpackException):
        return None
    return Index(chunks, frames) if isinstance(frames, int) and frames >= 0 else None
