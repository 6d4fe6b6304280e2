"""`tacho rec`: records a local terminal to a tape, without a gateway; it enters no catalogue."""

import os
import pwd
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import platformdirs

from recorder import __version__
from recorder.cli.verb import USAGE, Failure
from recorder.safe import printable, quoted

if TYPE_CHECKING:
    from recorder.protocols.local import Ending, LocalTape, Outer, Wake

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells have it


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-o", "output", metavar="FILE", type=click.Path(path_type=Path), help="Where to, else ./SESSION.tape.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- CMD…]")
def rec(output: Path | None, command: tuple[str, ...]) -> None:
    """Record a terminal of this machine to a tape: CMD, else your shell. Ends with its exit status."""
    from recorder.format import store
    from recorder.protocol import Broken
    from recorder.protocols.local import LocalTape, Outer, SignerError, Wake, signer

    now = time.time_ns()
    session = store.new_session_id(now)
    path = output or Path(f"{session}{store.SUFFIX}")
    if str(path) == "-":
        raise Failure("a tape cannot be written to a pipe: name a file with -o", USAGE)
    try:
        key = signer(platformdirs.user_config_path("tachograph"), f"{_user()}@{socket.gethostname()}")
    except SignerError as error:
        raise Failure(str(error)) from None
    outer = Outer()  # before any file is opened: it sees to it that none is taken for a closed standard input
    mask = os.umask(0o077)  # a tape holds what was typed, passwords included
    try:
        tape = LocalTape(path, session, now, key)
        store.sync_folder(path.parent)
    except FileExistsError:
        raise Failure(f"{_shown(path)} exists already: name another file with -o, or remove it") from None
    except OSError as error:
        raise Failure(f"cannot write {_shown(path)}: {error.strerror}; name another file with -o") from None
    finally:
        os.umask(mask)
    try:
        with Wake() as wake:
            if not command and os.isatty(0):
                click.echo(f"tacho: recording to {_shown(path)} until the shell ends", err=True)
            ending = _record(tape, outer, wake, command)
    except Broken as error:
        raise Failure(str(error)) from None
    click.echo(f"tacho: recorded {_shown(path)}: {ending.reason}; see `tacho play {_argument(path)}`", err=True)
    sys.exit(ending.status)


def _record(tape: "LocalTape", outer: "Outer", wake: "Wake", command: Sequence[str]) -> "Ending":
    """Runs `command`, or the shell, with `tape` between it and `outer`. Failure when it cannot be started, Broken."""
    from recorder.protocols.local import Program, begin, relay

    arguments = list(command) or [os.environ.get("SHELL") or "/bin/sh"]
    size = outer.size
    tape.open(_facts())
    begin(tape, size, os.environ.get("TERM", ""), os.fsencode(shlex.join(command)) if command else None)
    try:
        program = Program(arguments, size, outer.modes)
    except (OSError, ValueError) as error:
        tape.discard()
        why = error.strerror if isinstance(error, OSError) else error
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        raise Failure(f"cannot start {quoted(arguments[0])}: {why}; name a program that is there", code) from None
    try:
        with outer:
            ending = relay(program, outer, tape, wake)
    finally:
        program.close()
    tape.close(ending.reason)
    return ending


def _facts() -> dict[str, object]:
    """The open frame: who sits at this terminal, as the system knows it."""
    from recorder.format import store

    user, host = _user(), socket.gethostname()
    return {
        "agent": user,
        "run": store.new_session_id(time.time_ns()),
        "client": "local",
        "sources": dict.fromkeys(("agent", "run", "client"), "observed"),
        "protocol": "local",
        "target": host,
        "login": user,
        "gateway_version": __version__,
        "gateway": host,
    }


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())  # an account that no list has, as in many containers


def _shown(path: Path) -> str:
    return printable(str(path))


def _argument(path: Path) -> str:
    """The path as an argument that no verb takes for a session's ID."""
    text = str(path)
    return printable(shlex.quote(text if "/" in text or text.endswith(".tape") else f"./{text}"))
