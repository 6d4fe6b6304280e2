"""`tacho gateway`: serves until it is told to stop."""

import gc
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recorder.cli.verb import Failure, configuration, configured
from recorder.config import ConfigError, guard

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_UMASK = 0o027  # at least: the group may read the tapes, nobody else may write anything


@click.command()
@configured
@click.option("--grace", type=click.FloatRange(0), default=30.0, help="Seconds that sessions get to end at SIGTERM.")
@click.option("--debug", is_flag=True, help="Log in detail; show tracebacks.")
def gateway(config_file: Path | None, grace: float, debug: bool) -> None:
    """Serve agents until SIGTERM. Prints `ready PROTOCOL ADDRESS` for each listener."""
    import asyncio

    from recorder.catalogue.sqlite import CatalogueError
    from recorder.control import ControlError
    from recorder.gateway import StartError, serve

    config = configuration(config_file)
    try:
        guard.check_gateway(config)
    except ConfigError as error:
        raise Failure(str(error)) from None
    os.umask(os.umask(_UMASK) | _UMASK)
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
    except* (StartError, CatalogueError, ControlError) as errors:
        if debug:
            raise
        raise Failure(str(errors.exceptions[0])) from None


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None  # where there is no uvloop, asyncio's own loop serves
    return uvloop.new_event_loop
