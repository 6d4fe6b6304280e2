"""`tacho doctor`: what is wrong with a gateway's set-up, and the mend for each; it changes nothing."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recorder import __version__
from recorder.cli.verb import FINDINGS, Failure, configuration, configured
from recorder.config import find
from recorder.safe import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recorder.gateway.doctor import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "wrong": "red"}
_WIDTH = 5


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@configured
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def doctor(config_file: Path | None, as_json: bool, debug: bool) -> None:
    """Check configuration, keys, clock, disk, store, catalogue and targets; say the mend for each.

    Changes nothing. Exit 0 when nothing is wrong, 5 when something is.
    """
    import asyncio
    import logging

    from recorder.gateway.doctor import Level, examine, read

    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    if debug:
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    path = find(config_file, os.environ)
    try:
        found = read(path)
    except FileNotFoundError:
        configuration(path)
        raise
    findings = list(found.findings)
    if found.config is not None:
        findings += asyncio.run(examine(found.config, os.environ))
    counts = {level.value: sum(finding.level is level for finding in findings) for level in Level}
    if as_json:
        _print_json(path, findings, counts)
    else:
        _print(findings)
    if counts[Level.WRONG]:
        one = counts[Level.WRONG] == 1
        mend = "mend it" if one else "mend them from the top"
        what = f"{counts[Level.WRONG]} {'thing is' if one else 'things are'} wrong"
        raise Failure(f"{what}: {mend}, then run `tacho doctor` again", FINDINGS)


def _print(findings: "Sequence[Finding]") -> None:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for finding in findings:
        level = finding.level.value.ljust(_WIDTH)
        shown = click.style(level, fg=_COLOURS[finding.level.value]) if coloured else level
        click.echo(f"{shown}  {printable(finding.about)}: {printable(finding.text)}")


def _print_json(path: Path, findings: "Sequence[Finding]", counts: dict[str, int]) -> None:
    document = {
        "configuration": str(path),
        "version": __version__,
        **counts,
        "findings": [
            {"level": finding.level.value, "about": finding.about, "text": finding.text} for finding in findings
        ],
    }
    click.echo(json.dumps(document, indent=2))
