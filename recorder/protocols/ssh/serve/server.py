"""The listener for agents: which address, which keys, which algorithms, and the connections that it accepted."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Sequence

import asyncssh

from recorder.model import Limits, Listener
from recorder.protocol import Front
from recorder.protocols.ssh.serve.agent import AgentConnection
from recorder.protocols.ssh.serve.crowd import Crowd
from recorder.protocols.ssh.serve.entrance import Owner
from recorder.protocols.ssh.serve.target import ENCRYPTION, VERSION

_QUEUE = 1024  # connections that the kernel holds until they are accepted
_AT_ONCE = 16  # connections that asyncio accepts before it reads from any: more, and a crowd's would displace them


class Server:
    """A listener that accepts agents; made by `listen`."""

    def __init__(
        self,
        listener: Listener,
        front: Front,
        spawn: Callable[[Coroutine[object, object, None]], object],
        limits: Limits,
        crowd: Crowd,
    ) -> None:
        self.listener = listener
        self._front = front
        self._spawn = spawn
        self._limits = limits
        self._crowd = crowd
        self._connections: set[AgentConnection] = set()
        self._server: asyncio.Server | None = None

    async def open(self, keys: Sequence[asyncssh.SSHKey]) -> None:
        """Listens with these host keys; OSError when the address cannot be used."""
        loop = asyncio.get_running_loop()
        options = await asyncssh.SSHServerConnectionOptions.construct(
            config=[],
            server_factory=Owner,
            server_host_keys=list(keys),
            server_version=VERSION,
            encryption_algs=list(ENCRYPTION),
            compression_algs=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            public_key_auth=True,
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            login_timeout=0,  # the entrance's own timer goes by the limits in force
        )

        def factory() -> AgentConnection:
            connection = AgentConnection(
                loop, options, self.listener, self._front, self._spawn, self._limits, self._crowd
            )
            self._connections.add(connection)
            connection._over.add_done_callback(lambda _: self._connections.discard(connection))
            return connection

        self._server = await loop.create_server(factory, self.listener.host, self.listener.port, backlog=_AT_ONCE)
        for listening in self._server.sockets:
            with socket.socket(fileno=os.dup(listening.fileno())) as same:
                same.listen(_QUEUE)

    @property
    def address(self) -> str:
        """HOST:PORT as it listens."""
        if self._server is None:
            return f"{self.listener.host}:{self.listener.port}"
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def limit(self, limits: Limits) -> None:
        """Goes by these limits for connections from now on."""
        self._limits = limits

    def stop_accepting(self) -> None:
        """Closes the listening socket; sessions go on."""
        if self._server is not None:
            self._server.close()

    def end_all(self, reason: str) -> None:
        """Ends every session with `reason`."""
        for connection in list(self._connections):
            connection.end(reason)


async def listen(
    listener: Listener,
    host_keys: Sequence[bytes],
    front: Front,
    spawn: Callable[[Coroutine[object, object, None]], object],
    limits: Limits,
    crowd: Crowd,
) -> Server:
    """Listens for agents. `host_keys` are private keys in OpenSSH form; `crowd` is one for all listeners.

    OSError when the address cannot be used, ValueError when a host key cannot.
    """
    try:
        keys = [asyncssh.import_private_key(key) for key in host_keys]
    except asyncssh.KeyImportError as error:
        raise ValueError(f"no usable private key ({error})") from None
    server = Server(listener, front, spawn, limits, crowd)
    await server.open(keys)
    return server


def make_key_pair(comment: str) -> tuple[bytes, bytes]:
    """A fresh Ed25519 key: private in OpenSSH form, public as a line."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    return key.export_private_key(), key.export_public_key()
