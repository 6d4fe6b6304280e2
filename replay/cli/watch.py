"""`tacho watch`: a live session as it goes on, in the player; without a terminal as a transcript that grows."""

import io
import select
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from recorder.cli import configuration
from recorder.config import Config
from recorder.model import Session, State
from recorder.safe import printable
from replay.cli.verb import NOT_FOUND, Failure, entered, opened, reviewing
from replay.recording import Recording
from replay.recording.find import NEWEST, catalogue_of, is_path, look_up, tapes_of
from replay.recording.present import as_it_is

_LOOK_S = 0.1
_QUIET_S = 1.0  # after which the lines on a terminal's screen are told, though they may still change
_PATIENCE_S = 1.0  # a writer that goes on in a new segment first lets go of the old one
_BEGIN_S = 2.0  # a session is in the catalogue a moment before its tape is there
_INTERRUPTED = 130  # as a shell has it for a program that SIGINT ended


@click.command()
@click.argument("what", metavar="ID")
@click.option("--plain", is_flag=True, help="Print the transcript as it grows, as without a terminal.")
@reviewing
def watch(config_file: Path | None, what: str, plain: bool) -> None:
    """Follow a live session until it ends: in the player, or without a terminal as a transcript that grows.

    The newest live session is `latest`. Ctrl-C ends the transcript with exit code 130.
    """
    try:
        with _live(what, config_file) as recording:
            if plain or not sys.stdout.isatty() or not sys.stdin.isatty():
                _print(recording)
                return
            from replay import tui

            tui.watch(recording)
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None


def _live(what: str, config_file: Path | None) -> Recording:
    """The recording of a live session; Failure when it is not live."""
    if is_path(what):
        recording = opened(what, config_file)
        state = recording.state
        if state is not State.LIVE:
            recording.close()
            raise _not_live(what, state)
        return recording
    config = configuration(config_file)
    row = (_newest(config) if what in NEWEST else None) or look_up(what, config)
    session = _begun(row, config)
    if session.state is not State.LIVE:
        raise _not_live(session.id, session.state)
    return entered(session, config)


def _newest(config: Config) -> Session | None:
    """The newest session that is live; None when none is."""
    catalogue = catalogue_of(config)
    try:
        rows = catalogue.sessions(state=State.LIVE.value)
        return next((row for row in rows if as_it_is(row, config).state is State.LIVE), None)
    finally:
        catalogue.close()


def _begun(row: Session, config: Config) -> Session:
    """The session as it is, once its tape is there."""
    end = time.monotonic() + _BEGIN_S
    while row.state is State.LIVE and not tapes_of(row, config) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    return as_it_is(row, config)


def _not_live(name: str, state: State) -> Failure:
    shown = printable(name)
    return Failure(f"{shown} is not live but {state.value}: see it with `tacho play {shown}`", NOT_FOUND)


def _print(recording: Recording) -> None:
    """Prints the transcript until the session ends; Failure when its gateway leaves it unclosed."""
    from replay.export.txt import header, lines
    from replay.recording.follow import Follower
    from replay.transcript import Entry, Reading, damaged

    def tell(entries: Iterable[Entry]) -> None:
        for entry in entries:
            for line in lines(entry):
                click.echo(line.text)

    follower, reading = Follower(recording), Reading(recording)
    for text in header(recording.session):
        click.echo(text)
    click.echo()
    came = lost = time.monotonic()
    quiet = True
    while True:
        recording.refresh()
        state, now = recording.state, time.monotonic()
        for frame in follower.frames():
            tell(reading.take(frame))
            came, quiet = now, False
        tell(reading.lines())
        if not quiet and now - came > _QUIET_S:
            tell(reading.screens())
            quiet = True
        if state is State.LIVE:
            lost = now
        elif state is not State.UNCLOSED or now - lost > _PATIENCE_S:
            break
        _wait()
    tell(reading.finish())
    tell(damaged(recording))
    if state is State.UNCLOSED:
        shown = printable(recording.id)
        raise Failure(f"nobody writes session {shown} any more, and it was not closed: see `tacho verify {shown}`")


def _wait() -> None:
    """Waits for the next look; BrokenPipeError when nobody reads the output any more."""
    try:
        output = sys.stdout.fileno()
    except io.UnsupportedOperation:
        time.sleep(_LOOK_S)  # it is no file
        return
    waiting = select.poll()
    waiting.register(output, 0)  # an error is told without being asked for
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in waiting.poll(_LOOK_S * 1000)):
        raise BrokenPipeError
