"""The gateway's credentials for its targets: resolved as a session would, looked at, and shown to nobody."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder import identity
from recorder.gateway.doctor import private
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.gateway.secrets import SecretError, Secrets
from recorder.model import Secret, SecretKind, Target
from recorder.protocols.ssh.serve import probe
from recorder.safe import quoted

_SHOWN = 3  # names in a line


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret of one or more targets: its bytes and its public line when it can be used, and what was found."""

    findings: tuple[Finding, ...]
    secret: bytes | None = None
    public: str = ""


def by_secret(targets: Sequence[Target]) -> Mapping[Secret, list[str]]:
    """The names of the targets that share each credential."""
    found: dict[Secret, list[str]] = {}
    for target in targets:
        found.setdefault(target.key, []).append(target.name)
    return found


async def look(setup: Setup, secrets: Secrets, secret: Secret, names: Sequence[str]) -> Credential:
    """Resolves one credential, which `names` share. A command is run, as a session would run it."""
    shown = f"{', '.join(names[:_SHOWN])}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}"
    about, of = f"key of {shown}", f"target {names[0]}"
    if not setup.private or (secret.kind is SecretKind.COMMAND and not setup.acting):
        what = f"it was not looked at, which is uid {setup.uid}'s to do, the gateway's user"
        return Credential((warn(about, f"{what}: run `{setup.as_gateway()}`"),))
    if secret.kind is SecretKind.FILE:
        path = Path(secret.value[0])
        if faults := tuple(private.faults(about, path, f"the key of {of}", _restore(path), setup.uid)):
            return Credential(faults)
    try:
        content = await secrets.resolve(secret, of)
    except SecretError as error:
        return Credential((wrong(about, f"{error}: {_mend(secret, setup)}"),))
    try:
        public = probe.public_of(content)
    except probe.UnusableKey as error:
        return Credential((wrong(about, _unusable(secret, of, encrypted=error.encrypted)),))
    fingerprint = identity.fingerprint(identity.key_blob(public))
    return Credential((ok(about, f"{_source(secret)} {fingerprint}"),), content, public)


def _restore(path: Path) -> str:
    make = f"make one with `ssh-keygen -q -t ed25519 -N '' -f {shlex.quote(str(path))}`"
    return f"restore it, or {make} and append its .pub to authorized_keys on the target"


def _mend(secret: Secret, setup: Setup) -> str:
    match secret.kind:
        case SecretKind.ENV:
            return f"export {quoted(secret.value[0], 64)} where `{setup.start()}` is run, and here for this check"
        case SecretKind.COMMAND:
            program = quoted(secret.value[0], 64)
            return f"run {program} with its arguments as uid {setup.uid} to see why, or correct key in the [[target]]"
        case SecretKind.FILE:
            return "mend its rights, or correct key in the [[target]]"


def _source(secret: Secret) -> str:
    match secret.kind:
        case SecretKind.ENV:
            return f"the variable {quoted(secret.value[0], 64)} holds"
        case SecretKind.COMMAND:
            return f"the command {quoted(secret.value[0], 64)} was run and gave"
        case SecretKind.FILE:
            return f"{secret.value[0]} is there for the gateway alone,"


def _unusable(secret: Secret, of: str, *, encrypted: bool) -> str:
    if encrypted:
        change = (
            f" run `ssh-keygen -p -N '' -f {shlex.quote(secret.value[0])}`, or"
            if secret.kind is SecretKind.FILE
            else ""
        )
        return f"the key of {of} is protected by a passphrase:{change} give the gateway a key without one"
    where = {
        SecretKind.FILE: f"what {secret.value[0]} holds for {of}",
        SecretKind.ENV: f"what the variable {quoted(secret.value[0], 64)} holds for {of}",
        SecretKind.COMMAND: f"what the command {quoted(secret.value[0], 64)} gave for {of}",
    }[secret.kind]
    return f"{where} is no SSH private key: put one there (`ssh-keygen -t ed25519` makes it; not its .pub)"
