"""asciicast v3 (https://docs.asciinema.org/manual/asciicast/v3/): output, input, sizes and the exit of a terminal.

Input that was not echoed is masked. Without a terminal the commands come one after another, each behind a `$`.
"""

import codecs
import json
from collections.abc import Iterator

from recorder.safe import printable
from replay.export import NothingToExport
from replay.recording import Frame, Kind, Recording
from replay.recording.facts import UNKNOWN_SIZE, size, text
from replay.transcript import Command, commands
from replay.transcript.commands import request_of
from replay.transcript.echo import Echo


def encode(recording: Recording, stream: int | None = None) -> Iterator[str]:
    """The file's lines: of `stream`, else of the first channel with a terminal, else of all commands in turn.

    NothingToExport when there is no such channel.
    """
    terminal = _terminal(recording, stream)
    if terminal is not None:
        yield from _of_terminal(recording, terminal)
        return
    found = [command for command in commands(recording) if stream in (None, command.stream)]
    found = [command for command in found if command.kind != "subsystem"]
    if not found:
        what = f"no terminal and no command on stream {stream}" if stream is not None else "no terminal and no command"
        raise NothingToExport(f"this recording has {what}: a cast would be empty")
    yield from _of_commands(recording, found)


def _terminal(recording: Recording, stream: int | None) -> Frame | None:
    """The frame that asked for the terminal."""
    for frame in recording.frames():
        wanted = stream in (None, frame.stream)
        if wanted and frame.kind == Kind.NOTE and frame.facts().get("name") == "pty":
            return frame
    return None


class _Lines:
    """Lines of the file, with the time of the last event."""

    def __init__(self, t: int) -> None:
        self._t = t
        self._rounded = 0  # µs that rounding left over

    def header(self, recording: Recording, shape: tuple[int, int], term: str, command: str | None) -> str:
        session = recording.session
        title = f"{session.attribution.agent} on {session.login}@{session.target}"
        terminal: dict[str, object] = {"cols": shape[0], "rows": shape[1]}
        if term:
            terminal["type"] = printable(term, limit=64)
        start = (recording.start + self._t * 1000) // 1_000_000_000
        value: dict[str, object] = {"version": 3, "term": terminal, "timestamp": start, "title": printable(title)}
        if command is not None:
            value["command"] = command
        return json.dumps(value) + "\n"

    def event(self, t: int, code: str, data: str) -> str:
        elapsed = max(t - self._t, 0) + self._rounded
        milliseconds = elapsed // 1000
        self._rounded = elapsed - milliseconds * 1000
        self._t = max(t, self._t)
        return json.dumps([milliseconds / 1000, code, data]) + "\n"


def _of_terminal(recording: Recording, asked: Frame) -> Iterator[str]:
    lines = _Lines(asked.t)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    echo = Echo()
    yield lines.header(recording, size(asked.facts()) or UNKNOWN_SIZE, text(asked.facts(), "term"), None)
    for frame in recording.frames(asked.t):
        if frame.stream != asked.stream or frame.number <= asked.number:
            continue
        if frame.kind == Kind.IN:
            for typed in echo.typed(frame.t, frame.data()):
                yield lines.event(typed.t, "i", typed.text)
        elif frame.kind in (Kind.OUT, Kind.ERR):
            for typed in echo.shown(frame.t, frame.data()):
                yield lines.event(typed.t, "i", typed.text)
            if shown := decoder.decode(frame.data()):
                yield lines.event(frame.t, "o", shown)
        elif frame.kind == Kind.NOTE:
            facts = frame.facts()
            if facts.get("name") == "resize" and (new := size(facts)) is not None:
                yield lines.event(frame.t, "r", f"{new[0]}x{new[1]}")
            elif facts.get("name") == "close":
                break
    for typed in echo.finish():
        yield lines.event(typed.t, "i", typed.text)
    if rest := decoder.decode(b"", final=True):
        yield lines.event(0, "o", rest)
    last = [command for command in commands(recording) if command.stream == asked.stream]
    yield from _exit(lines, last)


def _of_commands(recording: Recording, found: list[Command]) -> Iterator[str]:
    lines = _Lines(found[0].start)
    only = printable(found[0].text) if len(found) == 1 and found[0].text else None
    yield lines.header(recording, UNKNOWN_SIZE, "", only)
    for command in found:
        shown = printable(command.text) if command.kind == "exec" else "(shell)"
        yield lines.event(command.start, "o", f"$ {shown}\r\n")
        if command.denied:
            yield lines.event(command.start, "o", "refused by the gateway\r\n")
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for frame in _after(recording, command):
            shown = decoder.decode(frame.data()).replace("\r\n", "\n").replace("\n", "\r\n")
            if shown:
                yield lines.event(frame.t, "o", shown)
    yield from _exit(lines, found)


def _after(recording: Recording, command: Command) -> Iterator[Frame]:
    """The output of a command: up to the end of its channel, or what the channel was asked next."""
    more = True
    for frame in recording.frames(command.start):
        if frame.stream != command.stream or frame.number < command.frame:
            continue
        if frame.kind in (Kind.OUT, Kind.ERR):
            yield frame
        elif frame.kind == Kind.NOTE:
            asked = request_of(frame.facts())
            if frame.facts().get("name") == "close" or (asked is not None and not more):
                return
            more = asked[2] if asked is not None else more


def _exit(lines: _Lines, found: list[Command]) -> Iterator[str]:
    if found and found[-1].status is not None and found[-1].end is not None:
        yield lines.event(found[-1].end, "x", str(found[-1].status))
