"""The targets as the gateway meets them: reachable, genuine, and do they let it in? Side by side, within a limit."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping

from recorder import identity
from recorder.gateway.doctor import credentials
from recorder.gateway.doctor.credentials import Credential
from recorder.gateway.doctor.finding import Finding, defect, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.gateway.secrets import Secrets
from recorder.model import Secret, Target
from recorder.protocols.ssh.serve import probe
from recorder.protocols.ssh.serve.target import KeyNotAccepted, TargetUnavailable
from recorder.safe import printable, quoted

_AT_ONCE = 48  # targets
_COMMANDS = 8  # commands for credentials at once
_LOOK_S, _LOG_IN_S = 4.0, 5.0
_ALL_S = 11.0
_LOGINS = 3  # of each target that are tried


async def check(setup: Setup) -> list[Finding]:
    """The credentials, then each target in the order of the configuration."""
    secrets = Secrets(setup.environ)
    commands, places = asyncio.Semaphore(_COMMANDS), asyncio.Semaphore(_AT_ONCE)
    found: dict[str, list[Finding]] = {target.name: [] for target in setup.config.targets}
    looked: set[str] = set()
    keys: dict[Secret, asyncio.Task[Credential]] = {}

    async def key_of(secret: Secret, names: list[str]) -> Credential:
        try:
            async with commands:
                return await credentials.look(setup, secrets, secret, names)
        except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others found
            return Credential((defect(f"key of {names[0]}", error),))

    async def visit(target: Target) -> None:
        try:
            async with places:
                async for finding in _visit(target, keys):
                    found[target.name].append(finding)
        except Exception as error:  # noqa: BLE001 - as above
            found[target.name].append(defect(_about(target), error))
        looked.add(target.name)

    try:
        async with asyncio.timeout(_ALL_S), asyncio.TaskGroup() as tasks:
            for secret, names in credentials.by_secret(setup.config.targets).items():
                keys[secret] = tasks.create_task(key_of(secret, names))
            for target in setup.config.targets:
                tasks.create_task(visit(target))
    except TimeoutError:
        pass  # what was not looked at is named below
    for target in setup.config.targets:
        if target.name not in looked:
            what = f"it was not looked at to the end within {_ALL_S:.0f} s"
            mend = "mend what is wrong with the others, and run `tacho doctor` again"
            found[target.name].append(warn(_about(target), f"{what}: {mend}"))
    usable = [task.result() for task in keys.values() if task.done() and not task.cancelled()]
    return [
        *(finding for key in usable for finding in key.findings),
        *(finding for findings in found.values() for finding in findings),
    ]


async def _visit(target: Target, keys: Mapping[Secret, asyncio.Task[Credential]]) -> AsyncIterator[Finding]:
    about = _about(target)
    try:
        trusted = probe.trusted(target)
    except (ValueError, OSError) as error:
        yield wrong(about, _unreadable(target, error))
        return
    try:
        presented = await probe.look(target, _LOOK_S)
    except TargetUnavailable as error:
        yield wrong(about, str(error))
        return
    if not presented.trusted:
        yield wrong(about, _strange(target, presented.key, trusted))
        return
    fingerprint = _fingerprint(presented.key)
    server = printable(presented.version, limit=64)
    yield ok(about, f"{target.host}:{target.port} presents the configured host key, {fingerprint}, and is {server}")
    key = await keys[target.key]
    if key.secret is None:
        return  # what is wrong with the credential is said there
    tried = target.logins[:_LOGINS]
    results = await asyncio.gather(*(_log_in(target, login, key) for login in tried))
    for finding in results:
        yield finding
    if len(target.logins) > _LOGINS:
        yield ok(about, f"of its {len(target.logins)} logins the first {_LOGINS} were tried")


async def _log_in(target: Target, login: str, key: Credential) -> Finding:
    about = f"{_about(target)}, login {quoted(login, 32)}"
    try:
        await probe.log_in(target, login, key.secret or b"", _LOG_IN_S)
    except KeyNotAccepted as error:
        line = f"`echo '{key.public}' >> ~/.ssh/authorized_keys`"
        same = "an account that is not there looks the same from here"
        return wrong(about, f"{error}, which {line} does when that account runs it on the server; {same}")
    except TargetUnavailable as error:
        return wrong(about, str(error))
    return ok(about, "it lets the gateway in")


def _about(target: Target) -> str:
    return f"target {target.name}"


def _strange(target: Target, presented: str, trusted: list[str]) -> str:
    where = f"target {target.name} ({target.host}:{target.port})"
    kind = presented.split()[0].removeprefix("ssh-").partition("-")[0] if presented else "ed25519"
    compare = (
        f"compare {_fingerprint(presented)} with `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` on the server itself"
    )
    if target.known_hosts is None:
        mend = f"only if it is the same set host_key = {quoted(presented, 2048)}"
    else:
        host = target.host if target.port == 22 else f"[{target.host}]:{target.port}"
        mend = f"only if it is the same append {quoted(f'{host} {presented}', 2048)} to {target.known_hosts}"
    if not trusted:
        return f"{target.known_hosts} has no key of {where}: {compare}, and {mend}"
    return f"the host key of {where} is not the configured one: somebody may stand in between; {compare}, and {mend}"


def _unreadable(target: Target, error: ValueError | OSError) -> str:
    scan = f"`ssh-keyscan -t ed25519 -p {target.port} {shlex.quote(target.host)}`"
    if isinstance(error, OSError):
        return f"its known_hosts file {target.known_hosts} cannot be read: {error.strerror}; make it with {scan}"
    what = (
        f"its known_hosts file {target.known_hosts}" if target.known_hosts and not target.host_keys else "its host_key"
    )
    return f"{what} is no public key in OpenSSH form: run {scan}, compare on the server, and write TYPE BASE64 of it"


def _fingerprint(line: str) -> str:
    return identity.fingerprint(identity.key_blob(line)) if line else "its key"
