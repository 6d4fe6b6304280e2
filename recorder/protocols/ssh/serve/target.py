"""The connection to a target: our client, with the injected credential and the target's host keys checked."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import asyncssh
from asyncssh.connection import SSHClientConnection, SSHConnection
from asyncssh.constants import MSG_CHANNEL_OPEN, OPEN_ADMINISTRATIVELY_PROHIBITED
from asyncssh.packet import SSHPacket

from recorder.model import Target
from recorder.protocols.ssh.serve.transport import Transport

ENCRYPTION = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
_CONNECT_LIMIT_S = 30.0


class TargetUnavailable(Exception):
    """The target cannot be used; the text is one sentence for the agent and the log."""


class TargetConnection(Transport, SSHClientConnection):
    """Our client's connection. The target may open nothing towards the agent: such requests are refused and noted."""

    on_refused: Callable[[str], None]
    feeding: Callable[[], Sequence[Callable[[], bool]]]

    def feeders(self) -> Sequence[Callable[[], bool]]:
        """The agent's legs (Transport)."""
        return self.feeding()

    def give_up(self) -> None:
        """Ends an attempt to connect. A loop that is cancelled in it closes the transport and tells nobody."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._cleanup(None)

    def _process_channel_open(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        kind, sender = packet.get_string(), packet.get_uint32()
        self.on_refused(kind.decode("utf-8", "backslashreplace"))
        self.send_channel_open_failure(sender, OPEN_ADMINISTRATIVELY_PROHIBITED, "refused by the gateway", "en")

    _packet_handlers = {**SSHConnection._packet_handlers, MSG_CHANNEL_OPEN: _process_channel_open}  # noqa: RUF012 - asyncssh declares it so


class _Owner(asyncssh.SSHClient):
    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost()


async def connect(
    target: Target,
    login: str,
    secret: bytes,
    on_lost: Callable[[], None],
    on_refused: Callable[[str], None],
    feeders: Callable[[], Sequence[Callable[[], bool]]],
) -> TargetConnection:
    """An authenticated connection to `target`; TargetUnavailable with one sentence when there is none to be had."""
    loop = asyncio.get_running_loop()
    where = f"target {target.name} ({target.host}:{target.port})"
    try:
        key = asyncssh.import_private_key(secret)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise TargetUnavailable(f"the gateway's key for target {target.name} is no usable SSH private key") from None
    options = await asyncssh.SSHClientConnectionOptions.construct(
        config=[],
        host=target.host,
        port=target.port,
        username=login,
        client_keys=[key],
        client_factory=lambda: _Owner(on_lost),
        known_hosts=_known_hosts(target),
        agent_path=None,
        preferred_auth="publickey",
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        encryption_algs=list(ENCRYPTION),
        compression_algs=None,
        login_timeout=_CONNECT_LIMIT_S,
    )
    options.waiter = loop.create_future()
    made: list[TargetConnection] = []

    def factory() -> TargetConnection:
        connection = TargetConnection(loop, options, wait="auth")
        connection.on_refused = on_refused
        connection.feeding = feeders
        made.append(connection)
        return connection

    try:
        async with asyncio.timeout(_CONNECT_LIMIT_S):
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
        raise TargetUnavailable(f'{where} does not accept the gateway\'s key for login "{login}": {mend}') from None
    except TimeoutError:
        raise TargetUnavailable(
            f"{where} did not answer within {_CONNECT_LIMIT_S:.0f} s: see whether it is up"
        ) from None
    except asyncssh.Error as error:
        raise TargetUnavailable(f"no SSH connection to {where}: {error.reason}") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise TargetUnavailable(f"cannot reach {where}: {why}; see whether it is up and the address is right") from None
    return connection


def _known_hosts(target: Target) -> object:
    """The trusted keys in asyncssh's form; never empty, because asyncssh would then read ~/.ssh/known_hosts."""
    if not target.host_keys:
        return target.known_hosts
    try:
        return [asyncssh.import_public_key(key) for key in target.host_keys], [], []
    except asyncssh.KeyImportError:
        raise TargetUnavailable(f"the host_key of target {target.name} is no public key in OpenSSH form") from None


async def closed(connection: TargetConnection | None, limit: float = 3.0) -> None:
    """Waits until `connection` is closed, `limit` seconds at most."""
    if connection is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await connection.wait_closed()
