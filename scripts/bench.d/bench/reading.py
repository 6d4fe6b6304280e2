"""Reads a tape in a process of its own, so that its memory and its reads are nobody else's; prints JSON."""

import argparse
import json
import os
import random
import time
from pathlib import Path

from bench import process
from recorder.format.reader import SegmentReader
from replay.recording.recording import Recording

_FOOTER = 1  # bytes that are cut off so that there is none


def main() -> None:
    """`iterate`: the whole tape; `seek`: random times; `open`: with and without the footer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("iterate", "seek", "open"))
    parser.add_argument("tape", type=Path)
    parser.add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    work = {"iterate": _iterate, "seek": _seek, "open": _open}[arguments.what]
    print(json.dumps(work(arguments.tape, arguments.count) | {"peak_mib": [process.peak(os.getpid())]}))


def _iterate(path: Path, _count: int) -> dict[str, list[float]]:
    begin = time.perf_counter()
    size = 0
    with Recording([path]) as recording:
        for frame in recording.frames():
            size += len(frame.body) if isinstance(frame.body, bytes) else 0
    return {"seconds": [time.perf_counter() - begin], "bytes": [size]}


def _seek(path: Path, count: int) -> dict[str, list[float]]:
    """Milliseconds until the frame at a random time is there, bytes read for it, the size of its chunk."""
    found: dict[str, list[float]] = {"ms": [], "read": [], "chunk": []}
    chance = random.Random(11)
    with Recording([path]) as recording:
        chunks = _chunks(path)
        asking = _reads() - _reads()  # what a look at the count itself reads, negative
        for _ in range(count):
            t = chance.randrange(recording.duration)
            before, begin = _reads(), time.perf_counter()
            frame = next(recording.frames(t), None)
            found["ms"].append((time.perf_counter() - begin) * 1e3)
            found["read"].append(_reads() - before + asking)
            found["chunk"].append(0 if frame is None else chunks.chunks[chunks.chunk_for_time(t)].stored)
        chunks.close()
    return found


def _chunks(path: Path) -> SegmentReader:
    return SegmentReader(path)


def _reads() -> int:
    return process.moved(os.getpid(), "rchar")


def _open(path: Path, count: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"ms": [], "walk_ms": [], "size": [path.stat().st_size]}
    for _ in range(count):
        begin = time.perf_counter()
        Recording([path]).close()
        found["ms"].append((time.perf_counter() - begin) * 1e3)
    begin = time.perf_counter()
    SegmentReader(path, path.stat().st_size - _FOOTER).close()
    found["walk_ms"].append((time.perf_counter() - begin) * 1e3)
    return found


if __name__ == "__main__":
    main()
