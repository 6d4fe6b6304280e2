"""The two ways to one target, through the gateway and straight, and what is compared of them: all that a client leaves.

What must differ (a way's own folder, its user name) is taken out before; nothing else is.
"""

import hashlib
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from click.testing import CliRunner

from replay.cli import tacho
from tests.servers.client import HOST, Client, Done
from tests.servers.gateway import Gateway
from tests.servers.process import LIMIT_S
from tests.servers.tapes import Taped

_Value = TypeVar("_Value")
_LIMIT_S = 2 * LIMIT_S  # for a program, which may be many commands
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Outcome(NamedTuple):
    """How a program ended and what it said, with the way's own names taken out."""

    status: int
    stdout: bytes
    stderr: bytes


class Entry(NamedTuple):
    """A file, folder or link: type and permissions as in st_mode, SHA-256 or the link's target, links, mtime in ns."""

    mode: str
    content: str
    links: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way: its client, and a folder for all that is read and written on it."""

    client: Client
    folder: Path

    @property
    def host(self) -> str:
        """USER@HOST, for the command lines."""
        return f"{self.client.user}@{HOST}"

    def plain(self, text: bytes) -> bytes:
        """`text` without the way's own names."""
        return text.replace(str(self.folder).encode(), b"FOLDER").replace(self.host.encode(), b"HOST")

    def outcome(self, done: Done) -> Outcome:
        """What can be compared of a program that ended."""
        return Outcome(done.returncode, self.plain(done.stdout), self.plain(done.stderr))

    def run(self, command: Sequence[str | bytes], stdin: bytes = b"", env: Mapping[str, str] = _NOTHING) -> Outcome:
        """Runs a program to its end; `env` is what its environment holds besides the client's own."""
        return self.outcome(self.client.run(command, stdin, _LIMIT_S, **env))

    def ssh(self, *arguments: str | bytes, stdin: bytes = b"") -> Outcome:
        """`ssh ARGUMENTS`, to its end."""
        return self.outcome(self.client.ssh(*arguments, stdin=stdin, limit=_LIMIT_S))


class Ways:
    """Both ways. Nothing is compared that was not also on a tape which `tacho verify` calls complete."""

    def __init__(self, gateway: Gateway, through: Way, straight: Way) -> None:
        self.gateway = gateway
        self.through = through
        self.straight = straight

    def same(self, work: Callable[[Way], _Value], sessions: int = 1) -> tuple[_Value, list[Taped]]:
        """What `work` brings on both ways, which must be equal, and the tapes of the sessions that it took."""
        watch = self.gateway.watch()
        with ThreadPoolExecutor(2) as pool:
            through, straight = pool.map(work, (self.through, self.straight))
        assert through == straight, "\n".join(_differences(through, straight))
        tapes = watch.tapes(sessions)
        assert len(watch.begun(sessions)) == sessions
        for tape in tapes:
            verified(self.gateway, tape)
        return through, tapes


def _differences(through: object, straight: object, at: str = "") -> list[str]:
    """Where the two differ, by path; what is long is cut around the first difference."""
    if isinstance(through, Mapping) and isinstance(straight, Mapping):
        keys = sorted(set(through) | set(straight))
        pairs = [(f"{at}[{key!r}]", through.get(key), straight.get(key)) for key in keys]
    elif isinstance(through, tuple | list) and isinstance(straight, tuple | list) and len(through) == len(straight):
        pairs = [(f"{at}[{number}]", *both) for number, both in enumerate(zip(through, straight, strict=True))]
    elif through == straight:
        return []
    else:
        ours, theirs = repr(through), repr(straight)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))
        cut = slice(max(same - 200, 0), same + 1000)
        return [f"{at} through the gateway: {ours[cut]}", f"{at} straight:            {theirs[cut]}"]
    return [line for where, ours, theirs in pairs for line in _differences(ours, theirs, where)][:20]


def verified(gateway: Gateway, tape: Taped) -> None:
    """The tape is complete, as `tacho verify` says."""
    arguments = ["verify", tape.session, "--config", str(gateway.folder / "tachograph.toml")]
    result = CliRunner().invoke(tacho, arguments)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "complete and unchanged"), result.output


def tree(folder: Path, *, times: bool = False) -> dict[str, Entry]:
    """What is in `folder`, by relative path; mtimes only when they are asked for."""
    return {str(path.relative_to(folder)): _entry(path, times) for path in sorted([folder, *folder.rglob("*")])}


def _entry(path: Path, times: bool) -> Entry:
    status = path.lstat()
    content = ""
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
    return Entry(stat.filemode(status.st_mode), content, links, status.st_mtime_ns if times else 0)
