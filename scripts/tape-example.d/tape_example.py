"""A tiny tape with each of its bytes explained, for docs/tape-format.md: run by `scripts/tape-example`.

A writer draws its key and its seeds at random; here they are counted up, so that each run prints the same.
"""

from collections.abc import Iterator

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import layout
from recorder.format.chunk import Chunk
from recorder.format.frame import Kind, Preamble
from recorder.format.seal import Header, Seal, index_block, pack_header

SESSION = "019e0000-0000-7000-8000-0123456789ab"
START = 1_790_000_000_000_000_000
GATEWAY_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SEGMENT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
SEED = bytes(range(64, 80))
FRAMES = (
    (0, Kind.OPEN, 0, {"agent": "ci", "target": "web1", "login": "deploy"}),
    (1500, Kind.NOTE, 1, {"name": "exec", "command": b"id -un"}),
    (2300, Kind.OUT, 1, b"deploy\n"),
    (2400, Kind.CLOSE, 0, {"reason": "the agent disconnected", "bytes_in": 0, "bytes_out": 7}),
)

Part = tuple[bytes, str]  # bytes of the tape, and what they are


def parts() -> Iterator[Part]:
    """The whole tape, from its first byte to its last."""
    header = pack_header(
        Header(
            session=SESSION,
            segment=0,
            start=START,
            first_frame=0,
            key=tree.public_bytes(SEGMENT_KEY),
            gateway="gw.example",
            gateway_key=tree.public_bytes(GATEWAY_KEY),
        ),
        GATEWAY_KEY,
    )
    yield from _header(header)
    offset = layout.SKIPPABLE.size + len(header)
    chunk = Chunk(offset, Preamble(0, 0, SEED, ()), 0, None)
    packed = [bytes(msgpack.packb(frame)) for frame in FRAMES]
    for number, frame in enumerate(packed):
        chunk.add(number, FRAMES[number][0], frame)
    yield from _chunk(b"".join(chunk.finish()), packed)
    seal = chunk.seal()
    yield from _seal(seal)
    origin = layout.origin(SESSION, 0)
    checkpoint = tree.Checkpoint(origin, 1, tree.root_of([seal.leaf()]), START + 1_000_000_000)
    yield from _checkpoint(tree.sign_note(checkpoint.text(), origin, SEGMENT_KEY))
    yield from _index(index_block([(offset, seal.first_frame, seal.first_t, seal.last_t)], len(FRAMES)))


def _begun(block: str, magic: int, payload: bytes) -> Iterator[Part]:
    yield layout.MAGIC.pack(magic), f"{block}: 0x{magic:08X}"
    yield len(payload).to_bytes(4, "little"), f"{len(payload)} bytes follow"


def _header(payload: bytes) -> Iterator[Part]:
    yield from _begun("HEADER", layout.HEADER_MAGIC, payload)
    packed = msgpack.unpackb(payload)[0]
    at = payload.index(packed)
    yield payload[:at], f"array of 3, bin of {len(packed)} bytes: the map"
    yield from _map(packed)
    at += len(packed)
    yield payload[at : at + 34], "the gateway's public key"
    yield payload[at + 34 :], 'the gateway\'s signature over "tachograph-tape/1 header\\n" and the map'


def _map(packed: bytes) -> Iterator[Part]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    count = unpacker.read_map_header()
    at = unpacker.tell()
    yield packed[:at], f"map of {count}"
    for _ in range(count):
        key, value = unpacker.unpack(), unpacker.unpack()
        yield packed[at : unpacker.tell()], f"{key}: {_shown(value)}"
        at = unpacker.tell()


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "nil" if value is None else str(value)


def _chunk(stored: bytes, frames: list[bytes]) -> Iterator[Part]:
    preamble = bytes(msgpack.packb([0, 0, SEED, []]))
    content = len(preamble) + sum(map(len, frames))
    yield stored[:4], f"CHUNK: 0x{layout.ZSTD_MAGIC:08X}"
    yield stored[4:6], "no checksum, no content size; a window of 512 KiB"
    yield stored[6:9], f"zstd block header: raw, {content} bytes, not the last"
    yield preamble, "preamble: seq 0, first_frame 0, seed, nothing to resume"
    for number, frame in enumerate(frames):
        t, kind, stream, _ = FRAMES[number]
        yield frame, f"frame {number}: t {t}, kind {kind.value} ({kind.name.lower()}), stream {stream}, body"
    yield stored[9 + content :], "zstd block header: raw, 0 bytes, the last"


def _seal(seal: Seal) -> Iterator[Part]:
    payload = seal.pack()
    yield from _begun("SEAL", layout.SEAL_MAGIC, payload)
    yield payload[:1], f"array of {len(seal)}"
    at = 1
    for name, value in seal._asdict().items():
        size = len(msgpack.packb(value))
        yield payload[at : at + size], f"{name}: {_shown(value)}"
        at += size


def _checkpoint(note: str) -> Iterator[Part]:
    yield from _begun("CHECKPOINT", layout.CHECKPOINT_MAGIC, note.encode())
    names = (
        "origin",
        "tree size",
        "root",
        "time",
        "end of the text",
        "signature: em dash, key name, key id and signature",
    )
    for line, name in zip(note.splitlines(keepends=True), names, strict=True):
        yield line.encode(), name


def _index(block: bytes) -> Iterator[Part]:
    payload = block[layout.SKIPPABLE.size :]
    yield from _begun("INDEX", layout.INDEX_MAGIC, payload)
    footer = payload[-layout.FOOTER.size :]
    yield from _map(payload[: -layout.FOOTER.size])
    yield footer[:32], "footer: SHA-256 of the map"
    yield footer[32:40], f"length of the whole block: {len(block)}"
    yield footer[40:], footer[40:].decode()


def lines() -> Iterator[str]:
    """The dump: offset, sixteen bytes a line, what they are."""
    offset = 0
    for data, text in parts():
        for at in range(0, len(data), 16):
            row = data[at : at + 16].hex(" ")
            yield f"{offset + at:04x}  {row:<47}  {text if at == 0 else ''}".rstrip()
        offset += len(data)


if __name__ == "__main__":
    print("\n".join(lines()))
