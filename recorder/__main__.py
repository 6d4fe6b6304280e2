"""`python -m recorder`: the gateway's verbs alone, for a machine that has no reviewer."""

import click

from recorder.cli import COMMANDS

if __name__ == "__main__":
    click.Group(commands=list(COMMANDS))(prog_name="tacho")
