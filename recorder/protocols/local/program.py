"""A program on a pseudo-terminal: started, resized, signalled, waited for. Records nothing and moves no bytes."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Modes = list[int | list[bytes | int]]
"""A terminal's settings as `termios.tcgetattr` gives them."""

_WINSIZE = struct.Struct("HHHH")  # struct winsize of ioctl_tty(2): rows, columns, width, height
_END_OF_FILE = b"\x04"
# What Python ignores, and what a shell ignores for its background jobs: a new terminal's keys must have their effect.
_TO_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)


class Size(NamedTuple):
    """A terminal's size: in characters, and in pixels where that is known (else 0)."""

    columns: int = 80
    rows: int = 24
    width: int = 0
    height: int = 0


def size_of(terminal: int) -> Size | None:
    """The size of a terminal; None when it has none, or does not know it."""
    try:
        rows, columns, width, height = _WINSIZE.unpack(fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(_WINSIZE.size)))
    except OSError:
        return None
    return Size(columns, rows, width, height) if columns and rows else None


class Program:
    """A running program, the leader of a session whose terminal is `master`'s other end.

    `master` does not block. `modes` are the settings that the terminal begins with, else the system's own.
    """

    def __init__(
        self, command: Sequence[str], size: Size, modes: Modes | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """OSError when there is no such program, or no pseudo-terminal left."""
        self._status: int | None = None
        # Our own hold on the slave keeps the master readable whatever the program closes.
        self.master, self._slave = os.openpty()
        try:
            os.set_blocking(self.master, False)
            self.resize(size)
            if modes is not None:
                termios.tcsetattr(self._slave, termios.TCSANOW, modes)
            # A session's leader that opens a terminal gets it as its controlling one (tty_ioctl(4)); the slave is
            # opened by name for that, in the new process, where no Python runs.
            self.pid = os.posix_spawnp(
                command[0],
                list(command),
                os.environ if env is None else env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.ttyname(self._slave), os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_TO_DEFAULT,
            )
        except BaseException:
            self.close()
            raise

    def resize(self, size: Size) -> None:
        """Changes the terminal's size; the kernel tells the program (SIGWINCH)."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, _WINSIZE.pack(size.rows, size.columns, size.width, size.height))

    def read(self, most: int) -> bytes:
        """What it wrote, `most` bytes of it; empty when there is nothing now."""
        data = b""
        try:
            while len(data) < most:
                data += os.read(self.master, most - len(data))  # the kernel gives 4 KiB at a time
        except BlockingIOError:
            pass  # that is all
        return data

    def write(self, data: memoryview) -> int:
        """Types as much of `data` as fits now; how many bytes that were."""
        try:
            return os.write(self.master, data)
        except BlockingIOError:
            return 0

    def wants_input(self) -> bool:
        """Whether all that was typed was read, but for a line that is not ended."""
        poll = select.poll()
        poll.register(self._slave, select.POLLIN)
        return not poll.poll(0)

    @property
    def end_of_file(self) -> bytes:
        """The byte that means the end of input to a program that reads lines."""
        key = termios.tcgetattr(self._slave)[6][termios.VEOF]
        return key if isinstance(key, bytes) and key != b"\0" else _END_OF_FILE

    def ended(self) -> int | None:
        """Its exit status, or the number of the signal that ended it below zero; None while it runs. Never waits."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the job in the foreground of its terminal; one that hangs up, to the program as well."""
        groups = {self.pid} if number is signal.SIGHUP else set()
        with contextlib.suppress(OSError):  # nobody has the terminal any more
            groups.add(os.tcgetpgrp(self.master))
        if self.ended() is not None:
            groups.discard(self.pid)  # the number may be another's by now
        for group in groups - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # gone meanwhile, or become another user's
                os.killpg(group, number)
                if number is signal.SIGHUP:
                    os.killpg(group, signal.SIGCONT)  # a stopped job hears nothing

    def close(self) -> None:
        """Takes the terminal away: whatever still runs on it is hung up by the kernel."""
        os.close(self.master)
        os.close(self._slave)
