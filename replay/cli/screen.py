"""`tacho screen`: what a terminal showed at a moment, as text, as JSON with every cell's style, as a picture."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recorder.safe import printable
from replay.cli.form import as_json
from replay.cli.verb import NOT_FOUND, USAGE, Failure, opened, reviewing
from replay.recording import Frame, Kind, Recording
from replay.recording.clock import stamp

if TYPE_CHECKING:
    from replay.terminal import Colour, Run, Screen
    from replay.timeline import Moment

_PLACE = re.compile(r"@(?:cmd|frame):\d{1,18}", re.ASCII)  # a well-formed place that may not be there
_FLAGS = ("bold", "dim", "italic", "underline", "blink", "reverse", "conceal", "strike")
_NEVER = 1 << 62  # bytes between snapshots of a view that is never moved back


@click.command()
@click.argument("what", metavar="ID")
@click.option("--at", metavar="T", help="The moment, else the end: 1:23, 83.4, a time, @cmd:12, @frame:4711.")
@click.option(
    "--stream", type=click.IntRange(1), help="The channel by its number on the tape, else the first terminal."
)
@click.option("--json", "as_document", is_flag=True, help="One JSON document, with cursor, title and styles.")
@click.option("--svg", "as_picture", is_flag=True, help="A picture.")
@reviewing
def screen(
    config_file: Path | None, what: str, at: str | None, stream: int | None, as_document: bool, as_picture: bool
) -> None:
    """Print what the terminal of a session showed at a moment."""
    from replay.timeline import Scrubber

    if as_document and as_picture:
        raise Failure("--json and --svg exclude each other: name one of them", USAGE)
    with opened(what, config_file) as recording:
        asked = _terminal(recording, stream)
        moment = _moment(recording, at, asked)
        scrubber = Scrubber(recording, asked.stream, spacing=_NEVER)
        scrubber.go(moment)
        shown = scrubber.view.screen
        if as_document:
            click.echo(as_json(_document(recording, moment.t, asked.stream, shown)))
        elif as_picture:
            from replay.cli.picture import picture

            click.echo(picture(shown, f"{printable(recording.id)} at {_when(recording, moment.t)}"), nl=False)
        else:
            rows = [printable(line) for line in shown.lines()]
            while rows and not rows[-1]:
                rows.pop()
            click.echo("".join(f"{row}\n" for row in rows), nl=False)


def _terminal(recording: Recording, stream: int | None) -> Frame:
    """The note that asked for the terminal: that of `stream`, else the first."""
    for frame in recording.frames():
        if frame.kind == Kind.NOTE and frame.facts().get("name") == "pty" and stream in (None, frame.stream):
            return frame
    what = "this session has no terminal" if stream is None else f"channel {stream} has no terminal"
    raise Failure(f"{what}, so there is no screen: see `tacho show`")


def _moment(recording: Recording, at: str | None, asked: Frame) -> "Moment":
    """The moment that is named, within the terminal's time; the end when none is."""
    from replay.timeline import Moment, NoSuchMoment, parse_moment
    from replay.transcript import commands

    end = Moment(recording.duration)
    if at is None:
        return end
    try:
        moment = parse_moment(at, end, recording, commands(recording) if at.strip().startswith("@cmd") else ())
    except NoSuchMoment as error:
        raise Failure(str(error), NOT_FOUND if _PLACE.fullmatch(at.strip()) else USAGE) from None
    opening = Moment(asked.t, asked.number)
    early = moment.t < asked.t or (moment.frame is not None and moment.frame < asked.number)
    return opening if early else moment


def _when(recording: Recording, t: int) -> str:
    return stamp(recording.start + t * 1000, "microseconds")


def _document(recording: Recording, t: int, stream: int, shown: "Screen") -> dict[str, object]:
    row, column = shown.cursor
    lines = shown.lines()
    return {
        "id": recording.id,
        "at": _when(recording, t),
        "offset": t / 1e6,
        "stream": stream,
        "columns": shown.columns,
        "rows": shown.rows,
        "cursor": {"row": row, "column": column, "hidden": shown.cursor_hidden},
        "alternate": shown.alternate,
        "title": shown.title,
        "lines": [
            {"text": text, "runs": [_run(run) for run in shown.styled_row(number)]} for number, text in enumerate(lines)
        ],
    }


def _run(run: "Run") -> dict[str, object]:
    """Cells of one style; what of it is the terminal's default is left out."""
    text, style = run
    value: dict[str, object] = {"text": text}
    for name, colour in (("fg", style.fg), ("bg", style.bg)):
        if colour is not None:
            value[name] = _colour(colour)
    return value | {name: True for name in _FLAGS if getattr(style, name)}


def _colour(colour: "Colour") -> object:
    """A number of the palette of 256, or `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour) if isinstance(colour, tuple) else colour
