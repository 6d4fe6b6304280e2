"""A program in a terminal of this machine: a pty with a size, its keys typed, its screen as the player draws it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from replay.terminal import Screen
from tests.servers.process import LIMIT_S


class Terminal:
    """The running program; `seen` is all that it has written."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int, columns: int, rows: int) -> None:
        self.process = process
        self.seen = b""
        self._descriptor = descriptor
        self._screen = Screen(columns, rows)

    def type(self, keys: bytes) -> None:
        """Types."""
        os.write(self._descriptor, keys)

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the terminal; the program is told as by a terminal emulator."""
        _set_size(self._descriptor, columns, rows)
        self._screen.resize(columns, rows)

    def lines(self) -> list[str]:
        """What the screen shows."""
        return [line.rstrip() for line in self._screen.lines()]

    def until(self, holds: Callable[[list[str]], bool]) -> list[str]:
        """Waits until the screen is as wanted, and what it shows then."""
        end = time.monotonic() + LIMIT_S
        while not holds(self.lines()):
            assert self._read(end), f"the program ended at {self.lines()}"
        return self.lines()

    def shows(self, text: str) -> list[str]:
        """Waits until a line contains `text`."""
        return self.until(lambda lines: any(text in line for line in lines))

    def end(self) -> int:
        """Waits for the end of the program; its status."""
        end = time.monotonic() + LIMIT_S
        while self._read(end):
            pass
        return self.process.wait(LIMIT_S)

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(end - time.monotonic(), 0))
        assert ready, f"not within {LIMIT_S:.0f} s: {self.lines()}"
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False  # Linux: nobody has the other side open any more
        self.seen += data
        self._screen.feed(data)
        return bool(data)


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def in_terminal(
    command: Sequence[str | bytes], env: Mapping[str, str], columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """Runs `command` as the leader of a session on a terminal of its own; what still runs at the end is killed."""
    ours, theirs = pty.openpty()
    try:
        _set_size(theirs, columns, rows)
        leader = ["setpriv", "--pdeathsig", "KILL", "--", "setsid", "--ctty", *command]
        with subprocess.Popen(leader, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env)) as process:
            os.close(theirs)
            try:
                yield Terminal(process, ours, columns, rows)
            finally:
                process.send_signal(signal.SIGKILL)
    finally:
        os.close(ours)
