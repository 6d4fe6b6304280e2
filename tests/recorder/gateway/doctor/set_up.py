"""Set-ups for the doctor, which work but for what a test spoils, and what it says of them."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from recorder import identity
from recorder.cli import COMMANDS
from recorder.rights import account
from tests.servers.gateway import AgentEntry, TargetEntry
from tests.servers.process import LIMIT_S
from tests.servers.site import AGENT, Site
from tests.servers.sshd import public

DOCTOR = next(command for command in COMMANDS if command.name == "doctor")
ME, MY_UID = account(os.geteuid()), os.geteuid()
OF_THE_MACHINE = ("disk", "clock")  # what a machine that runs tests may be warned about


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor said."""

    status: int
    findings: tuple[tuple[str, str, str], ...]
    error: str

    def of(self, level: str) -> list[tuple[str, str]]:
        return [(about, text) for found, about, text in self.findings if found == level]

    @property
    def wrong(self) -> list[tuple[str, str]]:
        return self.of("wrong")

    @property
    def warned(self) -> list[tuple[str, str]]:
        """Without what the machine is to blame for."""
        return [(about, text) for about, text in self.of("warn") if about not in OF_THE_MACHINE]

    def ok(self, about: str) -> list[str]:
        return [text for found, text in self.of("ok") if found == about]


def picture(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that can be seen of a folder from outside."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        seen[str(path)] = (status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ino, content)
    return seen


def doctor(folder: Path, *, live: bool = False, environ: Mapping[str, str] | None = None) -> Report:
    """Runs it on a folder, which it must leave as it is unless a gateway is `live` there, and without a secret said."""
    before = {} if live else picture(folder)
    arguments = ["--config", str(folder / "tachograph.toml"), "--json"]
    done = CliRunner().invoke(DOCTOR, arguments, env=environ)
    assert live or picture(folder) == before
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    for key in (folder / "var/keys").glob("*"):
        if not key.suffix and key.is_file():
            assert not any(line in done.output for line in key.read_text().splitlines() if len(line) > 20)
    document: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"findings": [], "wrong": 0}
    findings = tuple((found["level"], found["about"], found["text"]) for found in document["findings"])
    assert all("\n" not in text and text for _, _, text in findings)
    assert document["wrong"] == sum(level == "wrong" for level, _, _ in findings)
    assert not done.stdout or done.exit_code == (5 if document["wrong"] else 0)
    return Report(done.exit_code, findings, done.stderr)


@dataclass(frozen=True, slots=True)
class Folder:
    """Makes set-ups that work, but for what a test changes."""

    site: Site
    path: Path

    def make(self, *targets: TargetEntry, agents: tuple[AgentEntry, ...] = (), extra: str = "") -> Path:
        """`targets` and `agents` in place of web1 and ci."""
        agents = agents or (AgentEntry(AGENT, public(self.site.key), ("web*",)),)
        self.site.install.copy(self.path, targets or (self.web(),), agents, extra=extra)
        return self.path

    def web(self, **other: object) -> TargetEntry:
        entry = {"name": "web1", "address": self.site.sshd.address, "host_key": self.site.sshd.host_key, **other}
        return TargetEntry(**entry)  # type: ignore[arg-type] # its own fields, by name

    @property
    def config(self) -> Path:
        return self.path / "tachograph.toml"

    @property
    def start(self) -> str:
        return f"run `tacho gateway --config {self.config}`"


def fingerprint(line: str) -> str:
    return identity.fingerprint(identity.key_blob(line))


def follow(text: str) -> None:
    """Types the first command of a mend."""
    match = re.search(r"`([^`]+)`", text)
    assert match is not None
    subprocess.run(match[1], shell=True, check=True, capture_output=True, timeout=LIMIT_S)
