"""The player in a real terminal: tmux draws it, types its keys and changes its size."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.replay.tui.driving import session
from tests.servers.gateway import Gateway
from tests.servers.site import Site

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
PROGRAM = """
import sys
from pathlib import Path
from replay import recording
from replay.tui import play
with recording.open(Path(sys.argv[1])) as opened:
    play(opened, int(sys.argv[2]))
print("back in the shell")
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")

pytestmark = pytest.mark.ui


class Terminal:
    """A tmux server of its own with one pane."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux.sock"), "-f", "/dev/null"]

    def start(self, tape: Path, at: int = 0, environment: dict[str, str] | None = None) -> None:
        """Runs the player on a tape."""
        self.run(["-c", PROGRAM, str(tape), str(at)], environment)

    def run(self, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        """Runs Python in 80 by 24 cells; the pane stays when it has ended."""
        given = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(environment or {})}
        unset = [part for name in ("NO_COLOR", "COLUMNS", "LINES") for part in ("-u", name)]
        shell = ["env", *unset, *(f"{key}={value}" for key, value in given.items())]
        command = [*shell, sys.executable, *arguments]
        self._run("new-session", "-d", "-x", "80", "-y", "24", *command, ";", "set", "remain-on-exit", "on")

    def stop(self) -> None:
        """Ends the server and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def keys(self, *keys: str) -> None:
        """Types."""
        self._run("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the window."""
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def shown(self, *, styled: bool = False) -> str:
        """What the pane shows."""
        return self._run("capture-pane", "-p", *(["-e"] if styled else []))

    def until(self, holds: Callable[[str], bool]) -> str:
        """Waits until what is shown is as wanted."""
        deadline = time.monotonic() + LIMIT_S
        while not holds(text := self.shown()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not shown within {LIMIT_S:g} s:\n{text}")
            time.sleep(0.05)
        return text

    def sees(self, text: str) -> str:
        """Waits until `text` is shown."""
        return self.until(lambda shown: text in shown)

    def _run(self, *arguments: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "TMUX"}
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=20, env=environment
        )
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.fail("tmux is not installed: apt-get install tmux")
    started = Terminal(tmp_path)
    yield started
    started.stop()


def test_played_in_a_real_terminal(tmp_path: Path, terminal: Terminal) -> None:
    terminal.start(session(tmp_path / "tapes"), at=2_500_000)
    shown = terminal.sees("00:02 / 01:20")
    assert "ci for ana → deploy@web1" in shown
    assert "│$ ls" in shown
    terminal.keys("e")
    assert "! no rule" in terminal.sees("✗ exit 2")
    terminal.keys("S-Right")
    terminal.sees("01:20 / 01:20")
    terminal.keys(":")
    terminal.sees("go to:")
    terminal.keys("0", ":", "1", "5", "Enter")
    terminal.sees("00:15 / 01:20")
    terminal.keys("?")
    terminal.sees("play or pause")
    terminal.keys("Escape")
    terminal.until(lambda text: "play or pause" not in text)
    terminal.resize(120, 35)
    terminal.sees("make all")
    terminal.resize(20, 5)
    terminal.until(lambda text: "00:15" in text.split("\n")[4] and "make all" not in text)
    terminal.resize(80, 24)
    terminal.sees("? help")
    terminal.keys("Space")
    terminal.sees("idle 1 min, folded")
    terminal.keys("q")
    assert "Traceback" not in terminal.sees("back in the shell")


def test_no_colour_reaches_a_terminal_that_wants_none(tmp_path: Path, terminal: Terminal) -> None:
    terminal.start(session(tmp_path / "tapes"), at=10_300_000, environment={"NO_COLOR": "1"})
    terminal.sees("◆")
    styled = terminal.shown(styled=True)
    assert not COLOUR.search(styled), COLOUR.findall(styled)
    terminal.keys("q")
    terminal.sees("back in the shell")


@pytest.mark.service
def test_a_live_session_is_watched_until_it_is_recovered(site: Site, tmp_path: Path, terminal: Terminal) -> None:
    gateway = site.start(tmp_path / "gateway")
    try:
        client = site.client(tmp_path / "client", gateway)
        with client.start("-tt", f"{client.user}@gateway", "echo begun; read line; echo got $line; sleep 600") as ssh:
            assert ssh.stdin is not None
            assert ssh.stdout is not None
            assert b"begun" in ssh.stdout.readline()
            terminal.run(["-m", "replay", "watch", "latest", "--config", str(gateway.folder / "tachograph.toml")])
            assert "begun" in terminal.sees("LIVE following")
            ssh.stdin.write(b"over\n")
            ssh.stdin.flush()
            terminal.sees("got over")
            terminal.keys("g")
            terminal.until(lambda text: "LIVE" in text and "following" not in text and "got over" not in text)
            terminal.keys("F")
            assert "got over" in terminal.sees("LIVE following")
            gateway.server.send(signal.SIGKILL)
            gateway.server.wait()
            terminal.sees("▲ not closed")
        gateway = Gateway(gateway.folder)
        shown = terminal.sees("~ recovered")
        assert "got over" in shown
        terminal.keys("q")
        terminal.until(lambda text: "recovered" not in text)
    finally:
        gateway.stop()
