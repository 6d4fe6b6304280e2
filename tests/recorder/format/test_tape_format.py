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
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import google_crc32c
import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder import tree
from recorder.format import journal, layout, store
from recorder.format.frame import Frame, Kind, Preamble
from recorder.format.reader import SegmentReader, decompressed
from recorder.format.recovery import REASON, recover
from recorder.format.seal import Header, Previous, Seal, pack_header
from recorder.format.spool import JOURNAL
from recorder.format.torn import examine
from recorder.format.writer import Entry
from recorder.model import State
from replay.recording.errors import Unreadable
from replay.recording.recording import Recording
from replay.recording.verify import verify
from tests.recorder.format import plain_reader
from tests.recorder.format.tape_tools import (
    CHECKPOINT,
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
from tests.servers.client import HOST, Client
from tests.servers.gateway import Gateway

DOCUMENT = (ROOT / "docs/tape-format.md").read_text()
READER = ROOT / "tests/recorder/format/plain_reader.py"
KEY = UUID(SESSION).bytes
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


@pytest.mark.parametrize(("cut", "kept"), [("nothing", 20), ("chunk", 10), ("HEADER", 0), ("everything", 0)])
def test_a_session_that_was_recovered_after_a_crash(tmp_path: Path, folder: Path, cut: str, kept: int) -> None:
    entries = list(itertools.chain(*small(4, 10)))
    path = folder / "0.tape"
    write(path, [entries[:10], entries[10:20]], close=False)
    size = path.stat().st_size
    os.truncate(path, {"nothing": size, "chunk": size - 9, "HEADER": 99, "everything": 0}[cut])
    journaled(tmp_path / "journal", entries)
    (found,) = recover(tmp_path / "tapes", tmp_path / "journal", GATEWAY, (), NOW)
    read = plain(folder)
    assert read == recording(folder)
    assert (read[kept][1], read[-1][1]) == (Kind.RECOVERY, Kind.CLOSE)
    assert read[:kept] + read[kept + 1 : -1] == values(entries)
    facts = {"kept": kept, "cut": found.cut, "journal": 40 - kept, "next": kept, "why": REASON}
    assert read[kept][3] == facts


def journaled(folder: Path, entries: list[Entry]) -> Path:
    """A journal that a gateway left with all of its session's frames."""
    folder.mkdir()
    path = folder / JOURNAL
    descriptor = journal.create(path)
    try:
        memory = journal.Journal(descriptor)
        memory.put(0, 0, KEY, journal.OPEN_TAPE, 0, 0, START.to_bytes(8, "little"))
        for number, (t, kind, stream, body, remaining) in enumerate(entries):
            assert isinstance(body, bytes)
            memory.put(number, t, KEY, kind, stream, remaining, body)
    finally:
        os.close(descriptor)
    return path


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
WHOLE = st.integers(-(2**63), 2**64 - 1)
FACTS = st.dictionaries(TEXT, st.none() | st.booleans() | WHOLE | TEXT | st.binary() | st.lists(WHOLE), max_size=4)
NUMBER = st.integers(0, 2**32 - 1)
BODY = st.binary(max_size=300) | st.integers(0, layout.BODY_LIMIT).map(bytes) | FACTS | st.lists(WHOLE, max_size=4)
CHUNKS = st.lists(
    st.lists(st.builds(Entry, NUMBER, NUMBER, NUMBER, BODY, NUMBER), min_size=1, max_size=8), min_size=1, max_size=4
)


@settings(max_examples=60, deadline=None)
@given(CHUNKS, st.booleans(), st.integers(0, 1000))
def test_any_frames(tmp_path_factory: pytest.TempPathFactory, chunks: list[list[Entry]], close: bool, cut: int) -> None:
    folder = tmp_path_factory.mktemp("session")
    path = folder / "0.tape"
    segment = segment_at(path)
    for chunk in chunks:
        if segment.chunk_open_since is not None:
            segment.end_chunk(NOW)
        segment.append(chunk, NOW)
    segment.flush()
    if close:
        segment.complete(NOW)
    segment.abandon()
    assert plain(folder) == recording(folder) == values(itertools.chain(*chunks))
    with closing(SegmentReader(path)) as reader:
        os.truncate(path, max(path.stat().st_size - cut, reader.body))
    assert plain(folder) == recording(folder)


def test_a_bit_that_is_turned_is_found_or_leaves_a_shorter_tape(folder: Path) -> None:
    path = folder / "0.tape"
    data = bytearray(example())
    path.write_bytes(data)
    whole = plain(folder)
    found = pieces(bytes(data))
    refused = 0
    for block in found[1:]:
        for at in range(block.offset, block.offset + block.length):
            bit = 8 * at + at % 8
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            data[bit // 8] ^= 1 << bit % 8
            try:
                read = plain(folder)
            except (ValueError, TypeError, LookupError, zstandard.ZstdError):
                refused += 1
            else:
                # The tape is torn now, or it is a signature that changed, which this reader does not check.
                assert read == whole[: len(read)], f"bit {bit}"
    assert refused > 0.9 * sum(block.length for block in found[1:] if block.magic != CHECKPOINT)


# The real zstd


def stream_of(path: Path) -> tuple[int, bytes]:
    """What `zstd -dc` says and prints."""
    done = subprocess.run(["zstd", "-dc", path], capture_output=True, timeout=30)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


def packed(path: Path, entries: list[Entry]) -> bytes:
    """The msgpack stream of a tape of `entries`: before each chunk's frames the preamble that it has."""
    expected = b""
    with closing(SegmentReader(path)) as reader:
        firsts = [chunk.first_frame for chunk in reader.chunks]
        for chunk, following in zip(reader.chunks, [*firsts[1:], len(entries)], strict=True):
            content = b"".join(decompressed(reader.source.some(chunk.offset, layout.CHUNK_STORED_LIMIT)))
            unpacker = msgpack.Unpacker()
            unpacker.feed(content)
            assert unpacker.unpack()[:2] == [chunk.seq, chunk.first_frame]
            expected += content[: unpacker.tell()]
            for entry in entries[chunk.first_frame : following]:
                expected += msgpack.packb(entry[:4], unicode_errors="surrogateescape")
    return expected


def test_zstd_prints_the_msgpack_stream(folder: Path) -> None:
    path = folder / "0.tape"
    entries = large()
    write(path, [entries])
    assert stream_of(path) == (0, packed(path, entries))


def test_zstd_prints_the_whole_chunks_of_a_torn_tape(folder: Path) -> None:
    path = folder / "0.tape"
    entries = list(itertools.chain(*small(4, 50)))
    write(path, small(4, 50))
    data, stream = path.read_bytes(), packed(path, entries)
    chunks = only(pieces(data), CHUNK)
    ends = list(
        itertools.accumulate(
            len(zstandard.ZstdDecompressor().decompressobj().decompress(one.content)) for one in chunks
        )
    )
    for number, chunk in enumerate(chunks[1:], 1):
        for cut in (chunk.offset, chunk.offset + 3, chunk.offset + chunk.length // 2, chunk.offset + chunk.length - 1):
            path.write_bytes(data[:cut])
            status, printed = stream_of(path)
            assert status == (cut > chunk.offset)
            assert printed.startswith(stream[: ends[number - 1]])
            assert stream.startswith(printed)


# The document


def rows(heading: str) -> list[list[str]]:
    """The cells of all tables' rows under a heading, without back quotes."""
    section = re.split(rf"^#+ {re.escape(heading)}$", DOCUMENT, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


def names(heading: str, column: int = 0) -> list[str]:
    return [row[column] for row in rows(heading) if len(row) > column]


def in_order(wanted: Iterable[str], found: Iterable[str]) -> bool:
    """Whether all of `wanted` are among `found`, one after another."""
    rest = iter(found)
    return all(name in rest for name in wanted)


def test_every_limit_and_magic_number_is_in_the_document() -> None:
    numbers = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, int)}
    limits = {row[0]: row[1] for row in rows("Limits")}
    magic = {row[2]: row[1] for row in rows("Blocks") if len(row) > 4}
    for name, value in numbers.items():
        if name.endswith("_MAGIC"):
            assert magic[name] == f"0x{value:08X}"
        else:
            assert limits[name] == f"{value:,}"
    assert {name for name in (*limits, *magic) if name.isupper()} == numbers.keys()
    assert f"`{layout.FORMAT}`" in DOCUMENT
    assert f"`{layout.FOOTER_MAGIC.decode()}`" in DOCUMENT
    assert layout.origin("SESSION", 7).replace("7", "SEGMENT") in DOCUMENT


def test_every_kind_is_in_the_document() -> None:
    kinds = {row[0]: row[1] for row in rows("Frames") if row[0].isdigit()}
    assert kinds == {str(kind.value): kind.name.lower() for kind in Kind}


def test_every_field_is_in_the_document() -> None:
    assert in_order(Preamble._fields, names("CHUNK"))
    assert in_order(Frame._fields[1:], names("Frames"))
    assert in_order(Seal._fields, names("SEAL"))
    assert in_order(Previous.__dataclass_fields__, names("Several segments"))
    header = Header(SESSION, 0, START, 0, bytes(32), *GATEWAY[:1], tree.public_bytes(GATEWAY[1]))
    written = msgpack.unpackb(msgpack.unpackb(pack_header(header, GATEWAY[1]))[0])
    assert in_order(written, names("HEADER"))


def unpacked(table: list[list[str]], data: bytes) -> dict[str, object]:
    """The fields of a binary layout, read as its table (offset, bytes, field, type) says."""
    found: dict[str, object] = {}
    for offset, size, field, form, *_ in table:
        if offset.isdigit() and size.isdigit() and field:
            raw = data[int(offset) : int(offset) + int(size)]
            found[field] = raw if form == "bytes" else int.from_bytes(raw, "little")
            assert form in ("bytes", f"u{8 * int(size)}")
    return found


def test_the_index_is_as_the_document_says(folder: Path) -> None:
    path = folder / "0.tape"
    write(path, small(3))
    data = path.read_bytes()
    entry, footer = (table for table in split(rows("INDEX")) if table[0][0] == "offset")
    (length,) = struct.unpack_from("<I", data, len(data) - 48 + 32)
    facts = msgpack.unpackb(data[-length + 8 : -48])
    assert list(facts) == ["chunks", "frames"]
    assert unpacked(footer, data[-48:]) == {
        "sha256": sha256(data[-length + 8 : -48]).digest(),
        "length": length,
        "magic": layout.FOOTER_MAGIC,
    }
    with closing(SegmentReader(path)) as reader:
        for number, chunk in enumerate(reader.chunks):
            assert unpacked(entry, facts["chunks"][32 * number :]) == {
                "offset": chunk.offset,
                "first_frame": chunk.first_frame,
                "first_t": chunk.first_t,
                "last_t": chunk.last_t,
            }


def split(table: list[list[str]]) -> list[list[list[str]]]:
    """Several tables apart: each begins before the row of hyphens."""
    begins = [number - 1 for number, row in enumerate(table) if set(row[0]) == {"-"}]
    return [table[begin:end] for begin, end in itertools.zip_longest(begins, begins[1:])]


def test_the_journal_is_as_the_document_says(tmp_path: Path) -> None:
    head, entry = (table for table in split(rows("The journal")) if table[0][0] == "offset")
    entries = small(1, 2)[0]
    path = journaled(tmp_path / "journal", entries)
    data = path.read_bytes()
    start = journal.HEADER
    found = unpacked(head, data[:start] + b"")
    assert found == {"magic": b"TACHOJ\0\1", "freed": 0, "entries": b""}
    assert len(data) == start + journal.CAPACITY
    assert [row[:2] for row in head][-1] == [str(start), str(journal.CAPACITY)]
    position = 0
    begun = Entry(0, journal.OPEN_TAPE, 0, START.to_bytes(8, "little"))
    for number, (t, kind, stream, body, remaining) in [(0, begun), *enumerate(entries)]:
        assert isinstance(body, bytes)
        raw = data[start + position :]
        found = unpacked(entry, raw)
        checksum = google_crc32c.extend(google_crc32c.value(raw[:56]), body)
        assert found == {
            "position": position,
            "number": number,
            "t": t,
            "session": KEY,
            "kind": kind,
            "stream": stream,
            "remaining": remaining,
            "size": len(body),
            "checksum": checksum,
        }
        assert raw[64 : 64 + len(body)] == body
        (item,) = [one for one in journal.leftover(path) if one.position == position]
        assert journal.pack_left(item) == raw[:60] + body
        position += 64 + len(body) + -len(body) % 8
    instructions = (journal.PACKED, journal.OPEN_TAPE, journal.URGENT, journal.CLOSE_TAPE)
    assert all(f"0x{number:X}" in "".join(itertools.chain(*entry)) for number in instructions)


def calls(tree_: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """The notes that a module writes, with the keys that stand in the call."""
    for node in ast.walk(tree_):
        if not isinstance(node, ast.Call):
            continue
        given = node.args
        if isinstance(node.func, ast.Name) and node.func.id == "partial" and given:
            called, given = given[0], given[1:]
        else:
            called = node.func
        if not isinstance(called, ast.Attribute) or called.attr not in ("note", "_note_text") or not given:
            continue
        if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            yield given[0].value, {keyword.arg for keyword in node.keywords if keyword.arg}


def test_every_note_that_is_written_is_in_the_document() -> None:
    documented = {row[0]: " ".join(row[1:]) for row in rows("note")}
    found: dict[str, set[str]] = {}
    for path in (ROOT / "recorder").rglob("*.py"):
        for name, keys in calls(ast.parse(path.read_text())):
            found.setdefault(name, set()).update(keys)
    assert len(found) > 12
    for name, keys in found.items():
        assert name in documented, f"note {name} is missing"
        assert {key for key in keys if not re.search(rf"\b{key}\b", documented[name])} == set(), f"note {name}"


@pytest.mark.service
def test_what_a_gateway_records_is_in_the_document_and_the_plain_reader_reads_it(
    client: Client, gateway: Gateway
) -> None:
    watch = gateway.watch()
    options = ("-o", "SetEnv=TACHO_RUN=run-7 TACHO_FOR=ana LANG=C", "-tt", "-R", "0:127.0.0.1:9")
    assert client.ssh(*options, f"web1@{HOST}", "cat /etc/hostname; exit 3").returncode == 3
    tape = watch.tape()
    folder = tape.paths[0].parent
    read = plain(folder)
    assert read == recording(folder)
    assert {Kind.OPEN, Kind.OUT, Kind.NOTE, Kind.VERDICT, Kind.CLOSE} <= {kind for _, kind, _, _ in read}
    for _, kind, _, facts in read:
        if isinstance(facts, dict):
            name = Kind(kind).name.lower()
            missing = facts.keys() - {"name"} - set(re.findall(r"\w+", " ".join(itertools.chain(*rows(name)))))
            assert not missing, f"{name}: {missing}"


# The example


def dump() -> str:
    (block,) = re.findall(r"^```\n(0000  .*?)^```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL)
    return str(block)


def example() -> bytes:
    """The tape of the document's example."""
    lines = dump().splitlines()
    data = bytes.fromhex("".join(line[6:53] for line in lines))
    assert int(lines[-1][:4], 16) + len(bytes.fromhex(lines[-1][6:53])) == len(data)
    return data


def test_the_example_is_what_its_script_prints() -> None:
    script = ROOT / "scripts/tape-example.d/tape_example.py"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=env, timeout=30)
    assert done.stdout == dump(), done.stderr


def test_the_example_is_a_tape(folder: Path) -> None:
    path = folder / "0.tape"
    path.write_bytes(example())
    report = verify([path], key=tree.public_bytes(GATEWAY[1]))
    assert (report.faults, report.state, report.frames) == ((), State.CLOSED, 4)
    assert plain(folder) == recording(folder)
    assert plain(folder)[2] == (2300, 2, 1, b"deploy\n")
    assert stream_of(path)[0] == 0
