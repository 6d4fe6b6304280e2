"""`tacho verify` and `tacho export`: whether a recording is what was written, and copies in other formats."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from recorder.cli import configuration
from recorder.config import Config
from recorder.model import Handling, Head
from recorder.safe import printable
from replay.cli.verb import INTEGRITY, Failure, colour, opened, optional, reviewing
from replay.export import FORMATS
from replay.recording.find import catalogue_of, is_path, look_up, paths_at, tapes_of

_KEY_LIMIT = 4096


@click.command()
@click.argument("what", metavar="ID|TAPE")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The gateway's public key (keys/gateway.pub), from a source that you trust.",
)
@reviewing
def verify(config_file: Path | None, what: str, key_file: Path | None) -> None:
    """Say whether a recording is complete and unchanged; exit 4 when it is not."""
    from replay.recording.verify import verify as verified
    from replay.recording.words import words

    config = optional(config_file) if is_path(what) else configuration(config_file)
    paths, session = _named(what, config)
    key = _key(key_file) if key_file is not None else _own_key(config, paths)
    heads = _heads(config, session or _session_at(paths))
    report = verified(paths, session=session, heads=heads, key=key)
    wrong = len(report.faults)
    for number, line in enumerate(words(report)):
        style = {"fg": "red" if wrong else "green", "bold": True} if number < max(wrong, 1) else {}
        click.echo(colour(line, **style) if style else line)
    if wrong:
        raise SystemExit(INTEGRITY)


def _named(what: str, config: Config | None) -> tuple[list[Path], str | None]:
    """The files, and the session that all of them must be of, where that is known."""
    if config is None or is_path(what):
        path = Path(what).resolve()
        paths = paths_at(path)
        folder = paths[0].parent.name
        return paths, folder if _is_session(folder) and paths[0].stem.isdigit() else None
    session = look_up(what, config)
    paths = tapes_of(session, config)
    if not paths:
        text = f"tail missing: the catalogue knows session {printable(session.id)}, its tape is not there"
        raise Failure(text, INTEGRITY)
    return paths, session.id


def _is_session(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _session_at(paths: list[Path]) -> str | None:
    from recorder.format.reader import SegmentReader, UnreadableTape

    try:
        segment = SegmentReader(paths[0])
    except UnreadableTape:
        return None
    segment.close()
    return segment.header.session


def _heads(config: Config | None, session: str | None) -> list[tuple[Head, bool]] | None:
    if config is None or session is None or not config.catalogue.exists():
        return None
    catalogue = catalogue_of(config)
    try:
        return catalogue.heads(session)
    finally:
        catalogue.close()


def _own_key(config: Config | None, paths: list[Path]) -> bytes | None:
    """The public key of the gateway that is configured here, for tapes in its library: others it need not have made."""
    if config is None or not all(path.is_relative_to(config.tapes.resolve()) for path in paths):
        return None
    path = config.keys / "gateway.pub"
    return _key(path) if path.exists() else None


def _key(path: Path) -> bytes:
    """The raw public key in a file: a verifier key as `tacho init` writes it, or the key's 32 bytes."""
    from recorder.tree import NoteError, parse_verifier_key

    with path.open("rb") as file:
        content = file.read(_KEY_LIMIT)
    if len(content) == 32:
        return content
    try:
        return parse_verifier_key(content.decode())[1]
    except (NoteError, UnicodeDecodeError) as error:
        why = error if isinstance(error, NoteError) else "not text"
        where = printable(str(path))
        raise Failure(f"{where} holds no gateway's key ({why}): name the keys/gateway.pub of the gateway") from None


@click.command()
@click.argument("what", metavar="ID")
@click.option("--as", "form", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("-o", "output", metavar="FILE", required=True, help="Where to; - is the standard output.")
@click.option("--stream", type=click.IntRange(1), help="One channel only, by its number on the tape.")
@reviewing
def export(config_file: Path | None, what: str, form: str, output: str, stream: int | None) -> None:
    """Write a session in another format."""
    with opened(what, config_file, Handling.EXPORTED, format=form) as recording:
        pieces = FORMATS[form]()(recording, stream)
        first = next(pieces, "")  # says that there is nothing to export before a file is touched
        with _written(output) as file:
            file.write(first)
            file.writelines(pieces)


@contextmanager
def _written(output: str) -> Iterator[TextIO]:
    """The file to write: it takes its name only when it is whole."""
    if output == "-":
        yield sys.stdout
        return
    path = Path(output)
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
