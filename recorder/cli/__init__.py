"""The gateway's and the administrator's verbs, a file each. Heavy imports happen inside the verb that needs them."""

import click

from recorder.cli.control import asked
from recorder.cli.doctor import doctor
from recorder.cli.gateway import gateway
from recorder.cli.init import init
from recorder.cli.kill import kill
from recorder.cli.rec import rec
from recorder.cli.verb import (
    ERROR,
    FINDINGS,
    FORBIDDEN,
    INTEGRITY,
    NOT_FOUND,
    OK,
    USAGE,
    Failure,
    configuration,
    configured,
)

__all__ = [
    "COMMANDS",
    "ERROR",
    "FINDINGS",
    "FORBIDDEN",
    "INTEGRITY",
    "NOT_FOUND",
    "OK",
    "USAGE",
    "Failure",
    "asked",
    "configuration",
    "configured",
]

COMMANDS: tuple[click.Command, ...] = (init, gateway, doctor, kill, rec)
