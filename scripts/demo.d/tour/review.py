"""What follows the run: the transcript, the verification and the exports in plain text, or the reviewer."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tour.failure import DemoError
from tour.gateway import ROOT, Gateway, tacho

FORMATS = ("cast", "txt")
_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Review:
    """A recorded run and where its gateway's folder is."""

    gateway: Gateway
    run: str
    sessions: Sequence[str]

    @property
    def again(self) -> str:
        """The command that opens the reviewer on the run's first session."""
        program = str(Path(sys.executable).with_name("tacho"))
        return shlex.join([program, "play", self.sessions[0], "--config", str(self.gateway.configuration)])

    def _verb(self, *arguments: str) -> None:
        """Runs a verb whose output goes to ours; DemoError when it fails."""
        sys.stdout.flush()
        shown = " ".join(("tacho", *arguments[:2]))
        try:
            done = subprocess.run(
                tacho(*arguments),
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"{shown} did not end within {_LIMIT_S:.0f} s") from None
        if done.returncode:
            raise DemoError(f"{shown} failed with status {done.returncode}")

    def _environment(self) -> dict[str, str]:
        return os.environ | {"TACHO_CONFIG": str(self.gateway.configuration)}

    def print(self) -> None:
        """Prints the run's transcript and the verification of each of its sessions."""
        _headline(f"transcript: tacho show {self.run}")
        self._verb("show", self.run)
        _headline("verification: tacho verify ID")
        for session in self.sessions:
            self._verb("verify", session)

    def export(self, folder: Path) -> None:
        """Writes the exports into `folder`, which may exist, and prints their paths."""
        _headline("exports: tacho export ID --as FORMAT -o FILE")
        folder.mkdir(exist_ok=True)
        for session in self.sessions:
            for form in FORMATS:
                path = folder / f"{session}.{form}"
                self._verb("export", session, "--as", form, "-o", str(path))
                if not path.is_file() or not path.stat().st_size:
                    raise DemoError(f"tacho export wrote nothing to {path}")
                print(path)

    def play(self) -> None:
        """Opens the reviewer on the run's first session, until it is left."""
        done = subprocess.run(tacho("play", self.sessions[0]), cwd=ROOT, env=self._environment(), check=False)
        if done.returncode:
            raise DemoError(f"tacho play failed with status {done.returncode}")


def _headline(text: str) -> None:
    print(f"\n== {text}")
