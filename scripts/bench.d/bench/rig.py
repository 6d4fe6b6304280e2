"""What the SSH benchmarks run on: an sshd, a gateway before it, and the same client straight and through."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import process
from tests.servers.client import HOST, Client
from tests.servers.gateway import Gateway
from tests.servers.site import Site

MIB = 1 << 20
CIPHER = ("-q", "-c", "aes128-gcm@openssh.com")
LIMIT_S = 600  # for one step
_SETTLED_S = 0.15


@dataclass(frozen=True, slots=True)
class Rig:
    """The servers, a client for each way, and a folder for what they move."""

    site: Site
    direct: Client
    ours: Client
    gateway: Gateway
    files: Path

    @property
    def processes(self) -> tuple[int, int]:
        """The gateway and its scribe."""
        return self.gateway.pid, self.gateway.scribe

    def cpu(self) -> float:
        """CPU seconds of the gateway and its scribe so far."""
        return sum(map(process.cpu, self.processes))

    def peak(self) -> float:
        """Peak memory of the gateway and its scribe, MiB."""
        return sum(map(process.peak, self.processes))

    def settled(self) -> float:
        """The gateway's CPU time once it has nothing left to do for what just ended."""
        last = self.cpu()
        while True:
            time.sleep(_SETTLED_S)
            now = self.cpu()
            if now - last < 2 * process.TICK_S:
                return now
            last = now

    def tidy(self) -> None:
        """Deletes the tapes that were written, so that the disk does not fill."""
        for tape in self.gateway.tapes.rglob("*.tape"):
            tape.unlink()


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Servers of the run's own, until the context ends."""
    with tempfile.TemporaryDirectory(prefix="tacho-bench-") as name:
        folder = Path(name)
        site = Site(folder / "site")
        try:
            gateway = site.gateway
            yield Rig(site, site.direct(folder / "direct"), site.client(folder / "ours", gateway), gateway, folder)
        finally:
            site.stop()


def arguments(client: Client, remote: str, *options: str) -> list[str]:
    """What an ssh is told that runs `remote` at the other end."""
    return [*CIPHER, *options, f"{client.user}@{HOST}", remote]


def command(client: Client, remote: str, *options: str) -> list[str | bytes]:
    """The whole command line of such an ssh."""
    return client.command("ssh", *arguments(client, remote, *options))


def write_random(path: Path, size: int) -> None:
    """Fills a file with random bytes."""
    with path.open("wb") as file:
        for at in range(0, size, 4 * MIB):
            file.write(os.urandom(min(4 * MIB, size - at)))
