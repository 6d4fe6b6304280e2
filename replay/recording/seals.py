"""The exact bytes that a gateway writes for HEADER, checkpoint and INDEX: whatever else means the same is refused.

So no byte of a tape can be changed without being found, not even one that changes nothing that is read.
"""

import base64
import struct
from collections.abc import Sequence

import msgpack

from recorder import tree
from recorder.format.seal import Header, index_block

_SIGNED = "\u2014 "


def canonical_header(header: Header, payload: bytes) -> bool:
    """Whether `payload` is written as it must be; what is inside is covered by the endorsement."""
    return bool(payload == msgpack.packb([header.packed, header.gateway_key, header.signature]))


def canonical_checkpoint(payload: bytes, origin: str, key: bytes) -> tree.Checkpoint:
    """The checkpoint in a CHECKPOINT block, signed once by the segment's `key`; NoteError otherwise."""
    try:
        note = payload.decode()
        checkpoint = tree.open_checkpoint(note, origin, key)
        text, _, line = note.rpartition("\n\n")
        signature = base64.b64decode(line.removeprefix(f"{_SIGNED}{origin} ").rstrip("\n"), validate=True)
    except tree.NoteError:
        raise
    except ValueError:
        raise tree.NoteError("not a signed note") from None
    written = f"{checkpoint.text()}\n{_SIGNED}{origin} {base64.b64encode(signature).decode()}\n"
    if checkpoint.origin != origin or written != note or f"{text}\n" != checkpoint.text():
        raise tree.NoteError("not written as a gateway writes it")
    return checkpoint


def canonical_index(chunks: Sequence[tuple[int, int, int, int]], frames: int) -> bytes:
    """The whole INDEX block with its footer; empty when the numbers are beyond what one can hold."""
    try:
        return index_block(chunks, frames)
    except (OverflowError, struct.error):
        return b""
