"""`tacho rec` in a real terminal emulator: what tmux draws is what `tacho screen` says of the tape."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.recorder.cli.sitting import LIMIT_S, TACHO, environment, tacho

pytestmark = pytest.mark.ui
DRAWN = r"printf '\033[2J\033[H\033[1;31mred\033[0m\r\n\033[5;10H日本 \342\224\214\342\224\200\033[3;60Hthe edge'"


class Pane:
    """A tmux server of its own with one pane of 80 by 24."""

    def __init__(self, folder: Path, *command: str) -> None:
        self._tmux = ["tmux", "-u", "-S", str(folder / "tmux.sock"), "-f", "/dev/null"]
        self._env = {key: value for key, value in os.environ.items() if key != "TMUX"}
        given = [f"{key}={value}" for key, value in environment(folder).items()]
        started = ["new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), "env", *given, *command]
        self.run(*started, ";", "set", "remain-on-exit", "on")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=20, env=self._env
        )
        return done.stdout

    def rows(self) -> list[str]:
        """What the pane shows, without what is blank at the end."""
        rows = [row.rstrip() for row in self.run("capture-pane", "-p").split("\n")]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Waits until what is shown is as wanted."""
        deadline = time.monotonic() + LIMIT_S
        while not holds(rows := self.rows()):
            assert time.monotonic() < deadline, rows
            time.sleep(0.03)
        return rows

    def stop(self) -> None:
        """Ends the server and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def pane(tmp_path: Path) -> Iterator[Pane]:
    if shutil.which("tmux") is None:
        pytest.fail("tmux is not installed: apt-get install tmux")
    (tmp_path / "draw.sh").write_text(f"stty -echo\n{DRAWN}\nread -r go\nstty size\nread -r go\n")
    started = Pane(tmp_path, *TACHO, "rec", "-o", "work.tape", "--", "sh", "draw.sh")
    yield started
    started.stop()


def test_the_screen_of_the_tape_is_the_screen_that_was_drawn(tmp_path: Path, pane: Pane) -> None:
    def as_taped(rows: list[str]) -> bool:
        return tacho(tmp_path, "screen", "work.tape")[1].decode().splitlines() == rows

    drawn = pane.until(lambda rows: any("日本" in row for row in rows))
    pane.until(as_taped)  # the tape is a tenth of a second behind
    assert drawn[0] == "red"
    pane.run("resize-window", "-x", "100", "-y", "30")
    pane.run("send-keys", "Enter")
    pane.until(lambda rows: any("30 100" in row for row in rows))
    pane.until(as_taped)
    pane.run("send-keys", "Enter")
    pane.until(lambda rows: any("tacho play work.tape" in row for row in rows))
    assert tacho(tmp_path, "verify", "work.tape")[0] == 0
