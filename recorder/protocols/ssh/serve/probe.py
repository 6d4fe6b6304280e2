"""Looks at a target as the gateway meets it: the host key that it presents, the logins that let the gateway in.

It opens no channel and runs nothing there; what fails is said in the words of the gateway's own log-in.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import asyncssh
from asyncssh.connection import SSHClientConnection
from asyncssh.public_key import (
    SSHKey,
    decode_ssh_certificate,
    decode_ssh_public_key,
    get_default_certificate_algs,
    get_default_public_key_algs,
)

from recorder.model import Target
from recorder.protocols.ssh.serve.target import (
    Owner,
    TargetConnection,
    TargetUnavailable,
    dial,
    options_of,
)

_SSH_PORT = 22
_CLOSE_LIMIT_S = 0.5


class UnusableKey(ValueError):
    """A private key that cannot be used. `encrypted`: it is one, but a passphrase protects it."""

    def __init__(self, *, encrypted: bool) -> None:
        super().__init__()
        self.encrypted = encrypted


@dataclass(frozen=True, slots=True)
class Presented:
    """What a target presents: its host key as a line `TYPE BASE64`, its version; `trusted`: it is a configured one."""

    key: str
    version: str
    trusted: bool


class _Probing(TargetConnection):
    """Notes the host key, goes on only when it is a configured one, and tells when its socket is closed."""

    presented: SSHKey | None = None
    strange = False
    socket: asyncio.Transport | None = None
    over: asyncio.Event

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there (asyncio.Protocol)."""
        self.socket = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None = None) -> None:
        """It is closed (asyncio.Protocol)."""
        super().connection_lost(exc)
        self.over.set()

    def validate_server_host_key(self, key_data: bytes) -> SSHKey:
        """Looks at the target's host key (SSHClientConnection)."""
        self.presented = _key_in(key_data)
        try:
            return SSHClientConnection.validate_server_host_key(self, key_data)
        except asyncssh.HostKeyNotVerifiable:
            self.strange = True
            raise


def public_of(private: bytes) -> str:
    """The public line `TYPE BASE64` of a private key in any form that asyncssh reads; UnusableKey."""
    try:
        return _line(asyncssh.import_private_key(private))
    except asyncssh.KeyEncryptionError:
        raise UnusableKey(encrypted=True) from None
    except asyncssh.KeyImportError as error:
        # It says so in words alone when a passphrase is what it lacks.
        raise UnusableKey(encrypted="assphrase" in str(error)) from None


def trusted(target: Target) -> list[str]:
    """The configured host keys of a target, as lines `TYPE BASE64`; ValueError or OSError when they cannot be read."""
    keys, authorities = _trusted(target)
    return [_line(key) for key in (*keys, *authorities)]


async def look(target: Target, limit: float) -> Presented:
    """Exchanges keys with `target` and leaves, within `limit` seconds; TargetUnavailable.

    The configured host keys' types are asked for first, then all others, so that a strange key is seen and not merely
    that none fits.
    """
    keys, authorities = _trusted(target)
    wanted = [name for key in keys for name in key.sig_algorithms]
    certified = get_default_certificate_algs() if authorities else []
    names = dict.fromkeys((*certified, *wanted, *get_default_public_key_algs()))
    algorithms = [name.decode() for name in names]
    options = await options_of(target, target.logins[0], None, _owner, limit, algorithms)
    made: list[_Probing] = []
    try:
        connection = await dial(target, options, lambda: _probing(options, "kex", made), limit)
        connection.give_up()
    except TargetUnavailable:
        if not made or not made[-1].strange:
            raise
        connection = made[-1]
    finally:
        await _left(made)
    key = "" if connection.presented is None else _line(connection.presented)
    version = connection._server_version.decode("utf-8", "backslashreplace")
    return Presented(key, version, trusted=not connection.strange)


async def log_in(target: Target, login: str, secret: bytes, limit: float) -> None:
    """Logs in to `target` and leaves, within `limit` seconds; TargetUnavailable, KeyNotAccepted."""
    options = await options_of(target, login, secret, _owner, limit)
    made: list[_Probing] = []
    try:
        connection = await dial(target, options, lambda: _probing(options, "auth", made), limit)
        connection.close()
    finally:
        await _left(made)


def _owner() -> Owner:
    return Owner(_unheard)


def _probing(options: asyncssh.SSHClientConnectionOptions, wait: str, made: list[_Probing]) -> _Probing:
    """A connection behind which no agent stands, and to whose words nobody listens; it is added to `made`."""
    connection = _Probing(asyncio.get_running_loop(), options, wait=wait)
    connection.on_lost = connection.on_refused = _unheard
    connection.feeding = tuple
    connection.over = asyncio.Event()
    made.append(connection)
    return connection


def _unheard(_what: str) -> None:
    pass


async def _left(made: Sequence[_Probing]) -> None:
    """Waits until the sockets are closed, a moment for each to hear our last words."""
    for connection in made:
        if connection.socket is None:
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await connection.over.wait()
        connection.socket.abort()
        await connection.over.wait()


def _trusted(target: Target) -> tuple[Sequence[SSHKey], Sequence[SSHKey]]:
    """The configured host keys, and the authorities of host certificates."""
    if target.host_keys or target.known_hosts is None:
        return [asyncssh.import_public_key(key) for key in target.host_keys], []
    port = target.port if target.port != _SSH_PORT else None
    found = asyncssh.read_known_hosts(target.known_hosts).match(target.host, "", port)
    return found[0], found[1]


def _key_in(presented: bytes) -> SSHKey | None:
    """The host key in what a target presents, which may be a certificate of it; None when it is neither."""
    try:
        return decode_ssh_public_key(presented)
    except asyncssh.KeyImportError:
        pass  # then it may be a certificate
    try:
        return decode_ssh_certificate(presented).key
    except asyncssh.KeyImportError:
        return None


def _line(key: SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])
