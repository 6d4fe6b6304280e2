"""`tacho gateway`: serves until it is told to stop."""

import gc
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recorder.cli.verb import Failure, configuration, configured

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


@click.command()
@configured
@click.option("--grace", type=click.FloatRange(0), default=30.0, help="Seconds that sessions get to end at SIGTERM.")
@click.option("--debug", is_flag=True, help="Log in detail; show tracebacks.")
def gateway(config_file: Path | None, grace: float, debug: bool) -> None:
    """Serve agents until SIGTERM. Prints `ready PROTOCOL ADDRESS` for each listener."""
    import asyncio

    from recorder.catalogue.sqlite import CatalogueError
    from recorder.gateway import StartError, serve

    config = configuration(config_file)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncssh").setLevel(logging.INFO if debug else logging.CRITICAL)
    # What is loaded by now stays: the collector need not look through it again and again while bytes flow.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config, grace, click.echo))
    except* (StartError, CatalogueError) as errors:
        if debug:
            raise
        raise Failure(str(errors.exceptions[0])) from None


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None  # where there is no uvloop, asyncio's own loop serves
    return uvloop.new_event_loop
