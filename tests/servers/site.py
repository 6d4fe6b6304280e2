"""One sshd, one gateway before it and the agents' keys: what most tests need, made once a worker."""

import socket
from collections.abc import Mapping
from pathlib import Path

from tests.servers.client import Client
from tests.servers.gateway import AgentEntry, Gateway, Install, TargetEntry
from tests.servers.sshd import LOGIN, Sshd, new_key, public

AGENT = "ci"


class Site:
    """The servers and what starts more of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.install = Install(folder / "install")
        self.key = new_key(folder / "agent")
        self.stranger = new_key(folder / "stranger")  # of no agent, and on no target
        self.spare = new_key(folder / "spare")  # of an agent that reaches nothing
        # The agent's own key is welcome at the targets too, so that tests can compare with the direct way.
        self.sshd = Sshd.start(folder / "sshd", [self.install.upstream, public(self.key)])
        self.rekeying = Sshd.start(
            folder / "rekeying",
            [self.install.upstream, public(self.key)],
            ["RekeyLimit 1M", "MaxSessions 3", "ClientAliveInterval 1", "ClientAliveCountMax 2"],
        )
        self._closed = socket.socket()  # bound and not listening: a port that refuses
        self._closed.bind(("127.0.0.1", 0))
        self.gateway = self.start(folder / "gateway", fixed=("web1",))

    @property
    def targets(self) -> tuple[TargetEntry, ...]:
        """The targets of every gateway here."""
        address, host_key = self.sshd.address, self.sshd.host_key
        down = f"127.0.0.1:{self._closed.getsockname()[1]}"
        return (
            TargetEntry("web1", address, host_key, (LOGIN, "deploy")),
            TargetEntry("web2", address, host_key),
            TargetEntry("web-rekeying", self.rekeying.address, self.rekeying.host_key),
            TargetEntry("web-changed", address, public(self.stranger)),
            TargetEntry("web-unwelcome", address, host_key, key=f"file:{self.stranger}"),
            TargetEntry("web-down", down, host_key),
            TargetEntry("db1", address, host_key),
        )

    def start(
        self,
        folder: Path,
        *more: TargetEntry,
        grace: float = 30.0,
        fixed: tuple[str, ...] = (),
        debug: bool = True,
        extra: str = "",
        environ: Mapping[str, str] | None = None,
        altered: Mapping[str, float] | None = None,
    ) -> Gateway:
        """Another gateway, of the caller's own; `extra` is more of its configuration."""
        prepared = self.prepare(folder, *more, fixed=fixed, extra=extra)
        return Gateway(prepared, grace, 1 + len(fixed), debug=debug, environ=environ, altered=altered)

    def prepare(self, folder: Path, *more: TargetEntry, fixed: tuple[str, ...] = (), extra: str = "") -> Path:
        """A gateway's folder, not yet started."""
        agents = (AgentEntry(AGENT, public(self.key), ("web*",)), AgentEntry("spare", public(self.spare), ()))
        return self.install.copy(folder, (*self.targets, *more), agents, fixed, extra)

    def client(self, folder: Path, gateway: Gateway, user: str = "web1", port: int | None = None) -> Client:
        """A client of the agent."""
        return Client(folder, port or gateway.port, self.install.host_key, self.key, user)

    def direct(self, folder: Path, sshd: Sshd | None = None) -> Client:
        """A client that goes straight to the sshd, to compare with."""
        sshd = sshd or self.sshd
        return Client(folder, sshd.port, sshd.host_key, self.key, LOGIN)

    def stop(self) -> None:
        """Ends all servers; the gateway must leave in peace."""
        try:
            status = self.gateway.stop()
            assert status == 0, self.gateway.server.text()
        finally:
            self._closed.close()
            self.sshd.stop()
            self.rekeying.stop()
