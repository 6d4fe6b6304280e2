"""The old scp protocol (`scp -O`, an exec of `scp -t` or `scp -f`), read into the same file operations as SFTP's.

Its only description is OpenSSH's scp.c. One side, the source, sends control lines and contents; the other, the sink,
answers each with a byte. It holds no socket and no clock.
"""

import re
import shlex
from collections import deque
from dataclasses import dataclass
from typing import Literal

from recorder.protocol import Direction
from recorder.protocols.ssh.sftp import Attributes, Fault, FileOperation, Status

_LINE = 16 * 1024  # bytes of a control line
_PATH = 64 * 1024  # bytes of a path that folders add up to
_AHEAD = 1024  # control lines that may wait for their answer
_FAILURE = 4
_BEGINNING = re.compile(rb"(?:\S{0,256}/)?scp\s")
_SHELL = re.compile(rb"[;|&<>()`$\n\r\0]")
_FILE = re.compile(rb"([CD])([0-7]{4,7}) (\d{1,18}) (.+)", re.DOTALL)
_TIMES = re.compile(rb"T(\d{1,18}) \d{1,9} (\d{1,18}) \d{1,9}")

Event = FileOperation | Fault
_Expected = Literal["ready", "line", "file", "contents", "folder"]  # what the sink answers
_State = Literal["control", "asked", "contents", "status", "sent"]  # what the source sends, or has to wait for


