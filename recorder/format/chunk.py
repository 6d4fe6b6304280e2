"""The chunk that is being filled: its frames' leaves, its stored bytes, their hash. Writes no file, knows no clock."""

import hashlib
from typing import Protocol

import zstandard

from recorder import tree
from recorder.format import layout
from recorder.format.frame import Preamble, pack_preamble
from recorder.format.seal import Seal, frame_leaf

_LEVEL = 1
_IDLE_COMPRESSORS = 8
_LARGE = 4096  # bytes of a frame that goes to the encoder by itself rather than joined with others


class Compressors:
    """Compression contexts that are kept: an open chunk holds one, for its history; between chunks none."""

    def __init__(self) -> None:
        self._idle: list[zstandard.ZstdCompressor] = []

    def take(self) -> zstandard.ZstdCompressor:
        """A context for a new chunk."""
        if self._idle:
            return self._idle.pop()
        return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False, write_content_size=False)

    def give(self, compressor: zstandard.ZstdCompressor) -> None:
        """Takes the context of a finished chunk back."""
        if len(self._idle) < _IDLE_COMPRESSORS:
            self._idle.append(compressor)


class _Encoder(Protocol):
    """Makes one zstd frame, piece by piece."""

    def add(self, data: bytes) -> list[bytes]:
        """What is ready to be stored once `data` is added; the rest comes later."""

    def flush(self, how: int) -> list[bytes]:
        """What was held back; with COMPRESSOBJ_FLUSH_FINISH also the end of the frame."""


class _Compressed:
    """Compressed blocks."""

    def __init__(self, compressor: zstandard.ZstdCompressor) -> None:
        self._stream = compressor.compressobj()

    def add(self, data: bytes) -> list[bytes]:
        piece = self._stream.compress(data)
        return [piece] if piece else []

    def flush(self, how: int) -> list[bytes]:
        piece = self._stream.flush(how)
        return [piece] if piece else []


class _Stored:
    """Raw blocks (RFC 8878 section 3.1.1.2), for content that does not compress: nothing is copied or held back."""

    _HEADER = layout.MAGIC.pack(layout.ZSTD_MAGIC) + b"\x00\x48"  # no checksum, no content size; a window of 512 KiB
    _BLOCK = 128 * 1024
    _LAST = b"\x01\x00\x00"  # an empty raw block that ends the frame

    def __init__(self) -> None:
        self._begun = False

    def add(self, data: bytes) -> list[bytes]:
        pieces = [] if self._begun else [self._HEADER]
        self._begun = True
        for at in range(0, len(data), self._BLOCK):
            piece = data[at : at + self._BLOCK]
            pieces += ((len(piece) << 3).to_bytes(3, "little"), piece)
        return pieces

    def flush(self, how: int) -> list[bytes]:
        return [self._LAST] if how == zstandard.COMPRESSOBJ_FLUSH_FINISH else []


class Chunk:
    """The chunk that is being filled: frames wait in `_frames` until a flush compresses them."""

    def __init__(self, offset: int, preamble: Preamble, t: int, compressor: zstandard.ZstdCompressor | None) -> None:
        packed = pack_preamble(preamble)
        self.offset = offset
        self.compressor = compressor
        self.first_t = t
        self.raw = 0
        self.stored = 0
        self._preamble = preamble
        self._last_t = t
        self._count = 0
        self._frames = [packed]
        self._ready: list[bytes] = []
        self._waiting = True
        self._leaves: list[bytes] = []
        self._hash = hashlib.sha256()
        self._encoder: _Encoder = _Compressed(compressor) if compressor is not None else _Stored()

    def add(self, number: int, t: int, packed: bytes) -> None:
        if len(packed) >= _LARGE:
            self._encode_small()
            self._ready += self._encoder.add(packed)
        else:
            self._frames.append(packed)
        self._waiting = True
        self._leaves.append(frame_leaf(self._preamble.seed, number, packed))
        self._last_t = t
        self._count += 1
        self.raw += len(packed)

    def flush(self) -> list[bytes]:
        """The stored bytes of everything added so far, as whole zstd blocks."""
        if not self._waiting:
            return []
        self._waiting = False
        return self._store(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def finish(self) -> list[bytes]:
        """The chunk's remaining stored bytes."""
        return self._store(zstandard.COMPRESSOBJ_FLUSH_FINISH)

    def _encode_small(self) -> None:
        if self._frames:
            self._ready += self._encoder.add(b"".join(self._frames))
            self._frames.clear()

    def _store(self, how: int) -> list[bytes]:
        self._encode_small()
        pieces = [*self._ready, *self._encoder.flush(how)]
        self._ready.clear()
        for piece in pieces:
            self._hash.update(piece)
            self.stored += len(piece)
        return pieces

    def stored_hash(self) -> bytes:
        """SHA-256 of the stored bytes so far."""
        return self._hash.copy().digest()

    def seal(self) -> Seal:
        """The SEAL of the finished chunk."""
        preamble = self._preamble
        return Seal(
            preamble.seq,
            preamble.first_frame,
            self._count,
            self.first_t,
            self._last_t,
            self.stored,
            self._hash.digest(),
            tree.root_of(self._leaves),
        )
