"""`tacho kill`: ends live sessions, by way of the gateway in which they run."""

from pathlib import Path

import click

from recorder.cli.control import asked
from recorder.cli.verb import Failure, configuration, configured
from recorder.safe import printable


@click.command()
@click.argument("part", metavar="[ID]", required=False)
@click.option("--run", metavar="RUN", help="All live sessions of this run.")
@click.option("--why", metavar="TEXT", default="", help="A word for the agent; it stays on the recording.")
@configured
def kill(config_file: Path | None, part: str | None, run: str | None, why: str) -> None:
    """End a live session at once. Its agent is told by whom; prints the IDs of what was ended."""
    from recorder.control_client import NoGateway

    if (part is None) == (run is None):
        raise click.UsageError("name one session by its ID, or a run with --run")
    config = configuration(config_file)
    try:
        answer = asked(config, "kill", id=part, run=run, why=why)
    except NoGateway:
        raise Failure(f"no gateway runs on {config.data}: no session of it is live") from None
    match answer.get("ended"):
        case list() as ended:
            for session in ended:
                click.echo(printable(str(session)))
