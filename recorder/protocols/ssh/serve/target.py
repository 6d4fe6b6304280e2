"""The connection to a target: our client, with the injected credential and the target's host keys checked."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import asyncssh
from asyncssh.connection import SSHClientConnection, SSHConnection
from asyncssh.constants import MSG_CHANNEL_OPEN, OPEN_ADMINISTRATIVELY_PROHIBITED
from asyncssh.misc import ConnectionLost, DisconnectError, ProtocolError
from asyncssh.packet import SSHPacket

from recorder import __version__
from recorder.model import Target
from recorder.protocols.ssh.serve.transport import Transport
from recorder.safe import printable

ENCRYPTION = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
# OpenSSH tells only its like that a reader has seen enough (eow@openssh.com): `ssh host yes | head` would never end.
VERSION = f"OpenSSH-compatible_Tachograph_{__version__}"
_CONNECT_LIMIT_S = 30.0
_BANNER_LIMIT = 64 * 1024  # characters
_NAME_LIMIT = 64  # bytes of a channel type that are noted
_REASON_LIMIT = 256  # characters of what a target says of an error
_Made = TypeVar("_Made", bound="TargetConnection")


class TargetUnavailable(Exception):
    """The target cannot be used; the text is one sentence for the agent and the log."""


class KeyNotAccepted(TargetUnavailable):
    """The target is up and genuine, and does not let this login in by the gateway's key."""


