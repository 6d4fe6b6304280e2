"""`tacho show`, `cmds` and `play`: what happened in a session, as a text, as a list, and on the screen."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from recorder.cli import configuration
from recorder.safe import printable
from replay.cli.form import amount, cell, command_json, lasting, outcome
from replay.cli.verb import USAGE, Failure, colour, entered, opened, reviewing
from replay.recording import NotFound, Recording
from replay.recording.clock import clock
from replay.recording.find import catalogue_of, is_path

_TEXT_LIMIT = 4096


@click.command()
@click.argument("what", metavar="ID|RUN")
@click.option("--from", "start", metavar="T", help="Begin at this moment: 1:23, 83.4, a time, @cmd:12, @frame:4711.")
@click.option("--to", "end", metavar="T", help="End before this moment; +5 is five seconds after --from.")
@click.option("--plain", is_flag=True, help="Without colours.")
@reviewing
def show(config_file: Path | None, what: str, start: str | None, end: str | None, plain: bool) -> None:
    """Print the transcript of a session, or of all sessions of a run: what was asked and what came back."""
    for number, recording in enumerate(_sessions(what, config_file)):
        if number:
            click.echo()
        with recording:
            begin = _moment(recording, start) or 0
            _transcript(recording, begin, _moment(recording, end, begin), plain)


def _sessions(what: str, config_file: Path | None) -> Iterator[Recording]:
    """The session that is named, else those of the run of that name, oldest first."""
    try:
        found = opened(what, config_file)
    except NotFound:
        if is_path(what):
            raise
        config = configuration(config_file)
        catalogue = catalogue_of(config)
        rows = catalogue.of_run(what)
        catalogue.close()
        if not rows:
            raise
        yield from (entered(row, config) for row in rows)
    else:
        yield found


def _transcript(recording: Recording, start: int, end: int | None, plain: bool) -> None:
    from replay.export.txt import header, lines
    from replay.transcript import Mark, entries

    styles: dict[Mark, dict[str, bool | str]] = {
        Mark.COMMAND: {"bold": True},
        Mark.CHANNEL: {"bold": True},
        Mark.ERRORS: {"fg": "red"},
        Mark.REFUSED: {"fg": "red", "bold": True},
        Mark.DAMAGE: {"fg": "red", "bold": True},
        Mark.GAP: {"fg": "yellow"},
        Mark.FACT: {"dim": True},
        Mark.EXIT: {"dim": True},
    }
    for text in header(recording.session):
        click.echo(text)
    click.echo()
    for entry in entries(recording, start, end):
        style = {} if plain else styles.get(entry.mark, {})
        for line in lines(entry):
            click.echo(colour(line.text, **style) if style else line.text)


@click.command()
@click.argument("what", metavar="ID")
@click.option("--json", "as_lines", is_flag=True, help="One JSON document a line.")
@reviewing
def cmds(config_file: Path | None, what: str, as_lines: bool) -> None:
    """List the commands of a session: when, how long, how it ended, bytes in and out."""
    from replay.transcript import MAXIMUM_COMMANDS, commands

    with opened(what, config_file) as recording:
        found = commands(recording)
        for command in found:
            if as_lines:
                click.echo(command_json(command, recording.start))
                continue
            lasted = "" if command.end is None else lasting(command.end - command.start)
            crossed = f"{amount(command.bytes_in)}/{amount(command.bytes_out)}"
            ended = cell(outcome(command), 8)
            text = printable(command.text, limit=_TEXT_LIMIT)
            shown = text if command.kind == "exec" else f"({command.kind}{' ' if text else ''}{text})"
            click.echo(
                f"{command.number:>4} {clock(command.start):>7} {lasted:>7} "
                f"{colour(ended, fg='green' if command.ok else 'red')} {cell(crossed, 11)} {shown}"
            )
        if len(found) == MAXIMUM_COMMANDS:
            click.echo(f"tacho: only the first {MAXIMUM_COMMANDS} commands are listed", err=True)


@click.command()
@click.argument("what", metavar="ID")
@click.option("--at", metavar="T", help="Begin at this moment: 1:23, 83.4, a time, @cmd:12, @frame:4711.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=1.0, help="Times the recorded speed.")
@click.option("--idle", type=click.FloatRange(0), default=2.0, help="Seconds that idle time is folded to.")
@reviewing
def play(config_file: Path | None, what: str, at: str | None, speed: float, idle: float) -> None:
    """Play a session on the screen."""
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise Failure("the player needs a terminal: use `tacho show` for a transcript", USAGE)
    with opened(what, config_file) as recording:
        moment = _moment(recording, at) or 0
        from replay import tui

        tui.play(recording, at=moment, speed=speed, idle=idle)


def _moment(recording: Recording, text: str | None, base: int = 0) -> int | None:
    from replay.transcript import MomentError, moment

    if text is None:
        return None
    try:
        return moment(recording, text, base)
    except MomentError as error:
        raise Failure(str(error), USAGE) from None
