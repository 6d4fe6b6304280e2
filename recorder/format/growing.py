"""The chunk at the end of a segment that is still being written: each of its bytes is decompressed and decoded once.

Holds the frames so far, of one genuine chunk at most; for anything else it gives up, and the chunk is read anew.
"""

from typing import IO, cast

import zstandard

from recorder.format import layout
from recorder.format.blocks import Source
from recorder.format.frame import ChunkDecoder, Frame, FrameError

_PIECE = 128 * 1024
_MOST_FRAMES = 64 * 1024  # more than a chunk of the smallest frames has, which ends once it exceeds CHUNK_RAW
_MAX_WINDOW = 8 * 1024 * 1024


class _Overfull(ValueError):
    """A chunk with more content than one may have."""


class _Content:
    """Takes what is decompressed."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._total = 0

    def write(self, piece: bytes) -> int:
        self._total += len(piece)
        if self._total > layout.CHUNK_RAW_LIMIT:
            raise _Overfull
        self._pieces.append(bytes(piece))
        return len(piece)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class Growing:
    """The chunk that begins at `offset`. `frames` are those that could be read by the last `grow`."""

    def __init__(self, source: Source, offset: int) -> None:
        self.offset = offset
        self.frames: list[Frame] = []
        self.usable = True
        self._source = source
        self._fed = offset
        self._decoder = ChunkDecoder()
        self._content = _Content()
        # One call must be able to give out all that it holds back: what stays inside comes with the next flush only.
        self._stream = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_writer(
            cast("IO[bytes]", self._content), write_size=layout.CHUNK_RAW_LIMIT + _PIECE, closefd=False
        )

    def grow(self, end: int) -> bool:
        """Decodes what came since, up to the offset `end`; False when the chunk has to be read in another way."""
        end = min(end, self.offset + layout.CHUNK_STORED_LIMIT)
        while self.usable and self._fed < end and (piece := self._source.some(self._fed, min(_PIECE, end - self._fed))):
            self._fed += len(piece)
            try:
                self._stream.write(piece)
                self.frames += (frame for frame, _ in self._decoder.feed(self._content.take()))
            except (zstandard.ZstdError, FrameError, _Overfull):
                self._give_up()
            if len(self.frames) > _MOST_FRAMES:
                self._give_up()
        return self.usable

    def _give_up(self) -> None:
        self.usable = False
        self.frames = []
