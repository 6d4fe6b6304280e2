"""The one group of all verbs. It starts quickly: what is heavy is imported by the verb that needs it."""

import click

from recorder import __version__
from recorder.cli import COMMANDS
from replay.cli.evidence import export, verify
from replay.cli.files import files
from replay.cli.library import ls
from replay.cli.review import cmds, play, show
from replay.cli.screen import screen
from replay.cli.watch import watch


@click.group(invoke_without_command=True)
@click.version_option(__version__, prog_name="tacho")
@click.pass_context
def tacho(context: click.Context) -> None:
    """The flight recorder for autonomous agents: a recording gateway, and a reviewer in the terminal."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (*COMMANDS, ls, show, cmds, files, screen, play, watch, verify, export):
    tacho.add_command(command)
