"""RFC 6962 tree hashing, and C2SP signed notes with checkpoints. Knows nothing of tapes, files or clocks."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 6962 section 2.1: the hash of an empty list
_SIGNATURE = "\u2014 "  # C2SP signed-note: em dash, space
_ED25519 = b"\x01"  # C2SP signed-note: signature type of Ed25519


class NoteError(ValueError):
    """A signed note that is malformed, or whose signature does not fit."""


def leaf_hash(*parts: bytes) -> bytes:
    """SHA-256(0x00 || parts): RFC 6962 section 2.1."""
    digest = hashlib.sha256(b"\x00")
    for part in parts:
        digest.update(part)
    return digest.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing Merkle tree in compact form: one hash for each set bit of its size."""

    __slots__ = ("_peaks", "size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash (32 bytes)."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The Merkle tree hash of the leaves so far (32 bytes)."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of the given leaf hashes, level by level; an odd last node rises as it is."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    sha256 = hashlib.sha256
    while len(level) > 1:
        odd = level[-1:] if len(level) & 1 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A C2SP tlog-checkpoint with the time (UNIX ns) as its extension line."""

    origin: str
    size: int
    root: bytes
    time: int

    def text(self) -> str:
        """The note's text, ending in a newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\ntime {self.time}\n"


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The raw 32 bytes of the public half."""
    return key.public_key().public_bytes_raw()


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """The C2SP verifier key `NAME+KEYID+BASE64` of an Ed25519 public key."""
    return f"{name}+{_key_id(name, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def parse_verifier_key(text: str) -> tuple[str, bytes]:
    """Name and raw public key of a C2SP verifier key; NoteError when it is none."""
    try:
        name, key_id, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
        fits = _key_id(name, raw[1:]).hex() == key_id
    except ValueError:
        raise NoteError("not a verifier key of the form NAME+KEYID+BASE64") from None
    if len(raw) != 33 or raw[:1] != _ED25519 or not fits:
        raise NoteError("a verifier key whose id does not fit, or not an Ed25519 key")
    return name, raw[1:]


class Signer:
    """Signs notes with one key under one name."""

    __slots__ = ("_id", "_key", "_name")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._name = name
        self._key = key
        self._id = _key_id(name, public_bytes(key))

    def note(self, text: str) -> str:
        """`text` (ending in a newline) as a signed note."""
        signature = base64.b64encode(self._id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_SIGNATURE}{self._name} {signature}\n"


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """`text` (ending in a newline) as a signed note with one signature by `key` under `name`."""
    return Signer(name, key).note(text)


def open_checkpoint(note: str, name: str, public: bytes) -> Checkpoint:
    """The checkpoint inside a signed note, when `public` signed it under `name`; NoteError otherwise."""
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise NoteError("a note without signature lines")
    text += "\n"
    if not any(_signed(line, name, public, text) for line in signatures.splitlines()):
        raise NoteError(f"no valid signature by {name}")
    lines = text.splitlines()
    if len(lines) != 4 or not lines[3].startswith("time "):
        raise NoteError("not a checkpoint of four lines")
    try:
        return Checkpoint(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True), int(lines[3][5:]))
    except ValueError:
        raise NoteError("a checkpoint with a malformed size, root or time") from None


def _signed(line: str, name: str, public: bytes, text: str) -> bool:
    if not line.startswith(f"{_SIGNATURE}{name} "):
        return False
    try:
        raw = base64.b64decode(line[len(_SIGNATURE) + len(name) + 1 :], validate=True)
    except ValueError:
        return False
    return raw[:4] == _key_id(name, public) and verify(public, raw[4:], text.encode())


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` over `message` is by the Ed25519 key `public` (raw bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
