"""Bytes between a person's terminal and a program's, recorded before they go on; size, signals and end as notes.

The notes are those of an SSH session channel, so that what reads one reads the other. It never waits for a disk.
"""

import errno
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from recorder.format import layout
from recorder.protocol import Broken, Direction
from recorder.protocols.local.outer import Outer
from recorder.protocols.local.program import Program, Size, size_of
from recorder.protocols.local.wake import Wake

STREAM = 1
_PIECE = 24 * 1024  # bytes of a long command in one note
_TERM_LIMIT = 256
_HANG_UP_S = 5.0  # that a program gets to end when its terminal closes
_DRAIN = 256 * 1024  # bytes read after a program's end: more than a pty holds, others may go on writing to it
_AGAIN_S = 0.1  # between looks whether a program wants more input than there was


class Tap(Protocol):
    """What records: the part of `recorder.protocol.Gate` that is needed here. Its callbacks come from any thread."""

    @property
    def clear(self) -> bool:
        """Whether bytes may cross now."""

    def on_clear(self, callback: Callable[[], None]) -> None:
        """Sets what is called each time bytes may cross again."""

    def on_broken(self, callback: Callable[[Broken], None]) -> None:
        """Sets what is called when nothing can be recorded any more."""

    def cross(self, direction: Direction, stream: int, data: bytes, release: Callable[[bytes], None]) -> None:
        """Records `data` (32 KiB at most), then hands it to `release`."""

    def note(self, name: str, stream: int = 0, **facts: object) -> None:
        """Records a fact that is not bytes."""


class Ending(NamedTuple):
    """How it ended: the status to exit with (128 + n for signal n), and the reason in words."""

    status: int
    reason: str


def begin(tap: Tap, size: Size, term: str, command: bytes | None) -> None:
    """Records the channel's terminal and what runs on it: a command, or a shell when there is none."""
    tap.note("channel", STREAM, type="session")
    tap.note("pty", STREAM, term=term[:_TERM_LIMIT], modes=b"", **size._asdict())
    if command is None:
        tap.note("shell", STREAM)
        return
    for offset in range(0, max(len(command), 1), _PIECE):
        more: dict[str, object] = {"more": True} if offset + _PIECE < len(command) else {}
        tap.note("exec", STREAM, command=command[offset : offset + _PIECE], **more)


def relay(program: Program, outer: Outer, tap: Tap, wake: Wake) -> Ending:
    """Carries bytes both ways until the program ends, by itself or because it was told to. Broken when `tap` is."""
    return _Relay(program, outer, tap, wake).run()