class TargetConnection(Transport, SSHClientConnection):
    """Our client's connection. The target may open nothing towards the agent: such requests are refused and noted."""

    on_lost: Callable[[str], None]
    on_refused: Callable[[str], None]
    feeding: Callable[[], Sequence[Callable[[], bool]]]

    def feeders(self) -> Sequence[Callable[[], bool]]:
        """The agent's legs (Transport)."""
        return self.feeding()

    def vanished(self, what: str) -> None:
        """The target is gone without a word (Transport)."""
        self.on_lost(f"the target {what}")

    @property
    def stage(self) -> str:
        """How far an attempt to connect has come, in words."""
        if not self._server_version:
            return "it did not say that it speaks SSH"
        if not self._session_id:
            return "it did not finish the key exchange"
        return "it did not finish the authentication"

    def give_up(self) -> None:
        """Ends an attempt to connect. A loop that is cancelled in it closes the transport and tells nobody."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._cleanup(None)

    def _process_channel_open(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        kind, sender = packet.get_string(), packet.get_uint32()
        self.on_refused(kind[:_NAME_LIMIT].decode("utf-8", "backslashreplace"))
        self.send_channel_open_failure(sender, OPEN_ADMINISTRATIVELY_PROHIBITED, "refused by the gateway", "en")

    def _process_hostkeys_00_at_openssh_dot_com_global_request(self, _packet: SSHPacket) -> None:
        self._report_global_response(False)  # the keys that count are the configured ones

    _packet_handlers = {**SSHConnection._packet_handlers, MSG_CHANNEL_OPEN: _process_channel_open}  # noqa: RUF012 - asyncssh declares it so


class Owner(asyncssh.SSHClient):
    """What asyncssh tells of a connection to a target: banners, of which there may be so many, and its end."""

    def __init__(self, on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        self._banners = 0

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """Text that the target shows before the authentication (RFC 4252 section 5.4)."""
        self._banners += len(msg)
        if self._banners > _BANNER_LIMIT:
            raise ProtocolError(f"more than {_BANNER_LIMIT // 1024} KiB of banners before authentication")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        if isinstance(exc, DisconnectError) and not isinstance(exc, ConnectionLost):
            self._on_lost(f"the connection to the target failed: {printable(exc.reason, limit=_REASON_LIMIT)}")
        else:
            self._on_lost("the target closed the connection")


async def connect(
    target: Target,
    login: str,
    secret: bytes,
    on_lost: Callable[[str], None],
    on_refused: Callable[[str], None],
    feeders: Callable[[], Sequence[Callable[[], bool]]],
) -> TargetConnection:
    """An authenticated connection to `target`; TargetUnavailable with one sentence when there is none to be had."""
    loop = asyncio.get_running_loop()
    options = await options_of(target, login, secret, lambda: Owner(on_lost), _CONNECT_LIMIT_S)

    def make() -> TargetConnection:
        connection = TargetConnection(loop, options, wait="auth")
        connection.on_lost = on_lost
        connection.on_refused = on_refused
        connection.feeding = feeders
        return connection

    return await dial(target, options, make, _CONNECT_LIMIT_S)


async def options_of(
    target: Target,
    login: str,
    secret: bytes | None,
    owner: Callable[[], Owner],
    limit: float,
    host_key_algs: Sequence[str] = (),
) -> asyncssh.SSHClientConnectionOptions:
    """How the gateway connects to `target`: with its key `secret`; without one it can only exchange keys.

    `limit` is in seconds. TargetUnavailable when that key or the configured host key cannot be used.
    """
    try:
        keys = [] if secret is None else [asyncssh.import_private_key(secret)]
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise TargetUnavailable(f"the gateway's key for target {target.name} is no usable SSH private key") from None
    options: asyncssh.SSHClientConnectionOptions = await asyncssh.SSHClientConnectionOptions.construct(
        config=[],
        host=target.host,
        port=target.port,
        username=login,
        client_keys=keys or None,
        client_factory=owner,
        known_hosts=known_hosts(target),
        server_host_key_algs=host_key_algs,
        agent_path=None,
        preferred_auth="publickey",
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        client_version=VERSION,
        encryption_algs=list(ENCRYPTION),
        compression_algs=None,
        login_timeout=limit,
    )
    return options


async def dial(
    target: Target, options: asyncssh.SSHClientConnectionOptions, make: Callable[[], _Made], limit: float
) -> _Made:
    """Connects what `make` makes of `options`, as far as it is to wait for; TargetUnavailable when that cannot be.

    `limit` is in seconds.
    """
    loop = asyncio.get_running_loop()
    where = f"target {target.name} ({target.host}:{target.port})"
    options.waiter = loop.create_future()
    made: list[_Made] = []

    def factory() -> _Made:
        made.append(make())
        return made[-1]

    try:
        async with asyncio.timeout(limit):
            try:
                _, connection = await loop.create_connection(factory, target.host, target.port)
                await options.waiter
            except BaseException:
                for attempt in made:
                    attempt.give_up()
                raise
    except asyncssh.HostKeyNotVerifiable:
        mend = "somebody may stand in between; compare its key and correct host_key"
        raise TargetUnavailable(f"the host key of {where} is not the configured one: {mend}") from None
    except asyncssh.PermissionDenied:
        mend = "put the gateway's public key into its authorized_keys"
        login = options.username
        raise KeyNotAccepted(f'{where} does not accept the gateway\'s key for login "{login}": {mend}') from None
    except TimeoutError:
        stage = made[-1].stage if made else "it took no connection"
        raise TargetUnavailable(
            f"{where} did not let the gateway in within {limit:g} s, {stage}: see whether it is up"
        ) from None
    except asyncssh.Error as error:
        why = printable(error.reason, limit=_REASON_LIMIT)
        raise TargetUnavailable(
            f"no SSH connection to {where}: {why}; see whether an SSH server listens there"
        ) from None
    except UnicodeError:
        raise TargetUnavailable(
            f"cannot reach {where}: its host is no name; correct its address in the configuration"
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise TargetUnavailable(f"cannot reach {where}: {why}; see whether it is up and the address is right") from None
    return connection


def known_hosts(target: Target) -> object:
    """The trusted keys in asyncssh's form; never empty, because asyncssh would then read ~/.ssh/known_hosts."""
    if target.known_hosts is not None and not target.host_keys:
        return _read_known_hosts(target.known_hosts, target.name)
    try:
        return [asyncssh.import_public_key(key) for key in target.host_keys], [], []
    except asyncssh.KeyImportError:
        raise TargetUnavailable(f"the host_key of target {target.name} is no public key in OpenSSH form") from None


def _read_known_hosts(path: str, name: str) -> object:
    try:
        return asyncssh.read_known_hosts(path)
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:  # asyncssh says which line
        why = str(error)
    mend = "mend it, or set host_key"
    raise TargetUnavailable(f"the known_hosts of target {name}, {path}, cannot be used: {why}; {mend}")


async def closed(connection: TargetConnection | None, limit: float = 3.0) -> None:
    """Waits until `connection` is closed, `limit` seconds at most."""
    if connection is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await connection.wait_closed()
