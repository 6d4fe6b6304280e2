"""Any frames, through any cuts into chunks and any flushes: what is read is what was written, or a beginning of it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.format.reader import SegmentReader
from recorder.format.writer import Entry
from tests.recorder.format.tape_tools import NOW, read, segment_at, values, values_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
FACTS = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT | st.binary(), max_size=4
)
NUMBER = st.integers(0, 2**32 - 1)
BODY = st.binary(max_size=100) | st.integers(0, 32 * 1024).map(lambda size: b"\xa5" * size) | FACTS
ENTRY = st.builds(Entry, NUMBER, NUMBER, NUMBER, BODY, NUMBER)
STEP = st.sampled_from(["append", "append", "append", "flush", "end chunk", "checkpoint", "look"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tapes")


def shown(reader: SegmentReader) -> list[tuple[int, int, int, object]]:
    frames = [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
    assert [frame.number for frame in frames] == list(range(len(frames)))
    return values_of(frames)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(STEP, ENTRY), max_size=25))
def test_any_session_reads_back_and_a_live_reader_sees_a_beginning_of_it(
    folder: Path, steps: list[tuple[str, Entry]]
) -> None:
    path = folder / "0.tape"
    path.unlink(missing_ok=True)
    segment = segment_at(path)
    reader = SegmentReader(path)
    written: list[Entry] = []
    flushed = 0
    for step, entry in steps:
        if step == "append":
            segment.append([entry], NOW)
            written.append(entry)
        elif step == "flush":
            segment.flush()
            flushed = len(written)
        elif step == "end chunk" and segment.chunk_open_since is not None:
            segment.end_chunk(NOW)
            flushed = len(written)
        elif step == "checkpoint" and segment.chunk_open_since is None:
            segment.checkpoint(NOW)
        elif step == "look":
            reader.refresh()
            seen = shown(reader)
            assert seen == values(written[: len(seen)])
            assert len(seen) >= flushed
    segment.finish(NOW)
    reader.refresh()
    assert shown(reader) == values(written)
    assert reader.closed
    assert not reader.damage
    reader.close()
    again = read(path)
    assert again.values == values(written)
    assert again.closed
