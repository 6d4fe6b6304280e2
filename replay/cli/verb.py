"""What the reviewer's verbs share: their configuration, their errors in one sentence, their colours."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import click

from recorder.catalogue.sqlite import CatalogueError
from recorder.cli import INTEGRITY, NOT_FOUND, USAGE, Failure, configuration, configured
from recorder.config import Config, find
from recorder.model import Handling, Session
from recorder.safe import printable
from replay import recording
from replay.cli.custody import enter
from replay.recording import NotFound, Recording, RecordingError
from replay.recording.find import is_path, look_up, of_session

__all__ = ["INTEGRITY", "NOT_FOUND", "USAGE", "Failure", "colour", "entered", "opened", "optional", "reviewing"]

_Arguments = ParamSpec("_Arguments")


def reviewing(command: Callable[Concatenate[Path | None, _Arguments], None]) -> Callable[..., None]:
    """Makes a verb of a function of the configuration's path: adds --config and --debug, and puts errors in words."""

    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    @configured
    @wraps(command)
    def verb(config_file: Path | None, debug: bool, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        if debug:
            sys.excepthook = sys.__excepthook__
            command(config_file, *args, **kwargs)
            return
        try:
            command(config_file, *args, **kwargs)
        except NotFound as error:
            raise Failure(str(error), NOT_FOUND) from None
        except (RecordingError, CatalogueError) as error:
            raise Failure(str(error)) from None
        except BrokenPipeError:
            # The reader has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:
            where = printable(str(error.filename or "a file"))
            raise Failure(f"cannot read or write {where}: {error.strerror or error}") from None

    return verb


def optional(named: Path | None) -> Config | None:
    """The configuration, for verbs that can do without: None when none was named and there is none."""
    if named is None and not find(None, os.environ).exists():
        return None
    return configuration(named)


def opened(what: str, named: Path | None, action: Handling = Handling.VIEWED, **detail: str | int | None) -> Recording:
    """The recording that an argument names: a tape by its path; or a session by its ID, as `entered` opens it."""
    if is_path(what):
        return recording.open(what, optional(named))
    config = configuration(named)
    return entered(look_up(what, config), config, action, **detail)


def entered(
    session: Session, config: Config, action: Handling = Handling.VIEWED, **detail: str | int | None
) -> Recording:
    """The recording of a row of the catalogue, once the custody table says that this person does `action` with it."""
    found = of_session(session, config)
    try:
        enter(config, action, session.id, **detail)
    except BaseException:
        found.close()
        raise
    return found


def colour(text: str, **style: bool | str) -> str:
    """`text` in a style where the output is a terminal and NO_COLOR is not set; it must be printable."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, **style)  # type: ignore[arg-type] # click types each keyword by itself
