"""The listeners of a gateway: opened together or not at all, and exchanged by a reload without touching sessions."""

import os
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

from recorder.config import Config
from recorder.gateway.front import GatewayFront
from recorder.gateway.ground import StartError
from recorder.model import Listener
from recorder.protocols.ssh import serve as ssh

Spawn = Callable[[Coroutine[object, object, None]], object]


class Listeners:
    """What a gateway listens on."""

    def __init__(self, host_key: bytes, host_key_file: Path, front: GatewayFront, spawn: Spawn) -> None:
        self._host_key = host_key
        self._host_key_file = host_key_file
        self._front = front
        self._spawn = spawn
        self._crowd = ssh.Crowd()
        self._open: dict[Listener, ssh.Server] = {}
        self._closed: list[ssh.Server] = []  # closed by a reload; their sessions go on

    async def fit(self, config: Config) -> list[ssh.Server]:
        """Listens as `config` says; the servers that are new. StartError, and no change, when it cannot."""
        if not config.listeners:
            raise StartError(f"{config.path} has no [[listen]]: nothing to serve")
        fresh: dict[Listener, ssh.Server] = {}
        try:
            for listener in config.listeners:
                if listener not in self._open:
                    fresh[listener] = await self._listen(listener, config)
        except StartError:
            _stop(fresh.values())
            raise
        gone = [listener for listener in self._open if listener not in config.listeners]
        for listener in gone:
            server = self._open.pop(listener)
            server.stop_accepting()
            self._closed.append(server)
        for server in self._open.values():
            server.limit(config.limits)
        self._open |= fresh
        return list(fresh.values())

    async def _listen(self, listener: Listener, config: Config) -> ssh.Server:
        try:
            return await ssh.listen(listener, [self._host_key], self._front, self._spawn, config.limits, self._crowd)
        except ValueError as error:
            mend = "restore it from a backup, or see `tacho doctor` for how to make another"
            raise StartError(f"{self._host_key_file} holds {error}: {mend}") from None
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            where = f"{listener.host}:{listener.port}"
            raise StartError(f"cannot listen on {where}: {why}; choose another address") from None

    def stop_accepting(self) -> None:
        """Closes the listening sockets; sessions go on."""
        _stop(self._open.values())

    def end_all(self, reason: str) -> None:
        """Ends every session with `reason`."""
        for server in (*self._open.values(), *self._closed):
            server.end_all(reason)


def _stop(servers: Iterable[ssh.Server]) -> None:
    for server in servers:
        server.stop_accepting()
