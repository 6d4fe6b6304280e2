"""docs/tape-format.md against the code: a reader written from it alone, `zstd`, its names and numbers, its example."""

import ast
import itertools
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import google_crc32c
import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import tree
from recorder.format import journal, layout, store
from recorder.format.frame import ChunkDecoder, Frame, Kind, Preamble, pack_preamble
from recorder.format.reader import SegmentReader, decompressed
from recorder.format.recovery import recover
from recorder.format.seal import Header, Previous, Seal, pack_header
from recorder.format.spool import JOURNAL
from recorder.format.torn import examine
from recorder.format.writer import Entry, Segment
from recorder.model import State
from replay.recording.errors import Unreadable
from replay.recording.recording import Recording
from replay.recording.verify import verify
from tests.recorder.format import plain_reader
from tests.recorder.format.tape_tools import (
    CHUNK,
    GATEWAY,
    NOW,
    ROOT,
    SESSION,
    START,
    only,
    pieces,
    segment_at,
    small,
    values,
    write,
)
from tests.servers.client import Client
from tests.servers.gateway import Gateway
from tests.servers.tapes import until

DOCUMENT = (ROOT / "docs/tape-format.md").read_text()
READER = ROOT / "tests/recorder/format/plain_reader.py"
NOTHING = Previous(0, tree.EMPTY_ROOT, 0, tree.EMPTY_ROOT)
Values = list[tuple[int, int, int, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session's folder."""
    made = store.folder_of(tmp_path / "tapes", SESSION)
    made.mkdir(parents=True)
    return made


def plain(folder: Path) -> Values:
    """What the plain reader reads, without the numbers: those it has compared itself."""
    return [frame[1:5] for frame in plain_reader.read(folder)]


def recording(folder: Path) -> Values:
    """The same by the project's own reader."""
    with Recording(store.segments(folder)) as opened:
        return [frame[1:] for frame in opened.frames()]


def large() -> list[Entry]:
    """Frames for some ten chunks: text that compresses, bytes that do not, facts, bodies as large as they may be."""
    text = b"".join(b"line %d of a log that goes on and on\r\n" % number for number in range(800))
    bodies = itertools.cycle([text[:4000], os.urandom(layout.BODY_LIMIT), b"", {"name": "env", "value": "\udcff"}])
    return [Entry(1000 * number, 1 + number % 4, number % 3, next(bodies)) for number in range(300)]


# The plain reader


def test_the_plain_reader_is_small_and_needs_nothing_of_the_recorder() -> None:
    source = READER.read_text()
    assert len(source.splitlines()) < 100
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"msgpack", "zstandard"}


def test_a_small_tape(folder: Path) -> None:
    write(folder / "0.tape", small())
    assert plain(folder) == recording(folder) == values(itertools.chain(*small()))


def test_a_tape_of_many_chunks(folder: Path) -> None:
    entries = large()
    write(folder / "0.tape", [entries])
    with closing(SegmentReader(folder / "0.tape")) as reader:
        assert len(reader.chunks) > 8
    assert plain(folder) == recording(folder) == values(entries)


def test_a_tape_without_frames(folder: Path) -> None:
    segment_at(folder / "0.tape").finish(NOW)
    assert plain(folder) == recording(folder) == []


def test_a_live_tape_reads_as_far_as_it_was_flushed(folder: Path) -> None:
    entries = large()[:100]
    segment = segment_at(folder / "0.tape")
    try:
        for number, entry in enumerate(entries):
            segment.append([entry], NOW)
            if number % 7 == 0:
                segment.flush()
                assert plain(folder) == recording(folder) == values(entries[: number + 1])
    finally:
        segment.abandon()


@pytest.mark.parametrize("close", [True, False])
def test_a_tape_that_is_torn_anywhere(folder: Path, close: bool) -> None:
    path = folder / "0.tape"
    write(path, small(2, 20), close=close)
    data = path.read_bytes()
    body = pieces(data)[0].length
    for cut in range(0, len(data), 3):
        path.write_bytes(data[:cut])
        if cut < body:
            with pytest.raises(Unreadable):
                recording(folder)
            assert plain(folder) == []
        else:
            assert plain(folder) == recording(folder), f"cut at {cut}"


@pytest.mark.parametrize("confirmed", [True, False])
def test_two_segments_after_a_sync_that_failed(folder: Path, confirmed: bool) -> None:
    entries = list(itertools.chain(*small(3, 10)))
    first = segment_at(folder / "0.tape")
    first.append(entries[:10], NOW)
    first.flush()
    size, number = (first.size, first.next_frame) if confirmed else (0, 0)
    first.append(entries[10:20], NOW)
    first.end_chunk(NOW)
    first.abandon()
    previous = examine(first.path, size)[1] if confirmed else NOTHING
    second = segment_at(folder / "1.tape", 1, number, previous)
    second.append(entries[number:], NOW)
    second.finish(NOW)
    assert previous.frames == number
    assert plain(folder) == recording(folder) == values(entries)


def test_a_segment_that_is_not_the_one_that_was_continued_is_refused(folder: Path) -> None:
    entries = list(itertools.chain(*small(2, 10)))
    write(folder / "0.tape", [entries[:10]], close=False)
    previous = examine(folder / "0.tape")[1]
    for wrong in (
        Previous(previous.length - 1, previous.sha256, 10, previous.root),
        Previous(previous.length, bytes(32), 10, previous.root),
        Previous(previous.length, previous.sha256, 9, previous.root),
        Previous(previous.length, previous.sha256, 11, previous.root),
        Previous(previous.length, previous.sha256, 10, bytes(32)),
        previous,
    ):
        (folder / "1.tape").unlink(missing_ok=True)
        second = segment_at(folder / "1.tape", 1, 10, wrong)
        second.append(entries[10:], NOW)
        second.finish(NOW)
        if wrong is not previous:
            with pytest.raises(ValueError, match="is not what the next segment continues"):
                plain(folder)
    assert plain(folder) == values(entries)
    (folder / "0.tape").unlink()
    with pytest.raises(ValueError, match="frames are missing"):
        plain(folder)


@pytest.mark.parametrize("cut", ["nothing", "chunk", "HEADER", "everything"])
def test_a_session_that_was_recovered_after_a_crash(folder: Path, cut: str) -> None:
    entries = list(itertools.chain(*small(4, 10)))
    path = folder / "0.tape"
    write(path, [entries[:10], entries[10:20]], close=False)
    length = {"nothing": path.stat().st_size, "chunk": path.stat().st_size - 9, "HEADER": 99, "everything": 0}[cut]
    os.truncate(path, length)
    with closing_descriptor(journaled(folder.parents[3] / "journal", entries)):
        (found,) = recover(folder.parents[3] / "tapes", folder.parents[3] / "journal", GATEWAY, (), NOW)
    kept = {"nothing": 20, "chunk": 10, "HEADER": 0, "everything": 0}[cut]
    read = plain(folder)
    assert read == recording(folder)
    assert [kind for _, kind, _, _ in read if kind in (Kind.RECOVERY, Kind.CLOSE)] == [Kind.RECOVERY, Kind.CLOSE]
    assert read[:kept] + read[kept + 1 : -1] == values(entries)
    facts = read[kept][3]
    assert facts == {"kept": kept, "cut": found.cut, "journal": 40 - kept, "next": kept, "why": found.account.closed}
