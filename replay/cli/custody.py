"""Enters into the custody table who looked at, or copied, which session: before anything of it is shown.

The gateway writes the entry while it runs, and its user where none does. Never reads a tape.
"""

import os
import sqlite3
import time

import click

from recorder.catalogue.custody import add_directly
from recorder.cli import asked
from recorder.config import Config
from recorder.model import Custody, Handling
from recorder.safe import printable

_DEEDS = {Handling.VIEWED: "viewing", Handling.REVEALED: "revealing", Handling.EXPORTED: "export"}


def enter(config: Config, action: Handling, session: str, **detail: str | int | None) -> None:
    """Enters that this person did `action` with a session; `detail` says more.

    Failure (exit 6) when the gateway that runs here does not allow it, and when it cannot make the entry.
    """
    from recorder.control_client import NoGateway

    try:
        asked(config, action.value, session=session, detail=detail)
    except NoGateway:
        _enter_directly(config, action, session, detail)


def _enter_directly(config: Config, action: Handling, session: str, detail: dict[str, str | int | None]) -> None:
    from recorder import rights

    uid = os.geteuid()
    try:
        if config.catalogue.stat().st_uid != uid:
            click.echo(f"tacho: no gateway runs: this {_DEEDS[action]} leaves no custody entry", err=True)
            return
        person = rights.known_here(config.persons, config.agents, config.path).of(uid).person or rights.account(uid)
        add_directly(config.catalogue, Custody(0, time.time_ns(), person, uid, action, session, detail))
    except (OSError, sqlite3.Error) as error:
        # The medium may be read-only. Whoever has the files has the contents: refusing would protect nothing.
        click.echo(f"tacho: cannot write a custody entry to {config.catalogue}: {printable(str(error))}", err=True)