def scp_of(command: bytes, stream: int = 0) -> "Scp | None":
    """The parser for an exec's command line, when that is an scp and nothing more."""
    if not _BEGINNING.match(command) or _SHELL.search(command):
        return None
    try:
        split = shlex.split(command.decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    words = [word.encode("utf-8", "surrogateescape") for word in split[1:]]
    options = b""
    while words and words[0].startswith(b"-") and len(words[0]) > 1:
        option = words.pop(0)
        if option == b"--":
            break
        options += option[1:]
    if (b"t" in options) == (b"f" in options) or not words:
        return None
    return Scp(words, stream, sink=b"t" in options, folder=b"d" in options)


@dataclass(slots=True, eq=False)
class _Moving:
    """A file or a folder that is being moved. `left` are bytes of its contents still to come."""

    kind: str
    path: bytes
    name: bytes | None
    start: int
    size: int | None
    left: int
    attributes: Attributes


class Scp:
    """One channel's parser, used as `Sftp` is. `sink`: the target receives, so the agent is the source.

    Paths are put together from the command and the names that crossed. Whether `scp -t PATH` names a folder is not
    known: then `path` is PATH, and `to` the name that the agent's file has.
    """

    def __init__(self, paths: list[bytes], stream: int, *, sink: bool, folder: bool) -> None:
        self._stream = stream
        self._source = Direction.IN if sink else Direction.OUT
        self._kinds = ("write", "mkdir") if sink else ("read", "readdir")
        self._only = paths[0] if len(paths) == 1 else None
        self._certain = not sink or folder or paths[0].endswith((b"/", b".")) or paths[0] == b"~"
        self._folders = [paths[0] if sink else _common_folder(paths)]
        self._waiting: deque[tuple[_Expected, _Moving | None]] = deque([("ready", None)])  # for the sink's answer
        self._line = {Direction.IN: bytearray(), Direction.OUT: bytearray()}
        self._begun = {Direction.IN: 0, Direction.OUT: 0}  # where the line at hand begins
        self._offset = {Direction.IN: 0, Direction.OUT: 0}
        self._times: tuple[int, int] | None = None
        self._file: _Moving | None = None
        self._state: _State = "control"
        self._failed: bytes | None = None  # what the source said of the file that it sent
        self._lost = False
        self._events: list[Event] = []

    # As Sftp

    def receive(self, side: Direction, data: bytes, t: int = 0) -> list[Event]:
        """Takes the next bytes of one side, which crossed at `t`."""
        at = 0
        while at < len(data) and not self._lost:
            if side is self._source and self._state == "asked":
                self._state = "contents"  # the answer was not waited for
            if side is self._source and self._state == "contents" and self._file is not None:
                step = min(self._file.left, len(data) - at)
                self._file.left -= step
                self._state = "contents" if self._file.left else "status"
            else:
                step = self._control(side, data, at, t)
            self._offset[side] += step
            at += step
        return self._told()

    def gap(self, _side: Direction, _remaining: int | None) -> None:
        """Bytes are missing: nothing says where the next control line begins."""
        self._lost = True

    def lost(self, _side: Direction) -> bool:
        """Whether the rest cannot be read."""
        return self._lost

    @property
    def earliest(self) -> int | None:
        """When the oldest began of what is being moved."""
        return min((moving.start for moving in self._open()), default=None)

    def end(self, _t: int = 0) -> list[Event]:
        """The channel is over: what was not moved to its end."""
        for moving in self._open():
            self._moved(moving, None, None)
        self._file = None
        self._waiting.clear()
        return self._told()

    def _open(self) -> list[_Moving]:
        held = [self._file, *(moving for _, moving in self._waiting)]
        return list(dict.fromkeys(moving for moving in held if moving is not None))

    def _told(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # Control lines

    def _control(self, side: Direction, data: bytes, at: int, t: int) -> int:
        """Takes bytes of a control line or of an answer; how many."""
        line = self._line[side]
        if not line:
            self._begun[side] = self._offset[side]
            if data[at] == 0:
                self._answer(side, None, t)
                return 1
        end = data.find(b"\n", at) + 1 or len(data)
        line += data[at:end]
        if len(line) > _LINE:
            self._lose(side, t, f"a line of more than {_LINE:,} bytes")
        elif line.endswith(b"\n"):
            text = bytes(line[:-1])
            line.clear()
            if text[:1] in (b"\1", b"\2"):
                self._answer(side, text[1:], t)
            elif side is self._source and self._state == "control":
                self._command(text, t)
            else:
                self._lose(side, t, "a line that is no answer")
        return end - at

    def _command(self, line: bytes, t: int) -> None:
        """A control line of the source."""
        if len(self._waiting) >= _AHEAD:
            self._lose(self._source, t, f"more than {_AHEAD:,} lines without an answer")
        elif match := _FILE.fullmatch(line):
            self._entry(match[1] == b"D", int(match[2], 8), int(match[3]), match[4], t)
        elif match := _TIMES.fullmatch(line):
            self._times = int(match[2]), int(match[1])
            self._waiting.append(("line", None))
        elif line == b"E" and len(self._folders) > 1:
            self._folders.pop()
            self._waiting.append(("line", None))
        else:
            self._lose(self._source, t, "a line that is no command of scp")

    def _entry(self, folder: bool, mode: int, size: int, name: bytes, t: int) -> None:
        accessed, modified = self._times or (None, None)
        self._times = None
        within = self._folders[-1]
        guessed = len(self._folders) == 1 and not self._certain
        self._certain = self._certain or len(self._folders) == 1  # what a second one comes into is a folder
        path = within if guessed else within + (b"" if within.endswith(b"/") or not within else b"/") + name
        if len(path) > _PATH:
            self._lose(self._source, t, f"a path of more than {_PATH:,} bytes")
            return
        attributes = Attributes(mode=mode, accessed=accessed, modified=modified)
        shown, amount = name if guessed else None, None if folder else size
        moving = _Moving(self._kinds[folder], path, shown, t, amount, amount or 0, attributes)
        if folder:
            self._folders.append(path)
            self._waiting.append(("folder", moving))
            return
        self._file, self._state, self._failed = moving, "asked", None
        self._waiting.append(("file", moving))

    # Answers

    def _answer(self, side: Direction, error: bytes | None, t: int) -> None:
        if side is self._source:
            self._source_status(error, t)
        elif self._waiting:
            self._sink_answer(*self._waiting.popleft(), error, t)
        else:
            self._lose(side, t, "an answer to nothing")

    def _source_status(self, error: bytes | None, t: int) -> None:
        """The source's word after the contents of a file, or of something that it cannot send."""
        if self._state == "status":
            self._failed, self._state = error, "sent"
            self._waiting.append(("contents", self._file))
        elif self._state == "control" and error is not None:
            self._refused(self._only, t, error)
        else:
            self._lose(self._source, t, "an answer where a command belongs")

    def _sink_answer(self, expected: _Expected, moving: _Moving | None, error: bytes | None, t: int) -> None:
        if expected == "ready" and error is not None:
            self._refused(self._folders[0], t, error)
        elif expected == "file" and moving is not None and error is None:
            if self._state == "asked":
                self._state = "contents" if moving.left else "status"
        elif expected == "file" and moving is not None:
            if self._state != "asked":
                self._lose(self._source, t, "contents of a file that was not accepted")
            self._file, self._state = None, "control"
            self._moved(moving, t, error)
        elif expected == "contents" and moving is not None:
            whole, self._file, self._state = self._state == "sent", None, "control"
            self._moved(moving, t, error if self._failed is None else self._failed, whole=whole)
        elif expected == "folder" and moving is not None:
            if error is not None and len(self._folders) > 1:
                self._folders.pop()  # what would come into it does not come
            self._moved(moving, t, error)

    # Told

    def _moved(self, moving: _Moving, t: int | None, error: bytes | None, *, whole: bool = False) -> None:
        size = None if moving.size is None else moving.size - moving.left
        status = None if t is None else Status(_FAILURE if error is not None else 0, error or b"")
        self._events.append(
            FileOperation(
                kind=moving.kind,
                path=moving.path,
                start=moving.start,
                end=t,
                status=status,
                to=moving.name,
                size=size,
                complete=None if size is None else whole and error is None,
                attributes=moving.attributes,
                known="inferred",
                protocol="scp",
                stream=self._stream,
            )
        )

    def _refused(self, path: bytes | None, t: int, error: bytes) -> None:
        """What was to be moved and was not, with the reason that was given."""
        status = Status(_FAILURE, error)
        self._events.append(
            FileOperation(self._kinds[0], path, t, t, status, known="inferred", protocol="scp", stream=self._stream)
        )

    def _lose(self, side: Direction, t: int, why: str) -> None:
        self._lost = True
        self._events.append(Fault(t, side, self._begun[side], why, lost=True, protocol="scp", stream=self._stream))


def _common_folder(paths: list[bytes]) -> bytes:
    """The folder that all of them lie in, with its slash; empty when they do not lie in one."""
    parts = [path.rstrip(b"/").rpartition(b"/") for path in paths]
    folders = {before + mark for before, mark, _ in parts}
    return folders.pop() if len(folders) == 1 else b""
