"""The key by which a user endorses the tapes of their own terminal: made at first use, readable by them alone."""

import os
import re
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from recorder import tree
from recorder.safe import printable

KEY = "rec_key"
_KEY_LIMIT = 4096
_NOT_IN_A_NAME = re.compile(r"[\s+]|[^\x20-\x7e]")  # C2SP signed-note: what a key's name must not hold


class SignerError(Exception):
    """The key cannot be used; one sentence."""


def signer(folder: Path, name: str) -> tuple[str, Ed25519PrivateKey]:
    """The key in `folder`, made where there is none, its public half beside it; and a name fit for it. SignerError."""
    name = _NOT_IN_A_NAME.sub("-", name) or "-"
    path = folder / KEY
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make(path)
        key = _read(path)
        public = path.with_name(f"{KEY}.pub")
        if not public.exists():
            public.write_text(tree.verifier_key(name, tree.public_bytes(key)) + "\n")
    except OSError as error:
        where = printable(str(error.filename or path))
        raise SignerError(f"cannot use the key {where}: {error.strerror}; mend the rights of its folder") from None
    return name, key


def _make(path: Path) -> None:
    """Writes a new key, whole from the moment it has its name; another's that came first stays."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        Path(part).unlink()


def _read(path: Path) -> Ed25519PrivateKey:
    where = printable(str(path))
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise SignerError(f"the key {where} may be read by others: run `chmod 600 {where}`, or remove it")
        content = file.read(_KEY_LIMIT)
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SignerError(f"{where} holds no Ed25519 key in PEM: move it away, and a new one is made")
    return key
