"""`tape-write` and `tape-size`: the recording alone, without a connection."""

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.logs import colour_log
from bench.plan import Plan
from bench.report import Line, median, spread
from recorder.format import store
from recorder.format.frame import Kind
from recorder.format.spool import Spool

_MIB = 1 << 20


def tape_write(plan: Plan) -> Iterator[Line]:
    """Throughput and CPU time of recording: random bytes in 32 KiB, a colour log in 4 KiB writes."""
    cases = (
        ("random, 32 KiB writes", os.urandom(16 * _MIB), 32 * 1024, plan.of(4, 512) * _MIB),
        ("colour log, 4 KiB writes", colour_log(16 * _MIB), 4096, plan.of(4, 256) * _MIB),
    )
    for name, source, write, total in cases:
        _record(source, write, total // 4)
        runs = [_record(source, write, total) for _ in range(plan.rounds)]
        speeds = [total / 1e6 / seconds for seconds, _, _ in runs]
        cpu = median([cpu / (total / 1e9) for _, cpu, _ in runs])
        yield Line("tape-write", name, median(speeds), "MB/s", spread=spread(speeds), cpu=f"{cpu:.2f} s/GB")


def tape_size(_plan: Plan) -> Iterator[Line]:
    """Stored size over bytes that crossed."""
    log = colour_log(16 * _MIB)
    cases = (
        ("colour log, 4 KiB writes", log, 4096, 16 * _MIB, "<= 0.20"),
        ("colour log, 64 B writes", log, 64, 8 * _MIB, "<= 0.35"),
        ("random bytes, 32 KiB writes", os.urandom(16 * _MIB), 32 * 1024, 64 * _MIB, "<= 1.01"),
    )
    for name, source, write, total, reach in cases:
        _, _, size = _record(source, write, total)
        yield Line("tape-size", name, size / total, "of raw", ratio=size / total, reach=reach)


def _record(source: bytes, write: int, total: int) -> tuple[float, float, int]:
    """Seconds, CPU seconds and stored bytes of recording `total` bytes of `source` in pieces of `write`."""
    with tempfile.TemporaryDirectory(prefix="tacho-bench-") as folder:
        return uvloop.run(_run(Path(folder), source, write, total))


async def _run(folder: Path, source: bytes, write: int, total: int) -> tuple[float, float, int]:
    spool = Spool(folder, folder / "journal", ("bench", Ed25519PrivateKey.generate()), asyncio.get_running_loop())
    now = time.time_ns()
    tape = spool.open(store.new_session_id(now), now)
    tape.append(Kind.OPEN, 0, {})
    await tape.barrier()
    cleared = asyncio.Event()
    tape.on_clear = cleared.set
    pieces = [source[at : at + write] for at in range(0, len(source) - write + 1, write)]
    before = _cpu_self()
    begin = time.perf_counter()
    for number in range(total // write):
        if not tape.clear:
            cleared.clear()
            await cleared.wait()
        tape.append(Kind.OUT, 1, pieces[number % len(pieces)])
        if number % 8 == 7:
            await asyncio.sleep(0)
    closed = await tape.close()
    seconds = time.perf_counter() - begin
    used = _cpu_self() - before
    children = _cpu_children()
    await asyncio.to_thread(spool.stop)
    return seconds, used + _cpu_children() - children, closed.size


def _cpu_self() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
