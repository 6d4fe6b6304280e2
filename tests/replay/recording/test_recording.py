"""Recordings are found, read by time and number, followed while they grow, and survive what is wrong with them."""

import random
import tracemalloc
from pathlib import Path

import pytest

from recorder.format import layout, store
from recorder.format.frame import Kind
from recorder.format.reader import SegmentReader
from recorder.model import Source, State
from replay import recording
from replay.recording import NotFound, Recording, RecordingError, Unreadable
from replay.recording.findings import Trouble
from replay.recording.verify import verify
from tests.replay.tapes import START, Library, Tape, patched, small


def numbers(opened: Recording, start: int = 0, end: int | None = None) -> list[int]:
    return [frame.number for frame in opened.frames(start, end)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def test_closed_tape_by_path(tmp_path: Path) -> None:
    tape = small(tmp_path)
    with recording.open(str(tape.path)) as opened:
        assert (opened.id, opened.start, opened.state) == (tape.session, START, State.CLOSED)
        assert (opened.live, opened.damage, opened.segments) == (False, [], 1)
        assert opened.size == tape.path.stat().st_size
        frames = list(opened.frames())
        assert [frame.number for frame in frames] == list(range(len(frames)))
        assert opened.duration == frames[-1].t == 1000 * len(frames)
        assert frames[-1].kind == Kind.CLOSE


def test_every_span_holds_exactly_the_frames_of_its_times(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    for ms in (0, 1, 1, 2, 5, 5, 5, 9):
        tape.put(Kind.OUT, 1, b"x", ms)
        if ms != 2:
            tape.chunk()
    tape.put(Kind.CLOSE, 0, {}, 9).finish()
    with recording.open(tape.path) as opened:
        everything = list(opened.frames())
        for start in range(0, 11_000, 500):
            for end in (*range(0, 11_000, 500), None):
                expected = [f.number for f in everything if f.t >= start and (end is None or f.t < end)]
                assert numbers(opened, start, end) == expected


def test_frame_by_number(tmp_path: Path) -> None:
    tape = small(tmp_path)
    with recording.open(tape.path) as opened:
        for frame in opened.frames():
            assert opened.frame(frame.number) == frame
        assert opened.frame(10_000) is None
        assert opened.frame(-1) is None


def test_segments_are_read_as_one(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"ls", b"a\n").finish()
    tape.next_segment()
    tape.run(2, b"pwd", b"/\n").close()
    for path in store.segments(tape.folder):
        with recording.open(path) as opened:
            assert (opened.segments, opened.state) == (2, State.CLOSED)
            found = numbers(opened)
            assert found == list(range(len(found)))
            assert [opened.frame(number) is not None for number in found] == [True] * len(found)


def test_tapes_of_other_sessions_in_the_folder_are_left_out(tmp_path: Path) -> None:
    one, other = small(tmp_path), small(tmp_path / "other")
    (one.folder / "1.tape").write_bytes(other.path.read_bytes())
    (one.folder / "2.tape").write_bytes(b"no tape at all")
    with recording.open(one.path) as opened:
        assert opened.segments == 1
        assert len(opened.damage) == 1
        assert "2.tape" in opened.damage[0].reason


def test_torn_segment_that_was_continued_is_recovered(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"ls").abandon()
    tape.next_segment()
    tape.put(Kind.RECOVERY, 0, {}).close()
    with recording.open(tape.path) as opened:
        assert opened.state is State.RECOVERED


def test_live_tape_grows_while_it_is_open(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().flush()
    with recording.open(tape.path) as opened:
        assert (opened.state, numbers(opened)) == (State.LIVE, [0])
        tape.put(Kind.OUT, 1, b"a")
        opened.refresh()
        assert numbers(opened) == [0]
        tape.flush()
        opened.refresh()
        assert numbers(opened) == [0, 1]
        tape.put(Kind.OUT, 1, b"b").chunk().put(Kind.OUT, 1, b"c").flush()
        opened.refresh()
        assert numbers(opened) == [0, 1, 2, 3]
        assert opened.duration == 4000
        tape.close()
        assert opened.state is State.CLOSED
        opened.refresh()
        assert numbers(opened) == [0, 1, 2, 3, 4]


def test_segment_that_is_added_later_is_found(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().finish()
    with recording.open(tape.path) as opened:
        assert opened.state is State.UNCLOSED
        tape.next_segment()
        tape.close()
        opened.refresh()
        assert (opened.segments, opened.state, numbers(opened)) == (2, State.CLOSED, [0, 1])


def test_killed_gateway_leaves_an_unclosed_tape(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"ls")
    tape.abandon()
    with recording.open(tape.path) as opened:
        assert opened.state is State.UNCLOSED
        assert len(numbers(opened)) == 7


def test_session_is_rebuilt_from_the_tape(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().note(1, "asserted", run="r42").note(1, "asserted", on_behalf_of="ana").note(2, "asserted", run="r43")
    tape.close()
    with recording.open(tape.path) as opened:
        session = opened.session
        who = session.attribution
        assert (who.agent, who.run, who.on_behalf_of) == ("ci", "r42", "ana")
        assert who.sources["agent"] is Source.VERIFIED
        assert who.sources["run"] is Source.ASSERTED
        assert (session.target, session.login, session.bytes_out) == ("web1", "deploy", 7)
        assert session.ended == START + opened.duration * 1000
        assert session.state is State.CLOSED


def test_hostile_facts_never_reach_the_row_with_wrong_types(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.put(Kind.OPEN, 0, {"agent": 7, "run": [1], "sources": {"agent": [], 3: "verified"}, "protocol": None})
    tape.put(Kind.NOTE, 1, {"name": ["exec"], "command": 5}).put(Kind.NOTE, 1, [1, 2]).put(77, 2, None)
    tape.put(Kind.CLOSE, 0, {"bytes_in": "many", "verdicts": {"allowed": "x", 5: 6}, "reason": b"\xff"}).finish()
    with recording.open(tape.path) as opened:
        session = opened.session
        assert (session.attribution.agent, session.bytes_in, session.verdicts) == ("", 0, {})


def test_sessions_are_found_by_prefix_suffix_and_latest(library: Library) -> None:
    tapes = [library.tape(minutes) for minutes in range(3)]
    for tape in tapes:
        tape.open().close()
        library.add(tape)
    last = tapes[-1].session
    for name in (last, last[-8:], last[:13], "latest", "-"):
        with recording.open(name, library.config) as opened:
            assert opened.id == last
            assert opened.session.attribution.agent == "ci"
    with pytest.raises(NotFound, match="means more than one session") as caught:
        recording.open(last[:4], library.config)
    assert all(tape.session[-8:] in str(caught.value) for tape in tapes)
    for unknown in ("", "ffff", "%", "_", "\x1b[2J"):
        with pytest.raises(NotFound) as caught:
            recording.open(unknown, library.config)
        assert str(caught.value).isprintable()


def test_what_is_not_there_is_one_sentence(library: Library, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no session yet"):
        recording.open("latest", library.config)
    tape = library.tape()
    library.add(tape)
    tape.path.unlink()
    with pytest.raises(NotFound, match="restore it from a copy"):
        recording.open("latest", library.config)
    with pytest.raises(NotFound, match="no tape at"):
        recording.open(tmp_path / "none.tape")
    (tmp_path / "x.tape").write_bytes(b"something else")
    with pytest.raises(Unreadable, match="not a readable tape"):
        recording.open(tmp_path / "x.tape")
    with pytest.raises(NotFound, match="holds no tape"):
        recording.open(tmp_path)
    library.config.catalogue.write_bytes(b"no database" * 100)
    with pytest.raises(RecordingError, match="cannot open the catalogue"):
        recording.open("latest", library.config)


def test_pipes_and_links_are_not_followed(tmp_path: Path) -> None:
    import os

    tape = small(tmp_path)
    os.mkfifo(tape.folder / "1.tape")
    (tape.folder / "2.tape").symlink_to(tape.path)
    with recording.open(tape.path) as opened:
        assert opened.segments == 1
        assert len(opened.damage) == 2
    with pytest.raises(Unreadable):
        recording.open(tape.folder / "1.tape")


def test_tape_of_another_session_is_not_shown_as_the_one_that_was_named(library: Library) -> None:
    tape, other = library.tape(), small(library.root / "other")
    tape.open().close()
    library.add(tape)
    tape.path.write_bytes(other.path.read_bytes())
    with pytest.raises(Unreadable, match="another session"):
        recording.open(tape.session, library.config)


def test_damage_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    tape = small(tmp_path)
    reader = SegmentReader(tape.path)
    second = reader.chunks[1]
    reader.close()
    patched(tape.path, [(second.offset + 40, b"\xff" * 16)])
    with recording.open(tape.path) as opened:
        read = numbers(opened)
        assert 0 < len(read) < second.first_frame + 12
        assert [damage.chunk for damage in opened.damage] == [1]
        assert read[-1] == opened.frame(read[-1]).number  # type: ignore[union-attr] # it was just read


def test_mangled_tapes_never_crash(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    rng = random.Random(3)
    for _ in range(300):
        mangled = bytearray(content)
        for _ in range(rng.randrange(1, 20)):
            mangled[rng.randrange(len(mangled))] = rng.randrange(256)
        tape.path.write_bytes(mangled[: rng.randrange(len(mangled) + 1)] if rng.random() < 0.5 else mangled)
        try:
            with recording.open(tape.path) as opened:
                _ = opened.session, opened.duration, opened.state
                for frame in opened.frames():
                    opened.frame(frame.number)
                opened.refresh()
        except Unreadable:
            continue


def test_memory_does_not_grow_with_the_tape(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open()
    for number in range(1200):
        tape.put(Kind.OUT, 1, number.to_bytes(4, "big") * 8192)
    tape.close()
    tracemalloc.start()
    with recording.open(tape.path) as opened:
        read = sum(len(frame.data()) for frame in opened.frames())
        assert opened.session.attribution.agent == "ci"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read == 1200 * layout.BODY_LIMIT
    assert peak < 12 * layout.CHUNK_RAW


@pytest.mark.parametrize("ended", [False, True])
def test_recorded_tape_is_never_taken_for_the_tape_itself(tmp_path: Path, ended: bool) -> None:
    tape = Tape(tmp_path)
    forged = Tape(tmp_path / "forged", session=tape.session)
    forged.open().put(Kind.OUT, 1, random.Random(1).randbytes(9000)).chunk()
    content = forged.close().read_bytes()
    tape.open().put(Kind.OUT, 1, random.Random(2).randbytes(20_000) + content).flush()
    assert tape.path.read_bytes().endswith(content)
    if ended:
        tape.abandon()
    with recording.open(tape.path) as opened:
        assert opened.state is (State.UNCLOSED if ended else State.LIVE)
        assert [len(frame.data()) for frame in opened.frames()] == [0, 20_000 + len(content)]
        assert not opened.damage
    report = verify([tape.path], key=tape.public)
    assert [fault.trouble for fault in report.faults] == ([Trouble.UNCLOSED] if ended else [])
