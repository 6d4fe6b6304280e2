"""`ssh-echo`: how long a key takes through a terminal, alone and while another connection moves as much as it can."""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import process
from bench.plan import Plan
from bench.report import Line, median, percentile, spread
from bench.rig import LIMIT_S, MIB, Rig, arguments, command, rig, write_random
from tests.servers.client import Client, Running
from tests.servers.process import ServerError

_WARM = 10
_PAUSE_S = (0.002, 0.01)  # between keys: one after the other would hold the transfer back, and not meet it at random
_FLOWING = 4 * MIB  # bytes that came when a transfer counts as begun
_LOOK_S = 0.02
_WANTED = (50, 90, 99)


def echo(plan: Plan) -> Iterator[Line]:
    """Round trip of one key at a time."""
    with rig() as servers:
        payload = servers.files / "random"
        write_random(payload, plan.of(8, 64) * MIB)
        for name, beside, reach in (("alone", None, "<= 1"), ("beside a download", payload, "<= 3")):
            yield from _case(servers, plan, name, beside, reach)


def _case(servers: Rig, plan: Plan, name: str, beside: Path | None, reach: str) -> Iterator[Line]:
    direct: list[list[float]] = []
    ours: list[list[float]] = []
    speeds: list[float] = []
    for _ in range(plan.rounds):
        for client, times in ((servers.direct, direct), (servers.ours, ours)):
            with _download(client, beside) as moved:
                before, begin = moved(), time.perf_counter()
                times.append(_echoes(client, plan.of(20, 150)))
                speeds.append((moved() - before) / 1e6 / (time.perf_counter() - begin))
        servers.tidy()
    for share in _WANTED:
        mine = [percentile(times, share) for times in ours]
        theirs = [percentile(times, share) for times in direct]
        yield Line(
            "ssh-echo",
            f"one key, {name}, p{share}",
            median(mine),
            "ms",
            direct=median(theirs),
            ratio=median(mine) / median(theirs),
            reach=reach if share == _WANTED[0] else "",
            spread=spread(mine),
        )
    if beside is not None:
        mine, theirs = speeds[1::2], speeds[::2]
        yield Line("ssh-echo", "… the download", median(mine), "MB/s", direct=median(theirs), spread=spread(mine))


def _echoes(client: Client, count: int) -> list[float]:
    """Milliseconds of `count` round trips, with pauses between them."""
    with client.start(*arguments(client, "stty raw -echo; echo ready; exec cat", "-tt")) as ssh:
        _await(ssh, b"ready\n")
        for _ in range(_WARM):
            _key(ssh)
        chance = random.Random(5)
        times = []
        for _ in range(count):
            time.sleep(chance.uniform(*_PAUSE_S))
            times.append(_key(ssh))
        return times


def _key(ssh: Running) -> float:
    begin = time.perf_counter()
    if ssh.stdin is not None:
        os.write(ssh.stdin.fileno(), b"x")
    _await(ssh, b"x")
    return (time.perf_counter() - begin) * 1e3


def _await(ssh: Running, expected: bytes) -> None:
    got = b""
    while ssh.stdout is not None and got != expected:
        piece = os.read(ssh.stdout.fileno(), len(expected) - len(got))
        if not piece:
            raise ServerError(f"the terminal ended after {got!r}")
        got += piece


@contextlib.contextmanager
def _download(client: Client, path: Path | None) -> Iterator[Callable[[], int]]:
    """A transfer without end on a connection of its own, which has begun; yields what tells its bytes so far."""
    if path is None:
        yield lambda: 0
        return
    whole = command(client, f"while cat {path}; do :; done")
    with subprocess.Popen(whole, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as ssh:
        try:
            end = time.monotonic() + LIMIT_S
            while process.moved(ssh.pid) < _FLOWING and time.monotonic() < end:
                time.sleep(_LOOK_S)
            yield lambda: process.moved(ssh.pid)
        finally:
            ssh.kill()
