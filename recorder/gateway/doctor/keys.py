"""The gateway's own keys: the one that endorses tapes, and the SSH host key that agents know it by. Shows no secret."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from recorder import identity, tree
from recorder.gateway.doctor import private
from recorder.gateway.doctor.finding import Finding, ok, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.protocols.ssh.serve import probe

_SIGNING, _HOST = "signing key", "SSH host key"
_LIMIT = 64 * 1024
_NAME = "gateway"  # as `tacho init` names it in the public half


def check(setup: Setup) -> Iterator[Finding]:
    """Both keys, each with its public half."""
    yield from _signing(setup.config.keys / "gateway", setup.uid)
    yield from _host(setup.config.keys / "ssh_host", setup.uid)


def _signing(path: Path, uid: int) -> Iterator[Finding]:
    shown = shlex.quote(str(path))
    make = f"restore it from a backup, or make another with `(umask 077; openssl genpkey -algorithm ed25519 > {shown})`"
    restore = f"{make}, and keep the old {path.name}.pub, which the tapes so far are verified by"
    faults = list(private.faults(_SIGNING, path, "the gateway's key", restore, uid))
    yield from faults
    try:
        key = load_pem_private_key(private.readable(path, _LIMIT), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        yield wrong(_SIGNING, f"the gateway's key {path} is no unencrypted PEM private key: {restore}")
        return
    except OSError as error:
        if not faults:
            yield wrong(_SIGNING, f"the gateway's key {path} cannot be read: {error.strerror}; {restore}")
        return
    if not isinstance(key, Ed25519PrivateKey):
        yield wrong(_SIGNING, f"the gateway's key {path} is no Ed25519 key: {restore}")
        return
    mine = tree.public_bytes(key)
    public = path.with_name(f"{path.name}.pub")
    fault = _unfit(public, mine)
    if fault:
        write = f"run `echo '{tree.verifier_key(_NAME, mine)}' > {shlex.quote(str(public))}`"
        keep = "if it is the key that was swapped, restore that instead"
        yield wrong(_SIGNING, f"{public}, by which tapes are verified, {fault}: {write}; {keep}")
    elif not faults:
        yield ok(
            _SIGNING, f"{path} is an Ed25519 key that only the gateway reads, and {public.name} is its public half"
        )


def _unfit(public: Path, mine: bytes) -> str:
    """What is wrong with the public half; empty when it fits."""
    try:
        _, written = tree.parse_verifier_key(private.readable(public, _LIMIT).decode("ascii", "replace"))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except tree.NoteError as error:
        return f"is {error}"
    return "" if written == mine else "is another key's"


def _host(path: Path, uid: int) -> Iterator[Finding]:
    shown = shlex.quote(str(path))
    make = f"restore it from a backup, or make another with `ssh-keygen -q -t ed25519 -N '' -f {shown}`"
    restore = f"{make}, and give its .pub to the agents' known_hosts"
    faults = list(private.faults(_HOST, path, "the SSH host key", restore, uid))
    yield from faults
    try:
        line = probe.public_of(private.readable(path, _LIMIT))
    except probe.UnusableKey as error:
        if error.encrypted:
            yield wrong(_HOST, f"the SSH host key {path} has a passphrase: run `ssh-keygen -p -N '' -f {shown}`")
        else:
            yield wrong(_HOST, f"the SSH host key {path} is no SSH private key: {restore}")
        return
    except OSError as error:
        if not faults:
            yield wrong(_HOST, f"the SSH host key {path} cannot be read: {error.strerror}; {restore}")
        return
    public = path.with_name(f"{path.name}.pub")
    try:
        fits = " ".join(private.readable(public, _LIMIT).decode("ascii", "replace").split()[:2]) == line
    except OSError:
        fits = False
    if not fits:
        mend = f"run `ssh-keygen -y -f {shown} > {shlex.quote(str(public))}`"
        yield wrong(_HOST, f"{public}, which agents' clients are given, is not its public half: {mend}")
    elif not faults:
        fingerprint = identity.fingerprint(identity.key_blob(line))
        yield ok(_HOST, f"{path} is a key that only the gateway reads, {fingerprint}")
