"""Constants and containers of tape format 1: magic numbers, limits, skippable frames, the footer. No I/O."""

import struct

FORMAT = "tachograph-tape/1"

# RFC 8878 section 3.1: zstd frames and skippable frames, all little-endian.
ZSTD_MAGIC = 0xFD2FB528
HEADER_MAGIC = 0x184D2A50
SEAL_MAGIC = 0x184D2A51
CHECKPOINT_MAGIC = 0x184D2A52
INDEX_MAGIC = 0x184D2A53
CIPHER_MAGIC = 0x184D2A54

BODY_LIMIT = 32 * 1024  # bytes of one frame's body
CHUNK_RAW = 256 * 1024  # a chunk ends once its frames exceed this many bytes …
CHUNK_US = 10_000_000  # … or this many µs after its first frame
FLUSH_US = 100_000  # pending bytes of a chunk reach the file at least this often
IDLE_CHECKPOINT_US = 30_000_000
HEAD_US = 1_000_000  # a running head goes to the catalogue this often

# What a reader allocates at most for one block of each sort, whatever the tape says.
HEADER_LIMIT = 64 * 1024
SEAL_LIMIT = 4 * 1024
CHECKPOINT_LIMIT = 16 * 1024
INDEX_LIMIT = 64 * 1024 * 1024
CHUNK_STORED_LIMIT = 4 * 1024 * 1024
CHUNK_RAW_LIMIT = 4 * 1024 * 1024
FRAME_LIMIT = 64 * 1024  # one frame, packed
CONTAINER_LIMIT = 4096  # entries of one msgpack array or map (allocated before they are read)

SKIPPABLE = struct.Struct("<II")  # magic, length of what follows
INDEX_ENTRY = struct.Struct("<QQQQ")  # a chunk's offset, first frame, first t, last t
FOOTER = struct.Struct("<32sQ8s")  # SHA-256 of the INDEX before it, length of the whole block, FOOTER_MAGIC
FOOTER_MAGIC = b"TACHOEND"
MAGIC = struct.Struct("<I")


def skippable(magic: int, payload: bytes) -> bytes:
    """`payload` as a skippable zstd frame (RFC 8878 section 3.1.2)."""
    return SKIPPABLE.pack(magic, len(payload)) + payload


def origin(session: str, segment: int) -> str:
    """The checkpoint origin, and key name, of a segment."""
    return f"tachograph/{session}/{segment}"
