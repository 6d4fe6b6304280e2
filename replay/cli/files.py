"""`tacho files`: the files that a session read, wrote, moved, removed, one line an operation."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.cli.form import amount, as_json, cell, lasting
from replay.cli.verb import colour, opened, reviewing
from replay.recording.clock import clock, stamp

if TYPE_CHECKING:
    from recorder.protocols.ssh.sftp import FileOperation


@click.command()
@click.argument("what", metavar="ID")
@click.option("--json", "as_lines", is_flag=True, help="One JSON document a line.")
@reviewing
def files(config_file: Path | None, what: str, as_lines: bool) -> None:
    """List the file operations of a session: when, how long, how it ended, bytes, which files."""
    from recorder.protocols.ssh.sftp import Fault
    from replay.transcript import files as found_in
    from replay.transcript import operation as words

    with opened(what, config_file) as recording:
        count = 0
        for told in found_in(recording):
            if isinstance(told, Fault):
                where = f"{clock(told.t)}, stream {told.stream}"
                click.echo(f"tacho: {where}: {words.of_fault(told)}", err=True)
                continue
            count += 1
            if as_lines:
                click.echo(_json(told, recording.start))
                continue
            lasted = "" if told.end is None else lasting(told.end - told.start)
            moved = "" if told.size is None else amount(told.size)
            ended = colour(cell(words.outcome(told), 11), fg="green" if told.ok else "red")
            click.echo(f"{clock(told.start):>7} {lasted:>7} {ended} {moved:>5} {words.what(told)}")
        if recording.damage:
            click.echo("tacho: parts of this recording cannot be read: see `tacho verify`", err=True)
        if not count:
            click.echo("tacho: no file operation in this recording", err=True)


def _json(operation: "FileOperation", start: int) -> str:
    """One line of JSON; `start` is the session's (UNIX ns). Offsets and durations are seconds."""
    status, attributes = operation.status, operation.attributes
    lasted = None if operation.end is None else (operation.end - operation.start) / 1e6
    answer = None if status is None else {"code": status.code, "name": status.name, "message": _text(status.message)}
    return as_json(
        {
            "at": stamp(start + operation.start * 1000, "microseconds"),
            "offset": operation.start / 1e6,
            "duration": lasted,
            "stream": operation.stream,
            "operation": operation.kind,
            "path": _text(operation.path),
            "to": _text(operation.to),
            "bytes": operation.size,
            "complete": operation.complete,
            "status": answer,
            "known": operation.known,
            "protocol": operation.protocol,
            "entries": operation.entries,
            "flags": list(operation.flags),
            "attributes": None if attributes is None else attributes._asdict(),
        }
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
