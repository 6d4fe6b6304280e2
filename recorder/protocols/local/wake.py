"""What ends a poll: signals of this process and calls from its other threads, as bytes on a pipe."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Self

_Handler = Callable[[int, FrameType | None], object] | int | None

_CALL = b"\0"  # no signal has this number
_ENDING = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
_HEARD = (*_ENDING, signal.SIGWINCH, signal.SIGCHLD, signal.SIGCONT)


class Wake:
    """While it is entered, signals only end a poll on its descriptor. For the main thread, one at a time.

    What the parent had this process ignore (`nohup`) stays ignored.
    """

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[signal.Signals, _Handler] = {}
        self._descriptor_before = -1

    def fileno(self) -> int:
        """What becomes readable."""
        return self._reads

    def call(self) -> None:
        """Ends the poll; from any thread."""
        with contextlib.suppress(BlockingIOError):  # it is full of calls already
            os.write(self._writes, _CALL)

    def taken(self) -> Iterable[signal.Signals]:
        """The signals that came since, in order."""
        try:
            return [signal.Signals(number) for number in os.read(self._reads, 4096) if number]
        except BlockingIOError:
            return []

    def __enter__(self) -> Self:
        self._descriptor_before = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        for number in _HEARD:
            if number not in _ENDING or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: it was set outside of Python, which cannot set it again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._descriptor_before)
        os.close(self._reads)
        os.close(self._writes)


def _heard(number: int, frame: FrameType | None) -> None:
    """The number is on the pipe already (`signal.set_wakeup_fd`)."""
