"""`ssh-bulk`, `ssh-setup`: the same client straight to sshd and through the gateway, in turns."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.logs import colour_log
from bench.plan import Plan
from bench.report import Line, median, spread
from bench.rig import LIMIT_S, MIB, command, rig, write_random
from tests.servers.client import HOST, Client


def bulk(plan: Plan) -> Iterator[Line]:
    """Download and upload of random bytes, download of a colour log; CPU time of the gateway for each GB."""
    with rig() as servers:
        random = servers.files / "random"
        write_random(random, plan.of(4 * MIB, 512 * MIB))
        log = servers.files / "log"
        log.write_bytes(colour_log(plan.of(2 * MIB, 256 * MIB)))
        cases = (
            ("download, random", random, False, ">= 0.60", "<= 2.0 s/GB"),
            ("upload, random", random, True, ">= 0.60", "<= 2.0 s/GB"),
            ("download, colour log", log, False, "", "<= 4.5 s/GB"),
        )
        for name, path, up, reach, cpu_reach in cases:
            size = path.stat().st_size
            _transfer(servers.direct, path, up)
            _transfer(servers.ours, path, up)
            direct, ours, cpu = [], [], []
            for _ in range(plan.rounds):
                direct.append(size / 1e6 / _transfer(servers.direct, path, up))
                before = servers.cpu()
                ours.append(size / 1e6 / _transfer(servers.ours, path, up))
                cpu.append((servers.settled() - before) / (size / 1e9))
                servers.tidy()
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
                extra={"cpu_s_per_gb": median(cpu), "peak_mib": servers.peak()},
            )


def _transfer(client: Client, path: Path, up: bool) -> float:
    """Seconds that `ssh` takes to move the file's bytes one way."""
    whole, source = (command(client, "cat > /dev/null"), path) if up else (command(client, f"cat {path}"), None)
    with (source or Path(os.devnull)).open("rb") as stdin:
        begin = time.perf_counter()
        subprocess.run(whole, stdin=stdin, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT_S)
        return time.perf_counter() - begin


def setup(plan: Plan) -> Iterator[Line]:
    """Time of `ssh HOST true`, from start to exit."""
    with rig() as servers:
        direct, ours = [], []
        for number in range(plan.rounds * plan.of(1, 4) + 1):
            times = [_run_true(client) for client in (servers.direct, servers.ours)]
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
    whole = client.command("ssh", "-q", f"{client.user}@{HOST}", "true")
    begin = time.perf_counter()
    subprocess.run(whole, stdin=subprocess.DEVNULL, check=True, timeout=LIMIT_S)
    return (time.perf_counter() - begin) * 1e3
