"""The set-up that is looked at: its configuration, the gateway that runs on it, the user it is for. Reads only."""

import contextlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.config import Config
from recorder.control_client import ControlRefused, NoGateway, ask_within
from recorder.format.guard import NAME as LOCK
from recorder.format.writer import is_locked

_ASK_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Running:
    """What is known of a gateway at work: `holder` is the process that the lock names, `pid` the one that answers.

    `refusal`: why it does not answer. `locked`: something holds the data folder's lock.
    """

    pid: int | None = None
    version: str = ""
    refusal: str = ""
    locked: bool = False
    holder: int | None = None
    socket: bool = False

    @property
    def process(self) -> int | None:
        """The gateway's process, as far as it is known."""
        return self.pid or (self.holder if self.locked else None)

    @property
    def at_work(self) -> bool:
        """Whether somebody uses the data folder now."""
        return self.pid is not None or self.locked


@dataclass(frozen=True, slots=True)
class Setup:
    """`uid` is the gateway's user: of the one that runs, else the owner of its data, else this process's.

    `environ` is the environment in which the gateway runs, where that can be read, else this process's.
    """

    config: Config
    running: Running
    uid: int
    own: int
    environ: Mapping[str, str]

    @property
    def private(self) -> bool:
        """Whether this process may look at what only the gateway may read."""
        return self.own in (0, self.uid)

    @property
    def acting(self) -> bool:
        """Whether this process may run what the configuration names: as the gateway's user, if no other wrote it."""
        return self.own == self.uid and all(
            _owner(path) in (0, self.own) for path in (self.config.path, self.config.path.absolute().parent)
        )

    def as_gateway(self) -> str:
        """The command line that runs the doctor as the gateway's user."""
        return f"sudo -u '#{self.uid}' tacho doctor --config {shlex.quote(str(self.config.path))}"

    def start(self) -> str:
        """The command line that starts the gateway."""
        return f"tacho gateway --config {shlex.quote(str(self.config.path))}"


def look_around(config: Config, environ: Mapping[str, str]) -> Setup:
    """The set-up of `config`; waits for the control socket 2 s at most."""
    running = _running(config)
    own = os.geteuid()
    uid = None if running.process is None else _owner(Path("/proc", str(running.process)))
    if uid is None:
        # Whoever looks may not be the gateway's user: a data folder that is all one user's tells who that is.
        owners = {_owner(path) for path in (config.data, config.catalogue, config.keys)}
        uid = owners.pop() if len(owners) == 1 else own
    if uid is None:
        uid = own
    return Setup(config, running, uid, own, _environ_of(running.process) or environ)


def _running(config: Config) -> Running:
    locked, holder = _lock(config.journal / LOCK)
    there = _owner(config.socket) is not None
    try:
        answer = ask_within(_ASK_LIMIT_S, config.socket, "ping", {})
    except NoGateway:
        return Running(locked=locked, holder=holder, socket=there)
    except ControlRefused as refusal:
        return Running(refusal=str(refusal), locked=locked, holder=holder, socket=there)
    match answer:
        case {"pid": int() as pid, "version": str() as version}:
            return Running(pid, version, locked=locked, holder=holder, socket=there)
    return Running(refusal="what listens there is no gateway of this version", locked=locked, socket=there)


def _lock(path: Path) -> tuple[bool, int | None]:
    """Whether a gateway, or the scribe of one that was killed, holds the lock, and which process says that it does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False, None  # never taken, or not to be seen by this user; then the control socket has to tell
    try:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        return is_locked(descriptor), int(holder) if holder.isdecimal() else None
    except OSError:
        return False, None  # as above
    finally:
        os.close(descriptor)


def _environ_of(process: int | None) -> dict[str, str] | None:
    """The environment with which a process was started; None when it cannot be read."""
    if process is None:
        return None
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for entry in Path("/proc", str(process), "environ").read_bytes().split(b"\0"):
            name, separator, value = os.fsdecode(entry).partition("=")
            if separator:
                found[name] = value
    return found or None


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None
