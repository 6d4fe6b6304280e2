"""A real gateway: `python -m recorder gateway` with a configuration of the test's making, on ports of its own."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder.catalogue.sqlite import Catalogue
from recorder.model import Session
from tests.servers.process import LIMIT_S, Server, environment
from tests.servers.sshd import LOGIN, public
from tests.servers.tapes import Taped, until

ROOT = Path(__file__).parents[2]
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DEFECTS = re.compile(r"Traceback|ended by a defect|Fatal error|was never (?:retrieved|awaited)|Exception in|Error:")


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """A [[target]] of the configuration; without `key` it is the upstream key that `tacho init` made."""

    name: str
    address: str
    host_key: str
    logins: tuple[str, ...] = (LOGIN,)
    key: str = "file:var/keys/upstream"
    forward: tuple[str, ...] = ()

    def toml(self) -> str:
        logins = ", ".join(f'"{login}"' for login in self.logins)
        forward = ", ".join(f'"{address}"' for address in self.forward)
        return (
            f'[[target]]\nname = "{self.name}"\nprotocol = "ssh"\naddress = "{self.address}"\n'
            f'logins = [{logins}]\nkey = "{self.key}"\nhost_key = "{self.host_key}"\nforward = [{forward}]\n'
        )


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """An [[agent]] of the configuration."""

    name: str
    key: str
    targets: tuple[str, ...]

    def toml(self) -> str:
        targets = ", ".join(f'"{target}"' for target in self.targets)
        return f'[[agent]]\nname = "{self.name}"\nkeys = ["{self.key}"]\ntargets = [{targets}]\n'


class Install:
    """A folder as `tacho init` made it; each gateway gets a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "recorder", "init", str(folder)]
        subprocess.run(command, check=True, capture_output=True, env=_environment(), timeout=LIMIT_S)

    @property
    def upstream(self) -> str:
        """The public line of the key that the gateway uses upstream."""
        return public(self.folder / "var/keys/upstream")

    @property
    def host_key(self) -> str:
        """The public line of the gateway's SSH host key."""
        return public(self.folder / "var/keys/ssh_host")

    def copy(
        self,
        folder: Path,
        targets: Sequence[TargetEntry],
        agents: Sequence[AgentEntry],
        fixed: Sequence[str] = (),
        extra: str = "",
    ) -> Path:
        """Its copy in `folder` with a configuration: a listener for all targets, one for each in `fixed`, `extra`."""
        shutil.copytree(self.folder, folder)
        listener = '[[listen]]\nprotocol = "ssh"\naddress = "127.0.0.1:0"\n'
        tables = [listener, *(f'{listener}target = "{name}"\n' for name in fixed)]
        tables += [entry.toml() for entry in targets] + [entry.toml() for entry in agents]
        (folder / "tachograph.toml").write_text("\n".join(['[gateway]\ndata = "var"\n', *tables, extra]))
        return folder


def gateway_command(folder: Path, *more: str) -> list[str]:
    """The command line of a gateway on the configuration in `folder`."""
    return [sys.executable, "-m", "recorder", "gateway", "--config", str(folder / "tachograph.toml"), *more]


def _environment(**more: str) -> dict[str, str]:
    # The tests' interpreter may have the package from a folder only.
    return environment(PYTHONPATH=str(ROOT), **more)


def refusal_to_start(folder: Path) -> tuple[int, str]:
    """Exit status and stderr of a gateway that must not start."""
    done = subprocess.run(
        gateway_command(folder), capture_output=True, text=True, env=_environment(), timeout=LIMIT_S, cwd=folder
    )
    return done.returncode, done.stderr


class Gateway:
    """A running gateway."""

    def __init__(
        self,
        folder: Path,
        grace: float = 30.0,
        listeners: int = 1,
        *,
        debug: bool = True,
        environ: Mapping[str, str] | None = None,
        altered: Mapping[str, float] | None = None,
    ) -> None:
        """`altered` are constants of its modules, as in altered.py."""
        self.folder = folder
        self.data = folder / "var"
        command = gateway_command(folder, *(["--debug"] if debug else []), "--grace", str(grace))
        if altered:
            command[1:3] = [str(Path(__file__).with_name("altered.py")), json.dumps(dict(altered))]
        self.server = Server(command, folder / "gateway.log", _environment(**(environ or {})))
        ready = self.server.lines(r"^ready ssh (?P<host>\S+):(?P<port>\d+)$", listeners)
        self.ports = [int(match["port"]) for match in ready]

    @property
    def port(self) -> int:
        """The port of the listener for all targets."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        """The gateway's process."""
        return self.server.pid

    @property
    def scribe(self) -> int:
        """The process that writes its tapes."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        assert len(children) == 1, f"children of the gateway: {children}"
        return int(children[0])

    @property
    def tapes(self) -> Path:
        """The folder of tapes."""
        return self.data / "tapes"

    def watch(self) -> "Watch":
        """The sessions from now on."""
        return Watch(self)

    def row(self, session: str) -> Session | None:
        """The catalogue's row."""
        catalogue = Catalogue(self.data / "catalogue.db")
        try:
            return catalogue.get(session)
        finally:
            catalogue.close()

    def row_when(self, session: str, ready: Callable[[Session], object]) -> Session:
        """The row once it is as `ready` says."""

        def look() -> Session | None:
            row = self.row(session)
            return row if row is not None and ready(row) else None

        return until(look, f"the row of session {session}")

    def assert_sound(self, after: int = 0) -> None:
        """No defect has shown itself in the log."""
        text = self.server.text(after)
        assert not _DEFECTS.search(text), text

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self.server.stop()


class Watch:
    """The sessions of a gateway that begin after a moment."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.after = gateway.server.mark()

    def begun(self, count: int = 1) -> list[str]:
        """Waits until `count` sessions have begun; their ids in order."""
        found = self.gateway.server.lines(rf"session ({_ID}): \S+ from ", count, self.after)
        return [match[1] for match in found]

    def ended(self, session: str) -> str:
        """Waits until the session's tape is closed; the reason that the log gives."""
        return self.gateway.server.line(rf"session {session} ended: (.*)", self.after)[1]

    def tapes(self, count: int) -> list[Taped]:
        """Waits until `count` sessions have begun and those have ended; their tapes, whole and closed."""
        sessions = self.begun(count)
        for session in sessions:
            self.ended(session)
        tapes = [Taped(self.gateway.tapes, session) for session in sessions]
        for tape in tapes:
            assert tape.closed, f"{tape.session} has no index"
            assert not tape.live, f"{tape.session} is locked"
        return tapes

    def tape(self) -> Taped:
        """The tape of the one session."""
        (tape,) = self.tapes(1)
        return tape

    def log(self, pattern: str) -> str:
        """Waits for a line of the log."""
        return self.gateway.server.line(pattern, self.after).string
