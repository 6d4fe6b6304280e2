"""`ssh-idle`: what a terminal session in which nothing happens costs in memory, and whether a transfer's stays flat."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench import process
from bench.logs import colour_log
from bench.plan import Plan
from bench.report import Line
from bench.rig import LIMIT_S, MIB, Rig, command, rig, write_random
from recorder.format import layout
from tests.servers.client import Client
from tests.servers.gateway import TargetEntry
from tests.servers.sshd import LOGIN, Sshd, public

if TYPE_CHECKING:
    import asyncssh

_WARM = 5  # sessions before the first look, so that what all share is counted for none
_AT_ONCE = 8  # sessions that are being opened
_LOOK_S = 0.05
_REACH = "<= 0.8, aim 0.3"
_IDLE_S = layout.CHUNK_US / 1e6 + 4  # by then the chunk that the opening began has ended


def idle(plan: Plan) -> Iterator[Line]:
    """Memory of gateway and scribe, by PSS: 0 sessions, then many, then none, then large transfers."""
    count = plan.of(4, 200)
    with rig() as servers, _crowd(servers, count) as crowded:
        yield from asyncio.run(_sessions(crowded, count, plan))
        yield _line("0 sessions again", sum(_memory(crowded)))
        # On the other gateway, whose heap no crowd has left large.
        payload = servers.files / "random"
        write_random(payload, plan.of(8, 256) * MIB)
        for name, up in (("download", False), ("upload", True)):
            yield from _transfer(servers, payload, name, up, plan.of(1, 1, 8))
            servers.tidy()


@contextlib.contextmanager
def _crowd(servers: Rig, count: int) -> Iterator[Rig]:
    """A gateway and an sshd that let as many sessions in."""
    site, folder = servers.site, servers.files / "crowd"
    folder.mkdir()
    most = str(count * 2 + 100)
    options = [f"MaxStartups {most}", f"MaxSessions {most}"]
    sshd = Sshd.start(folder / "sshd", [site.install.upstream, public(site.key)], options)
    target = TargetEntry("web-crowded", sshd.address, sshd.host_key, (LOGIN,))
    limits = "".join(f"{name} = {most}\n" for name in ("sessions_per_agent", "sessions_per_target", "unauthenticated"))
    try:
        gateway = site.start(folder / "gateway", target, extra=f"[limits]\n{limits}")
        try:
            yield Rig(site, servers.direct, site.client(folder / "ours", gateway, "web-crowded"), gateway, folder)
        finally:
            gateway.stop()
    finally:
        sshd.stop()


def _memory(servers: Rig) -> tuple[float, float]:
    gateway, scribe = map(process.memory, servers.processes)
    return gateway, scribe


async def _sessions(servers: Rig, count: int, plan: Plan) -> list[Line]:
    async with contextlib.AsyncExitStack() as few:
        await _open(servers.ours, few, _WARM)
    servers.settled()
    before = _memory(servers)
    lines = [_line("0 sessions", sum(before), gateway_mib=before[0], scribe_mib=before[1])]
    wait = plan.of(0, round(_IDLE_S))
    async with contextlib.AsyncExitStack() as many:
        terminals = await _open(servers.ours, many, count)
        lines += _each(servers, before, count, "just opened")
        await asyncio.sleep(wait)
        lines += _each(servers, before, count, "idle")
        size = plan.of(64, 256)
        await _use(terminals, size * 1024)
        await asyncio.sleep(wait)
        lines += _each(servers, before, count, f"idle after {size} KiB each way")
    servers.settled()
    return lines


def _each(servers: Rig, before: tuple[float, float], count: int, case: str) -> list[Line]:
    """What each of `count` sessions costs more than what there was before them, and which process how much of it."""
    servers.settled()
    gateway, scribe = ((now - then) / count for now, then in zip(_memory(servers), before, strict=True))
    return [
        _line(f"each of {count}, {case}", gateway + scribe, _REACH, gateway_mib=gateway, scribe_mib=scribe),
        _line("… of it the gateway", gateway),
        _line("… of it the scribe", scribe),
    ]


async def _use(terminals: "list[asyncssh.SSHClientProcess[bytes]]", size: int) -> None:
    """Sends `size` bytes of a log through each terminal and back."""
    turn = asyncio.Semaphore(_AT_ONCE)
    log = colour_log(size)

    async def one(terminal: "asyncssh.SSHClientProcess[bytes]") -> None:
        async with turn:
            terminal.stdin.write(log)
            await terminal.stdout.readexactly(size)

    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(one(terminal) for terminal in terminals))


async def _open(
    client: Client, stack: contextlib.AsyncExitStack, count: int
) -> "list[asyncssh.SSHClientProcess[bytes]]":
    """Opens so many connections, each with a terminal in which `cat` waits."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one() -> "asyncssh.SSHClientProcess[bytes]":
        async with turn:
            connection = await stack.enter_async_context(client.connect(encryption_algs=["aes128-gcm@openssh.com"]))
            made = await connection.create_process(
                "stty raw -echo; echo ready; exec cat", term_type="xterm", encoding=None
            )
            await made.stdout.readuntil(b"ready\n")
            return made

    async with asyncio.timeout(LIMIT_S):
        return list(await asyncio.gather(*(one() for _ in range(count))))


def _transfer(servers: Rig, path: Path, name: str, up: bool, times: int) -> Iterator[Line]:
    """Memory while `times` copies of a file cross: `moved` MiB and MiB of memory at each look."""
    size = path.stat().st_size * times
    for pid in servers.processes:
        process.forget_peak(pid)
    files = " ".join([str(path)] * times)
    remote = "cat > /dev/null" if up else f"cat {files}"
    looks: list[tuple[float, float]] = []
    with contextlib.ExitStack() as stack:
        source: int | IO[bytes] | None = subprocess.DEVNULL
        if up:
            source = stack.enter_context(subprocess.Popen(["cat", *files.split()], stdout=subprocess.PIPE)).stdout
        ssh = stack.enter_context(
            subprocess.Popen(command(servers.ours, remote), stdin=source, stdout=subprocess.DEVNULL)
        )
        while ssh.poll() is None:
            looks.append((process.moved(ssh.pid) / size, sum(_memory(servers))))
            time.sleep(_LOOK_S)
    early = [memory for share, memory in looks if share < 0.5]
    late = [memory for share, memory in looks if share >= 0.5]
    gib = f"{size / MIB:.0f} MiB"
    yield _line(f"{name} of {gib}, peak", max(early + late), resident_mib=servers.peak())
    if early and late:
        yield _line(f"{name} of {gib}, growth in its second half", max(late) - max(early), "flat")


def _line(case: str, mib: float, reach: str = "", **parts: float) -> Line:
    return Line("ssh-idle", case, mib, "MiB", reach=reach, extra=parts)
