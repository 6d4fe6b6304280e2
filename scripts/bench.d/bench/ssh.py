"""`ssh-bulk`, `ssh-echo`, `ssh-setup`: the same client straight to sshd and through the gateway, in turns."""

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.logs import colour_log
from bench.report import Line, median, spread
from tests.servers.client import HOST, Client
from tests.servers.site import Site

if TYPE_CHECKING:
    import asyncssh

_MIB = 1 << 20
_BULK = 512 * _MIB
_LOG = 256 * _MIB
_CIPHER = ("-q", "-c", "aes128-gcm@openssh.com")
_ECHOES = 200
_LIMIT_S = 300
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Rig:
    """An sshd, a gateway before it, and a client for each way."""

    site: Site
    direct: Client
    ours: Client
    files: Path

    def cpu(self) -> float:
        """CPU seconds of the gateway and its scribe so far."""
        gateway = self.site.gateway
        return _cpu(gateway.pid) + _cpu(gateway.scribe)

    def peak(self) -> float:
        """Peak memory of the gateway and its scribe, MB."""
        gateway = self.site.gateway
        return (_peak(gateway.pid) + _peak(gateway.scribe)) / 1e3

    def tidy(self) -> None:
        """Deletes the tapes that were written, so that the disk does not fill."""
        for tape in self.site.gateway.tapes.rglob("*.tape"):
            tape.unlink()


@contextlib.contextmanager
def _rig() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="tacho-bench-") as name:
        folder = Path(name)
        site = Site(folder / "site")
        try:
            ours = site.client(folder / "ours", site.gateway)
            yield Rig(site, site.direct(folder / "direct"), ours, folder)
        finally:
            site.stop()


def bulk(rounds: int) -> Iterator[Line]:
    """Download and upload of random bytes, download of a colour log; CPU time of the gateway for each GB."""
    with _rig() as rig:
        random = rig.files / "random"
        _write_random(random, _BULK)
        log = rig.files / "log"
        log.write_bytes(colour_log(_LOG))
        cases = (
            ("download, random", random, False, ">= 0.50", "<= 3.0 s/GB"),
            ("upload, random", random, True, ">= 0.50", "<= 3.0 s/GB"),
            ("download, colour log", log, False, "", "<= 4.5 s/GB"),
        )
        for name, path, up, reach, cpu_reach in cases:
            size = path.stat().st_size
            _transfer(rig.direct, path, up)
            _transfer(rig.ours, path, up)
            direct, ours, cpu = [], [], []
            for _ in range(rounds):
                direct.append(size / 1e6 / _transfer(rig.direct, path, up))
                before = rig.cpu()
                ours.append(size / 1e6 / _transfer(rig.ours, path, up))
                cpu.append((_settled(rig) - before) / (size / 1e9))
                rig.tidy()
            ratios = [ours_speed / direct_speed for ours_speed, direct_speed in zip(ours, direct, strict=True)]
            yield Line(
                "ssh-bulk",
                name,
                median(ours),
                "MB/s",
                direct=median(direct),
                ratio=median(ratios),
                reach=reach,
                spread=spread(ratios),
                cpu=f"{median(cpu):.2f} s/GB ({cpu_reach})",
                extra={"cpu_s_per_gb": median(cpu), "peak_mb": rig.peak()},
            )


def _settled(rig: Rig) -> float:
    """The gateway's CPU time once it has nothing left to do for the transfer that just ended."""
    last = rig.cpu()
    while True:
        time.sleep(0.15)
        now = rig.cpu()
        if now - last < 2 / _TICKS:
            return now
        last = now


def _transfer(client: Client, path: Path, up: bool) -> float:
    """Seconds that `ssh` takes to move the file's bytes one way."""
    if up:
        command, source = client.command("ssh", *_CIPHER, f"{client.user}@{HOST}", "cat > /dev/null"), path
    else:
        command, source = client.command("ssh", *_CIPHER, f"{client.user}@{HOST}", f"cat {path}"), Path(os.devnull)
    with source.open("rb") as stdin:
        begin = time.perf_counter()
        subprocess.run(command, stdin=stdin, stdout=subprocess.DEVNULL, check=True, timeout=_LIMIT_S)
        return time.perf_counter() - begin


def setup(rounds: int) -> Iterator[Line]:
    """Time of `ssh HOST true`, from start to exit."""
    with _rig() as rig:
        direct, ours = [], []
        for number in range(rounds * 4 + 1):
            times = [_run_true(client) for client in (rig.direct, rig.ours)]
            if number:
                direct.append(times[0])
                ours.append(times[1])
        ratios = [mine / theirs for mine, theirs in zip(ours, direct, strict=True)]
        yield Line(
            "ssh-setup",
            "ssh HOST true",
            median(ours),
            "ms",
            direct=median(direct),
            ratio=median(ours) / median(direct),
            reach="<= 1.25",
            spread=spread(ratios),
        )


def _run_true(client: Client) -> float:
    command = client.command("ssh", "-q", f"{client.user}@{HOST}", "true")
    begin = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=_LIMIT_S)
    return (time.perf_counter() - begin) * 1e3


def echo(rounds: int) -> Iterator[Line]:
    """Round trip of one key through a terminal, alone and beside a bulk download on the same connection."""
    with _rig() as rig:
        payload = rig.files / "payload"
        _write_random(payload, 64 * _MIB)
        for name, beside in (("one key, alone", None), ("one key, beside a download", payload)):
            direct, ours = [], []
            for _ in range(rounds):
                direct.extend(asyncio.run(_echoes(rig.direct, beside)))
                ours.extend(asyncio.run(_echoes(rig.ours, beside)))
            yield Line(
                "ssh-echo",
                f"{name}, median",
                median(ours),
                "ms",
                direct=median(direct),
                ratio=median(ours) / median(direct),
                extra={
                    "p99_ms": sorted(ours)[len(ours) * 99 // 100],
                    "direct_p99_ms": sorted(direct)[len(direct) * 99 // 100],
                },
            )


async def _echoes(client: Client, beside: Path | None) -> list[float]:
    """Milliseconds of `_ECHOES` round trips, one after the other."""
    async with client.connect(encryption_algs=["aes128-gcm@openssh.com"]) as connection:
        process = await connection.create_process("stty raw -echo; echo ready; cat", term_type="xterm", encoding=None)
        await process.stdout.readuntil(b"ready")
        await process.stdout.read(1)
        bulk_task = None
        if beside is not None:
            bulk = await connection.create_process(f"cat {beside} {beside} {beside} {beside}", encoding=None)
            bulk_task = asyncio.create_task(_drain(bulk))
        times = []
        for _ in range(_ECHOES):
            begin = time.perf_counter()
            process.stdin.write(b"x")
            await process.stdout.readexactly(1)
            times.append((time.perf_counter() - begin) * 1e3)
        if bulk_task is not None:
            bulk_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await bulk_task
        return times[5:]


async def _drain(process: "asyncssh.SSHClientProcess[bytes]") -> None:
    while await process.stdout.read(1 << 16):
        pass


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // (4 * _MIB)):
            file.write(os.urandom(4 * _MIB))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
