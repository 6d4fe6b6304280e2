"""Somebody at a terminal: a pseudo-terminal of the test's own, with a program in the foreground on it."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0
TACHO = (sys.executable, "-m", "replay")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A user's environment whose configuration folder is below `folder`."""
    own = {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder), "PYTHONPATH": str(ROOT), "SHELL": "/bin/sh"}
    shown = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TERM": "xterm-256color", "PS1": "$ "}
    return {**own, **shown, "ENV": "", **more}


class Sitting:
    """`tacho` with the given arguments in `folder`, on a terminal of 80 by 24; its messages are kept apart."""

    def __init__(self, folder: Path, *arguments: str, columns: int = 80, rows: int = 24, **more: str) -> None:
        self.seen = b""
        self._master, self._slave = os.openpty()
        self.resize(columns, rows)
        self.modes = termios.tcgetattr(self._slave)
        # setsid execs: the process is tacho itself, and the terminal is its own.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *TACHO, *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(folder, **more),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the terminal."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Types."""
        os.write(self._master, keys)

    def sees(self, pattern: bytes) -> re.Match[bytes]:
        """Waits until what was shown, all of it, holds `pattern`."""
        deadline = time.monotonic() + LIMIT_S
        while not (match := re.search(pattern, self.seen)):
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} is not shown within {LIMIT_S:g} s: {self.seen!r}")
        return match

    def _read(self, limit: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(limit, 0))
        if ready:
            self.seen += os.read(self._master, 65536)
        return bool(ready)

    def raw(self) -> bool:
        """Whether the terminal passes keys on as they are."""
        return not termios.tcgetattr(self._slave)[3] & termios.ICANON

    def calm(self) -> None:
        """Sets the terminal as it was, which is what a shell does when a job of it stops."""
        termios.tcsetattr(self._slave, termios.TCSANOW, self.modes)

    def as_before(self) -> bool:
        """Whether the terminal's settings are those of the beginning."""
        return termios.tcgetattr(self._slave) == self.modes

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to tacho."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """The terminal goes away."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def ends(self) -> tuple[int, str]:
        """Waits for the end, reading what is shown; the exit status and the messages."""
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._master >= 0:
                self._read(0.05)
            else:
                time.sleep(0.02)
        status = self.process.wait(1)
        while self._master >= 0 and self._read(0):
            pass
        messages = self.process.stderr.read().decode() if self.process.stderr is not None else ""
        return status, messages


def tacho(folder: Path, *arguments: str, given: bytes = b"", prefix: Sequence[str] = ()) -> tuple[int, bytes, str]:
    """Runs `tacho` without a terminal, after `prefix` if there is one: exit status, output, messages."""
    done = subprocess.run(
        [*prefix, *TACHO, *arguments],
        input=given,
        capture_output=True,
        cwd=folder,
        env=environment(folder),
        timeout=LIMIT_S,
    )
    return done.returncode, done.stdout, done.stderr.decode()
