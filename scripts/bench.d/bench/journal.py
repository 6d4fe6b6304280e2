"""`journal`: what a frame costs the gateway before its bytes go on, and what a sync of the journal saves."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.plan import Plan
from bench.report import Line, median, spread
from recorder.format import store
from recorder.format.frame import Kind
from recorder.format.journal import Journal, create
from recorder.format.spool import Spool

_SIZES = {20: "20 B", 200: "200 B", 1024: "1 KiB", 4096: "4 KiB", 32 * 1024: "32 KiB"}
_LIMITED = 4096  # bytes of a frame up to which the figure is promised
_BURST = 1024 * 1024  # bytes of frames, headers included, in one measured burst: shorter than a turn of the scheduler
_HEADER = 64
_MOST = 500  # frames of a burst
_WARM = 20  # bursts, which also map the whole ring once
_FEW = 20
_SESSIONS = 200
_SYNCED = 200  # bytes of a frame that is synced


def journaling(plan: Plan) -> Iterator[Line]:
    """µs a frame of the journal alone and of a tape's `append`, and milliseconds of a sync."""
    bursts = plan.of(1, 20) * plan.rounds
    with tempfile.TemporaryDirectory(prefix="tacho-bench-") as name, _journal(Path(name)) as memory:
        puts = _interleaved(memory, bursts)
        for size, times in puts.items():
            reach = "<= 2" if size <= _LIMITED else ""
            yield Line("journal", f"put, {_SIZES[size]}", median(times), "µs", reach=reach, spread=spread(times))
        for size, times in uvloop.run(_appends(Path(name), bursts)).items():
            extra = {"mean_us": sum(times) / len(times)}
            case = f"append to a tape, {_SIZES[size]}"
            yield Line("journal", case, median(times), "µs", spread=spread(times), extra=extra)
        yield from _syncs(memory, Path(name), plan)


@contextlib.contextmanager
def _journal(folder: Path) -> Iterator[Journal]:
    descriptor = create(folder / "0.journal")
    try:
        yield Journal(descriptor)
    finally:
        os.close(descriptor)


def _interleaved(memory: Journal, bursts: int) -> dict[int, list[float]]:
    bodies = {size: os.urandom(size) for size in _SIZES}
    found: dict[int, list[float]] = {size: [] for size in _SIZES}
    for body in bodies.values():
        for _ in range(_WARM):
            _puts(memory, body)
    for _ in range(bursts):
        for size, body in bodies.items():
            found[size].append(_puts(memory, body))
    return found


def _puts(memory: Journal, body: bytes) -> float:
    """µs a frame of one burst."""
    count = min(_MOST, _BURST // (len(body) + _HEADER))
    session = bytes(16)
    memory.free(memory.written)  # the scribe keeps up
    begin = time.perf_counter()
    for number in range(count):
        memory.put(number, number, session, Kind.OUT, 1, 0, body)
    return (time.perf_counter() - begin) / count * 1e6


async def _appends(folder: Path, bursts: int) -> dict[int, list[float]]:
    """µs of a whole `Tape.append`, the scribe running beside it."""
    loop = asyncio.get_running_loop()
    spool = Spool(folder / "tapes", folder / "spool", ("bench", Ed25519PrivateKey.generate()), loop)
    (folder / "tapes").mkdir()
    await spool.ready()
    now = time.time_ns()
    tape = spool.open(store.new_session_id(now), now)
    tape.append(Kind.OPEN, 0, {})
    cleared = asyncio.Event()
    tape.on_clear = cleared.set
    found: dict[int, list[float]] = {size: [] for size in _SIZES}
    bodies = {size: os.urandom(size) for size in _SIZES}
    for _ in range(bursts):
        for size, body in bodies.items():
            if not tape.clear:
                cleared.clear()
                await cleared.wait()
            count = min(_MOST, _BURST // (size + _HEADER))
            begin = time.perf_counter()
            for _ in range(count):
                tape.append(Kind.OUT, 1, body)
            found[size].append((time.perf_counter() - begin) / count * 1e6)
            await asyncio.sleep(0)
    await tape.close()
    await asyncio.to_thread(spool.stop)
    return found


def _syncs(memory: Journal, folder: Path, plan: Plan) -> Iterator[Line]:
    body = os.urandom(_SYNCED)
    few, many, singly = [], [], []
    count = plan.of(10, _SESSIONS)
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / f"{number}").open("ab", buffering=0)) for number in range(count)]
        for _ in range(plan.rounds + 1):
            few.append(_synced(memory, body, _FEW))
            many.append(_synced(memory, body, count))
            singly.append(_singly(files, body))
    cases = (
        (f"sync of {_FEW} frames", few),
        (f"sync, a frame of each of {count} sessions", many),
        (f"the same in {count} files, synced singly", singly),
    )
    for case, times in cases:
        yield Line("journal", case, median(times[1:]), "ms", spread=spread(times[1:]))


def _synced(memory: Journal, body: bytes, count: int) -> float:
    memory.free(memory.written)
    begin = time.perf_counter()
    for number in range(count):
        memory.put(number, number, number.to_bytes(16, "big"), Kind.OUT, 1, 0, body)
    memory.sync()
    return (time.perf_counter() - begin) * 1e3


def _singly(files: list[FileIO], body: bytes) -> float:
    begin = time.perf_counter()
    for file in files:
        file.write(body)
    for file in files:
        os.fdatasync(file.fileno())
    return (time.perf_counter() - begin) * 1e3
