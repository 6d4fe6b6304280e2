"""What the verbs share: exit codes, errors in one sentence, how they find the configuration."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from recorder.config import Config, ConfigError, find, load

OK, ERROR, USAGE, NOT_FOUND, INTEGRITY, FINDINGS, FORBIDDEN = range(7)

_Command = TypeVar("_Command", bound=Callable[..., object])


class Failure(click.ClickException):
    """Ends a verb with one sentence on stderr and an exit code."""

    def __init__(self, message: str, code: int = ERROR) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = code  # click declares it on the class, for all its errors alike

    def show(self, file: object = None) -> None:
        """Prints the sentence."""
        click.echo(f"tacho: {self.message}", err=True)


def configured(command: _Command) -> _Command:
    """Adds --config to a verb."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The configuration file (else TACHO_CONFIG, ./tachograph.toml, the user's configuration folder).",
    )(command)


def configuration(named: Path | None) -> Config:
    """The configuration that --config and the environment lead to; Failure when it cannot be used."""
    try:
        return load(find(named, os.environ))
    except ConfigError as error:
        raise Failure(str(error)) from None
