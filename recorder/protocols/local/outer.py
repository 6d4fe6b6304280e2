"""The terminal at which a person sits, or the pipes in its place: raw while a program inside has the keys.

Its own descriptors do not block; those that this process shares with others stay as they are.
"""

import contextlib
import os
import stat
import termios
import tty
from types import TracebackType
from typing import Self

from recorder.protocols.local.program import Modes, Size, size_of

_INPUT, _OUTPUT = 0, 1
_PIECE = 4096  # bytes: PIPE_BUF, which a descriptor that polls as writable takes without blocking


class Outer:
    """Standard input and output. While it is entered, a terminal there is raw; it is as before afterwards.

    `modes` are the terminal's settings; None when standard input is no terminal.
    """

    def __init__(self) -> None:
        _fill_closed()
        self.modes: Modes | None = termios.tcgetattr(_INPUT) if os.isatty(_INPUT) else None
        self.input = _of_our_own(_INPUT, os.O_RDONLY)
        self.output = _of_our_own(_OUTPUT, os.O_WRONLY)
        self._most = _PIECE if os.get_blocking(self.output) else 1 << 20

    @property
    def size(self) -> Size:
        """The terminal's size; 80 by 24 where there is no terminal, or it does not know."""
        return (size_of(_INPUT) if self.modes is not None else None) or Size()

    def read(self, most: int) -> bytes | None:
        """What was typed, `most` bytes of it; empty at its end, None when there is nothing yet. OSError."""
        try:
            return os.read(self.input, most)
        except BlockingIOError:
            return None

    def write(self, data: memoryview) -> int:
        """Shows as much of `data` as fits now; how many bytes that were. OSError."""
        try:
            return os.write(self.output, data[: self._most])
        except BlockingIOError:
            return 0

    def raw(self) -> None:
        """Makes the terminal raw, also after this process was stopped and its shell set it as it likes it."""
        if self.modes is not None:
            with contextlib.suppress(termios.error):  # a terminal that is gone needs no settings
                tty.setraw(_INPUT, termios.TCSADRAIN)

    def __enter__(self) -> Self:
        self.raw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(_INPUT, termios.TCSADRAIN, self.modes)
        os.close(self.input)
        os.close(self.output)


def _of_our_own(descriptor: int, how: int) -> int:
    """Opens the same file anew where that can be: O_NONBLOCK on the one we were given would be every sharer's."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        with contextlib.suppress(OSError):  # another user's terminal, no /proc: the shared one must do
            return os.open(f"/proc/self/fd/{descriptor}", how | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return os.dup(descriptor)


def _fill_closed() -> None:
    """Puts /dev/null where a standard descriptor is closed: the next file opened would take its number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