class _Relay:
    def __init__(self, program: Program, outer: Outer, tap: Tap, wake: Wake) -> None:
        self._program = program
        self._outer = outer
        self._tap = tap
        self._wake = wake
        self._size = size_of(program.master)  # not the outer one, which may have changed since
        self._to_program = memoryview(b"")
        self._to_outer = memoryview(b"")
        self._typing = True  # more input may come
        self._watching = True  # somebody sees the output
        self._left = _DRAIN  # of what is still read once the program has ended; 0 when that is done
        self._unseen = 0  # bytes
        self._broken: Broken | None = None
        self._deadline: float | None = None
        self._told: Ending | None = None  # why the program was told to end
        tap.on_clear(wake.call)
        tap.on_broken(self._break)

    def run(self) -> Ending:
        while not self._over():
            self._step()
        if self._broken is not None:
            self._program.signal(signal.SIGHUP)
            raise self._broken
        return self._finish()

    def _break(self, error: Broken) -> None:
        self._broken = error
        self._wake.call()

    def _over(self) -> bool:
        if self._broken is not None or (self._deadline is not None and time.monotonic() >= self._deadline):
            return True
        return self._left <= 0 and not self._to_outer

    def _finish(self) -> Ending:
        tap, ended = self._tap, self._program.ended()
        if self._to_program:
            tap.note("discarded", STREAM, bytes=len(self._to_program), why="the program did not read them")
        if unseen := self._unseen + len(self._to_outer):
            tap.note("discarded", STREAM, bytes=unseen, why="nobody was there to see them")
        if ended is None:
            status, reason = self._told or Ending(128 + signal.SIGHUP, "the terminal was closed")
            return Ending(status, f"{reason}; the program went on without its terminal")
        if ended < 0:
            tap.note("exit", STREAM, signal=_name(-ended), core=False, message="")
        else:
            tap.note("exit", STREAM, status=ended)
        tap.note("close", STREAM, side="out")
        return self._told or Ending(128 - ended if ended < 0 else ended, "the program ended")

    # Waiting

    def _step(self) -> None:
        """Waits for the next event, and lets it have its effect."""
        clear = self._tap.clear
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        reading = clear and self._typing and not self._to_program
        if reading:
            poll.register(self._outer.input, select.POLLIN)
        showing = clear and not self._to_outer
        if wanted := (select.POLLIN if showing else 0) | (select.POLLOUT if self._to_program else 0):
            poll.register(self._program.master, wanted)
        if self._to_outer:
            poll.register(self._outer.output, select.POLLOUT)
        ended = self._program.ended() is not None  # asked before the last bytes are read, not after
        ready = dict(poll.poll(0 if ended and showing else self._patience()))
        for number in self._wake.taken():
            self._heard(number)
        if self._program.master in ready and self._to_program:
            self._feed()
        if reading and self._outer.input in ready:
            self._read_input()
        if showing and (self._program.master in ready or ended):
            self._read_output(ended=ended)
        if self._outer.output in ready and self._to_outer:
            self._show()
        if clear and not (ended or self._typing or self._to_program) and self._program.wants_input():
            self._tap.cross(Direction.IN, STREAM, self._program.end_of_file, self._enter)

    def _patience(self) -> float | None:
        """Milliseconds to wait at most; None for as long as it takes, since it is a person who types and reads."""
        limits = [] if self._typing else [_AGAIN_S]
        if self._deadline is not None:
            limits.append(max(self._deadline - time.monotonic(), 0))
        return min(limits) * 1000 + 1 if limits else None

    # Bytes

    def _enter(self, data: bytes) -> None:
        self._to_program = memoryview(data)
        self._feed()

    def _feed(self) -> None:
        self._to_program = self._to_program[self._program.write(self._to_program) :]

    def _read_input(self) -> None:
        try:
            data = self._outer.read(layout.BODY_LIMIT)
        except OSError:
            data = b""  # the terminal is gone
        if data:
            self._tap.cross(Direction.IN, STREAM, data, self._enter)
        elif data is not None:
            self._typing = False
            self._tap.note("eof", STREAM, side="in")
            if self._outer.modes is not None:
                self._hang_up(Ending(128 + signal.SIGHUP, "the terminal was closed"))

    def _read_output(self, *, ended: bool) -> None:
        data = self._program.read(layout.BODY_LIMIT)
        if ended:
            self._left -= len(data) or _DRAIN
        if not self._watching:
            self._unseen += len(data)
        elif data:
            self._tap.cross(Direction.OUT, STREAM, data, self._put)

    def _put(self, data: bytes) -> None:
        self._to_outer = memoryview(data)

    def _show(self) -> None:
        try:
            self._to_outer = self._to_outer[self._outer.write(self._to_outer) :]
        except OSError as error:
            self._watching = False
            self._unseen += len(self._to_outer)
            self._to_outer = memoryview(b"")
            why = "the output was closed" if error.errno in (errno.EPIPE, errno.EIO) else f"no output: {error.strerror}"
            self._hang_up(Ending(128 + signal.SIGPIPE, why))

    # Signals

    def _heard(self, number: signal.Signals) -> None:
        if number is signal.SIGWINCH:
            self._resize()
        elif number is signal.SIGCONT:
            self._outer.raw()
            self._resize()
        elif number in (signal.SIGINT, signal.SIGQUIT):
            self._signal(number)
        elif number in (signal.SIGTERM, signal.SIGHUP):
            self._hang_up(Ending(128 + number, f"tacho was ended by {number.name}"))

    def _signal(self, number: signal.Signals) -> None:
        self._tap.note("signal", STREAM, signal=_name(number))
        self._program.signal(number)

    def _resize(self) -> None:
        size = self._outer.size
        if size != self._size:
            self._size = size
            self._tap.note("resize", STREAM, **size._asdict())
            self._program.resize(size)

    def _hang_up(self, why: Ending) -> None:
        """Tells the program, once, that its terminal closes."""
        if self._told is None:
            self._told = why
            self._deadline = time.monotonic() + _HANG_UP_S
            self._signal(signal.SIGHUP)


def _name(number: int) -> str:
    """A signal's name as SSH has it (RFC 4254 section 6.10), without SIG; its number when it has none."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)  # a real-time signal
