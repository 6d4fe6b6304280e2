"""What makes a tape tamper-evident: the HEADER with its endorsement, SEALs, salted frame leaves. No I/O."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import layout

_ONE_CALL = 16 * 1024  # bytes: below, a copy costs less than a second call
_ENDORSED = b"tachograph-tape/1 header\n"


class SealError(ValueError):
    """A HEADER or SEAL that is malformed."""


@dataclass(frozen=True, slots=True)
class Previous:
    """The segment before this one: stored length, SHA-256 of the file, decodable frames and their root."""

    length: int
    sha256: bytes
    frames: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A segment's HEADER. `start` is UNIX ns UTC; `first_frame` goes on from the previous segment.

    `gateway_key` (raw Ed25519) endorsed everything else in it, `key` (the segment's own) among them.
    """

    session: str
    segment: int
    start: int
    first_frame: int
    key: bytes
    gateway: str
    gateway_key: bytes
    previous: Previous | None = None
    signature: bytes = b""
    packed: bytes = b""

    def endorsed(self) -> bool:
        """Whether `gateway_key` signed this HEADER."""
        return tree.verify(self.gateway_key, self.signature, _ENDORSED + self.packed)


def pack_header(header: Header, gateway_key: Ed25519PrivateKey) -> bytes:
    """The HEADER's payload: `[map, gateway's public key, signature over the map's bytes]`."""
    previous = header.previous
    packed = bytes(
        msgpack.packb(
            {
                "format": layout.FORMAT,
                "session": header.session,
                "segment": header.segment,
                "start": header.start,
                "first_frame": header.first_frame,
                "previous": previous and [previous.length, previous.sha256, previous.frames, previous.root],
                "key": header.key,
                "gateway": header.gateway,
                "ledger": None,
            }
        )
    )
    signature = gateway_key.sign(_ENDORSED + packed)
    return bytes(msgpack.packb([packed, tree.public_bytes(gateway_key), signature]))


def unpack_header(payload: bytes) -> Header:
    """The HEADER in `payload`; SealError when it is none of this format."""
    try:
        packed, gateway_key, signature = msgpack.unpackb(payload)
        value = msgpack.unpackb(packed)
        found, previous = value["format"], value["previous"]
        header = Header(
            session=value["session"],
            segment=value["segment"],
            start=value["start"],
            first_frame=value["first_frame"],
            key=value["key"],
            gateway=value["gateway"],
            gateway_key=gateway_key,
            previous=Previous(*previous) if previous is not None else None,
            signature=signature,
            packed=packed,
        )
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        raise SealError("a HEADER that is malformed") from None
    if found != layout.FORMAT:
        raise SealError(f"a tape of format {str(found)[:64]!r}; this version reads {layout.FORMAT}")
    texts: tuple[object, ...] = (header.session, header.gateway)
    before = header.previous
    numbers: tuple[object, ...] = (header.segment, header.start, header.first_frame)
    blobs: tuple[object, ...] = (header.key, header.gateway_key, header.signature)
    if before is not None:
        numbers += (before.length, before.frames)
        blobs += (before.sha256, before.root)
    if not (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int) and number >= 0 for number in numbers)
        and all(isinstance(blob, bytes) for blob in blobs)
    ):
        raise SealError("a HEADER whose fields have the wrong types")
    return header


class Seal(NamedTuple):
    """What is signed of a chunk: its place, time range (µs), stored length, SHA-256 of the stored bytes, frame root."""

    seq: int
    first_frame: int
    frames: int
    first_t: int
    last_t: int
    stored: int
    sha256: bytes
    root: bytes

    def pack(self) -> bytes:
        """The SEAL's payload, which is also what its leaf in the segment's tree hashes."""
        return bytes(msgpack.packb(tuple(self)))

    def leaf(self) -> bytes:
        """This SEAL's leaf in the segment's tree."""
        return tree.leaf_hash(self.pack())


def unpack_seal(payload: bytes) -> Seal:
    """The SEAL in `payload`; SealError when it is malformed."""
    try:
        value = msgpack.unpackb(payload)
        seal = Seal(*value)
    except (ValueError, TypeError, msgpack.UnpackException):
        raise SealError("a SEAL that is malformed") from None
    numbers: tuple[object, ...] = seal[:6]
    hashes: tuple[object, ...] = seal[6:]
    if not all(isinstance(field, int) and field >= 0 for field in numbers) or not all(
        isinstance(field, bytes) and len(field) == 32 for field in hashes
    ):
        raise SealError("a SEAL whose fields have the wrong types")
    return seal


def index_block(chunks: Iterable[tuple[int, int, int, int]], frames: int) -> bytes:
    """The INDEX of a segment with its footer; `chunks` as `(offset, first frame, first t, last t)`."""
    entries = b"".join(layout.INDEX_ENTRY.pack(*entry) for entry in chunks)
    payload = bytes(msgpack.packb({"chunks": entries, "frames": frames}))
    length = layout.SKIPPABLE.size + len(payload) + layout.FOOTER.size
    footer = layout.FOOTER.pack(hashlib.sha256(payload).digest(), length, layout.FOOTER_MAGIC)
    return layout.skippable(layout.INDEX_MAGIC, payload + footer)


def salt(seed: bytes, number: int) -> bytes:
    """The salt of frame `number`: SHA-256(seed || number as 8 bytes, big-endian)."""
    return hashlib.sha256(seed + number.to_bytes(8, "big")).digest()


def frame_leaf(seed: bytes, number: int, packed: bytes, body: bytes | memoryview = b"") -> bytes:
    """A frame's leaf in its chunk's tree: SHA-256(0x00 || salt || packed frame). `body`: what follows of the frame."""
    sha256 = hashlib.sha256
    prefix = b"\x00" + salt(seed, number) + packed
    if len(body) < _ONE_CALL:
        return sha256(b"".join((prefix, body))).digest()
    digest = sha256(prefix)
    digest.update(body)
    return digest.digest()
