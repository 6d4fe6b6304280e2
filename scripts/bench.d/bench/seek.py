"""`tape-seek`: a large tape, read whole and at random times, each in a process of its own."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.logs import colour_log
from bench.plan import Plan
from bench.report import Line, median, percentile, spread
from bench.rig import LIMIT_S
from recorder.format import store
from recorder.format.chunk import Compressors
from recorder.format.frame import Kind
from recorder.format.writer import Entry, Segment

_MB = 1_000_000
_WRITE = 4096
_EACH_US = 2000  # between two writes: 2 MB of log a second
_BATCH = 256


def seeking(plan: Plan) -> Iterator[Line]:
    """Time and memory of reading a tape of colour log; time and bytes of a seek; time to open it."""
    size = plan.of(8, 300, 10_000) * _MB
    with tempfile.TemporaryDirectory(prefix="tacho-bench-") as folder:
        tape = Path(folder) / "0.tape"
        _make(tape, size)
        name = f"{size // _MB} MB"
        runs = [_read("iterate", tape) for _ in range(plan.of(1, min(plan.rounds, 3), 1))]
        speeds = [run["bytes"][0] / 1e6 / run["seconds"][0] for run in runs]
        peak = max(run["peak_mib"][0] for run in runs)
        yield Line("tape-seek", f"{name}, iterated", median(speeds), "MB/s", spread=spread(speeds))
        yield Line("tape-seek", f"{name}, iterated, peak memory", peak, "MiB", reach="<= 150 MB of 10 GB")
        seeks = _read("seek", tape, plan.of(10, 300))
        yield Line("tape-seek", "a seek, p50", median(seeks["ms"]), "ms", spread=spread(seeks["ms"]))
        yield Line("tape-seek", "a seek, p99", percentile(seeks["ms"], 99), "ms")
        parts = [read / chunk for read, chunk in zip(seeks["read"], seeks["chunk"], strict=True)]
        read = median(seeks["read"]) / 1024
        extra = {"most_chunks": max(parts), "most_kib": max(seeks["read"]) / 1024}
        yield Line("tape-seek", "a seek, read", read, "KiB", extra=extra)
        yield Line("tape-seek", "a seek, read", median(parts), "chunks", reach="1", spread=spread(parts))
        opened = _read("open", tape, plan.of(2, 10))
        yield Line("tape-seek", "opened by its footer", median(opened["ms"]), "ms", spread=spread(opened["ms"]))
        yield Line("tape-seek", "opened without a footer", median(opened["walk_ms"]), "ms")


def _make(path: Path, size: int) -> None:
    """Writes a closed tape of `size` raw bytes."""
    log = colour_log(16 * _MB)
    pieces = [log[at : at + _WRITE] for at in range(0, len(log) - _WRITE + 1, _WRITE)]
    now = time.time_ns()
    gateway = ("bench", Ed25519PrivateKey.generate())
    segment = Segment(path, store.new_session_id(now), now, gateway, Compressors())
    segment.append([Entry(0, Kind.OPEN, 0, {})], now)
    count = size // _WRITE
    for first in range(0, count, _BATCH):
        numbers = range(first, min(first + _BATCH, count))
        segment.append([Entry(n * _EACH_US, Kind.OUT, 1, pieces[n % len(pieces)]) for n in numbers], now)
    segment.append([Entry(count * _EACH_US, Kind.CLOSE, 0, {})], now)
    segment.finish(now)


def _read(what: str, tape: Path, count: int = 1) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.reading", what, str(tape), "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found
