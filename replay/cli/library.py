"""`tacho ls`: the sessions that the catalogue knows, as a table or as JSON lines."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from recorder.cli import configuration
from recorder.model import Session, State
from recorder.safe import quoted
from replay.cli.form import amount, cell, lasting, session_json
from replay.cli.verb import colour, reviewing
from replay.recording.clock import stamp
from replay.recording.find import SHORT, catalogue_of
from replay.recording.present import as_it_is

_AGO = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800}
_STATES = {State.LIVE: "green", State.UNCLOSED: "red", State.RECOVERED: "yellow"}
_COLUMNS = (("ID", SHORT), ("WHEN", 20), ("LASTED", 8), ("AGENT", 16), ("FOR", 12), ("TARGET", 20), ("IN/OUT", 11))


@click.command()
@click.option("--agent", metavar="GLOB", help="Sessions of these agents.")
@click.option("--for", "person", metavar="GLOB", help="Sessions on behalf of these persons.")
@click.option("--target", metavar="GLOB", help="Sessions on these targets.")
@click.option("--run", metavar="RUN", help="Sessions of this run.")
@click.option("--request", metavar="URL", help="Sessions for this request.")
@click.option("--since", metavar="WHEN", help="Begun at or after: an RFC 3339 time, a date, or 90m, 2h, 3d ago.")
@click.option("--until", metavar="WHEN", help="Begun before.")
@click.option("--tag", metavar="TAG", help="Sessions with this tag.")
@click.option("--protocol", metavar="GLOB", help="Sessions of this protocol.")
@click.option("--verdict", metavar="VERDICT", help="Sessions with at least one: allowed, denied, masked, asked.")
@click.option("--unattributed", is_flag=True, help="Sessions that no person and no request stands behind.")
@click.option("--json", "as_lines", is_flag=True, help="One JSON document a line.")
@reviewing
def ls(
    config_file: Path | None,
    agent: str | None,
    person: str | None,
    target: str | None,
    run: str | None,
    request: str | None,
    since: str | None,
    until: str | None,
    tag: str | None,
    protocol: str | None,
    verdict: str | None,
    unattributed: bool,
    as_lines: bool,
) -> None:
    """List the sessions, newest first."""
    config = configuration(config_file)
    catalogue = catalogue_of(config)
    found = catalogue.sessions(
        agent=agent,
        on_behalf_of=person,
        target=target,
        run=run,
        request=request,
        since=_time("--since", since),
        until=_time("--until", until),
        tag=tag,
        protocol=protocol,
        verdict=verdict,
        unattributed=unattributed,
    )
    number = 0
    for number, row in enumerate(found, 1):
        session = as_it_is(row, config)
        if as_lines:
            click.echo(session_json(session))
            continue
        if number == 1:
            click.echo(colour(" ".join(cell(name, width) for name, width in _COLUMNS) + " STATE", bold=True))
        click.echo(_row(session))
    catalogue.close()
    if number == 0:
        click.echo("tacho: no session answers to this", err=True)


def _row(session: Session) -> str:
    who = session.attribution
    lasted = "" if session.ended is None else lasting((session.ended - session.started) // 1000)
    crossed = f"{amount(session.bytes_in)}/{amount(session.bytes_out)}"
    if session.state is State.LIVE:
        crossed = amount(session.size)
    values = (
        session.id[-SHORT:],
        stamp(session.started, "seconds"),
        lasted,
        who.agent,
        who.on_behalf_of or "-",
        f"{session.login}@{session.target}",
        crossed,
    )
    cells = [cell(value, width) for value, (_, width) in zip(values, _COLUMNS, strict=True)]
    state = colour(session.state.value, fg=_STATES[session.state]) if session.state in _STATES else session.state.value
    return f"{' '.join(cells)} {state}"


def _time(option: str, text: str | None) -> int | None:
    """UNIX ns of what a person wrote for a time."""
    if text is None:
        return None
    if match := _AGO.fullmatch(text):
        return time.time_ns() - int(match[1]) * _UNITS[match[2]] * 1_000_000_000
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or (when.tzinfo is None and len(text) > len("2026-01-01")):
        mend = "write 2026-01-31, 2026-01-31T12:00:00Z, or 2d"
        raise click.BadParameter(f"{quoted(text, 64)} is no time: {mend}", param_hint=option)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000) * 1000
