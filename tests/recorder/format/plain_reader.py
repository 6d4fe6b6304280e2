"""Reads the frames of a session's folder; written from docs/tape-format.md alone, without a line of the recorder's.

Signatures are left out, since the standard library has no Ed25519: what fits may still be somebody else's.
"""

import struct
from hashlib import sha256
from pathlib import Path

import msgpack
import zstandard

ZSTD, HEADER, SEAL, CHECKPOINT, INDEX = 0xFD2FB528, 0x184D2A50, 0x184D2A51, 0x184D2A52, 0x184D2A53
Frame = tuple[int, int, int, int, object, bytes]  # number, t (µs), kind, stream, body, leaf
Previous = tuple[int, bytes, int, bytes]  # length, SHA-256, frames, root


def read(folder: Path) -> list[Frame]:
    """The frames that count, in order; a torn end is no fault.

    ValueError, or an error of the libraries, where something does not fit.
    """
    frames: list[Frame] = []
    previous: Previous | None = None
    for path in sorted(folder.glob("*.tape"), key=lambda path: int(path.stem), reverse=True):
        data, said = path.read_bytes(), previous
        counts = data[: said[0]] if said else data
        previous, own = segment(data, len(counts))
        if said:
            own = own[: said[2]]
            found = len(counts), sha256(counts).digest(), len(own), root([frame[5] for frame in own])
            check(found == said, f"{path} is not what the next segment continues")
        frames = own + frames
    check([frame[0] for frame in frames] == list(range(len(frames))), "frames are missing")
    return frames


def segment(data: bytes, length: int) -> tuple[Previous | None, list[Frame]]:
    """What the HEADER says of the segment before, and the frames in the first `length` bytes."""
    at = 8 + int.from_bytes(data[4:8], "little")
    if len(data) < at:
        return None, []  # its HEADER is torn
    header = msgpack.unpackb(msgpack.unpackb(data[8:at])[0])
    check(data[:4] == struct.pack("<I", HEADER) and header["format"] == "tachograph-tape/1", "no tape of this format")
    data, number, seals, stored, index = data[:length], header["first_frame"], 0, b"", b""
    frames, new = list[Frame](), list[Frame]()  # new: of a chunk whose SEAL is still to come
    while at + 8 <= len(data):
        magic, size = struct.unpack_from("<II", data, at)
        check(magic in (ZSTD, SEAL, CHECKPOINT, INDEX), f"no block begins at byte {at}")
        new, end = chunk(data, at) if magic == ZSTD else (new, at + 8 + size)
        if end > len(data):
            break  # torn
        if magic == ZSTD:
            stored = data[at:end]
        elif magic == SEAL:
            hashes = sha256(stored).digest(), root([frame[5] for frame in new])
            seal = [seals, number, len(new), new[0][1], new[-1][1], len(stored), *hashes]
            check(msgpack.unpackb(data[at + 8 : end]) == seal, f"chunk {seals} is not what was sealed")
            index += struct.pack("<4Q", at - len(stored), number, new[0][1], new[-1][1])
            frames, new, number, seals = frames + new, [], number + len(new), seals + 1
        elif magic == INDEX:
            payload = msgpack.packb({"chunks": index, "frames": number})
            footer = struct.pack("<32sQ8s", sha256(payload).digest(), end - at, b"TACHOEND")
            check(data[at + 8 :] == payload + footer, "the INDEX does not fit, or something follows it")
        at = end
    return header["previous"] and tuple(header["previous"]), frames + new


def chunk(data: bytes, at: int) -> tuple[list[Frame], int]:
    """The frames of the chunk at `at`, as far as it goes, and where it ends."""
    stream, raw = zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj(), bytearray()
    while not stream.eof and at < len(data):
        raw += stream.decompress(data[at : at + 1024])
        check(len(raw) <= 4 << 20, "a chunk holds too much")
        at = min(at + 1024, len(data))
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape")
    unpacker.feed(raw)
    _, first, seed, *_ = next(unpacker, (0, 0, b"", ()))
    start, frames = unpacker.tell(), list[Frame]()
    for number, value in enumerate(unpacker, first):
        packed, start = raw[start : unpacker.tell()], unpacker.tell()
        salt = sha256(seed + number.to_bytes(8, "big")).digest()
        frames.append((number, *value[:4], sha256(b"\x00" + salt + packed).digest()))
    return frames, at - len(stream.unused_data)


def root(leaves: list[bytes]) -> bytes:
    """The root of RFC 6962 section 2.1 over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + root(leaves[:half]) + root(leaves[half:])).digest()


def check(fits: bool, what: str) -> None:
    """ValueError unless it fits."""
    if not fits:
        raise ValueError(what)
