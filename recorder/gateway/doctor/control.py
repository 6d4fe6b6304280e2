"""The gateway that runs on the data folder: is there one, does it answer, is it of this version? Only asks."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from recorder import __version__
from recorder.gateway.doctor.finding import Finding, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.safe import printable

_ABOUT = "gateway"


def check(setup: Setup) -> Iterator[Finding]:
    """What the control socket and the lock of the data folder say."""
    running, config = setup.running, setup.config
    if running.pid is not None:
        who = f"the gateway that runs, process {running.pid},"
        if running.version != __version__:
            what = f"{who} is of version {printable(running.version, limit=32)}, and this is {__version__}"
            yield warn(_ABOUT, f"{what}: restart it")
        else:
            yield ok(_ABOUT, f"{who} answers on {config.socket}")
    elif running.locked:
        yield _silent(setup)
    elif running.refusal:
        yield warn(_ABOUT, running.refusal)
    elif running.socket:
        what = f"none runs, and one that did not stop cleanly left {config.socket}"
        yield warn(_ABOUT, f"{what}: the next start replaces it, run `{setup.start()}`")
    else:
        yield ok(_ABOUT, f"none runs on {config.data}; start it with `{setup.start()}`")


def _silent(setup: Setup) -> Finding:
    running, config = setup.running, setup.config
    holder = running.holder
    if holder is None or not Path("/proc", str(holder)).exists():
        what = f"a gateway that was killed left a process that still writes tapes in {config.data}"
        return warn(_ABOUT, f"{what}: wait a moment, and run `tacho doctor` again")
    why = f" ({running.refusal})" if running.refusal else ""
    what = f"process {holder} works on {config.data} and does not answer on {shlex.quote(str(config.socket))}{why}"
    return wrong(_ABOUT, f"{what}: wait until it has started, else read its log and run `kill {holder}`")
