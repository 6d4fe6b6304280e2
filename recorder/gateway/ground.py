"""What a gateway stands on before it serves: keys, folders, the lock of its data, what an earlier one left behind."""

import os
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config
from recorder.format import guard, recovery
from recorder.gateway import recovered

_RESTORE = "restore it from a backup, or see `tacho doctor` for how to make another"


class StartError(Exception):
    """The gateway cannot start; the text is one sentence: what, where, the mend."""


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The gateway's own Ed25519 key (PEM); StartError when it cannot be used."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise StartError(f"cannot read the gateway's key {path}: {error.strerror}; {_RESTORE}") from None
    except (ValueError, TypeError):
        raise StartError(f"{path} is no PEM private key; {_RESTORE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StartError(f"{path} is no Ed25519 key; {_RESTORE}")
    return key


def host_key(path: Path) -> bytes:
    """The SSH host key in OpenSSH form; StartError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"cannot read the SSH host key {path}: {error.strerror}; {_RESTORE}") from None


def check_folder(path: Path) -> None:
    """Makes sure that tapes can be written in `path`; StartError when they cannot."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"cannot write tapes in {path}: {error.strerror}; mend its rights or set [gateway] data"
        ) from None


def take(config: Config) -> int:
    """Makes the data folder this gateway's alone, as long as the descriptor is open here or in the scribe."""
    try:
        return guard.take(config.journal)
    except guard.Taken as taken:
        raise StartError(str(taken)) from None
    except OSError as error:
        mend = "mend its rights or set [gateway] data"
        raise StartError(f"cannot write in {config.journal}: {error.strerror}; {mend}") from None


def recover(config: Config, name: tuple[str, Ed25519PrivateKey], catalogue: Catalogue) -> None:
    """Closes, in new segments, what a gateway that stopped without closing has left; StartError when it cannot."""
    try:
        for found in recovery.recover(config.tapes, config.journal, name, catalogue.unfinished(), time.time_ns()):
            recovered.enter(catalogue, found)
    except recovery.RecoveryError as error:
        raise StartError(str(error)) from None
