"""Of a segment that another continues before its end only those frames count that the other does not write again."""

import hashlib
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import store
from recorder.format.chunk import Compressors
from recorder.format.frame import Frame, Kind
from recorder.format.reader import SegmentReader
from recorder.format.seal import Previous
from recorder.format.writer import Entry, Segment
from recorder.model import State
from replay import recording
from replay.export.txt import encode
from replay.recording import Recording, Unreadable, present
from replay.recording.findings import Trouble
from replay.recording.verify import Report, verify
from replay.recording.words import words
from tests.replay.tapes import NOW, START, Library, Tape, previous

AGAIN = 5  # frames that are written again


def check(tape: Tape, *, catalogue: bool = True) -> Report:
    paths = store.segments(tape.folder)
    return verify(paths, session=tape.session, heads=tape.known() if catalogue else None, key=tape.public)


def troubles(report: Report) -> set[Trouble]:
    return {fault.trouble for fault in report.faults}


def texts(opened: Recording, start: int = 0, end: int | None = None) -> list[bytes]:
    return [frame.data() for frame in opened.frames(start, end) if frame.kind == Kind.OUT]


def put(tape: Tape, *numbers: int) -> Tape:
    """Output frames that say which they are, at as many ms."""
    for number in numbers:
        tape.put(Kind.OUT, 1, b"%d" % number, number)
    return tape


def interrupted(tapes: Path, *, sealed: bool = False) -> Tape:
    """Ten frames, of which a sync confirmed the first five; after it failed, these again and five more. Still open."""
    tape = put(Tape(tapes), *range(AGAIN))
    confirmed = tape.confirmed()
    put(tape, *range(AGAIN, 2 * AGAIN))
    if sealed:
        tape.chunk().put(Kind.OUT, 1, b"lost", 10)
    tape.fail(confirmed)
    tape.next_segment()
    return put(tape, *range(AGAIN, 3 * AGAIN))


@pytest.mark.parametrize("sealed", [False, True])
def test_what_was_written_again_is_read_once(tmp_path: Path, sealed: bool) -> None:
    tape = interrupted(tmp_path, sealed=sealed)
    tape.close()
    with recording.open(store.segments(tape.folder)[0]) as opened:
        frames = list(opened.frames())
        assert [frame.number for frame in frames] == list(range(3 * AGAIN + 1))
        assert texts(opened) == [b"%d" % number for number in range(3 * AGAIN)]
        assert [opened.frame(frame.number) for frame in frames] == frames
        assert opened.frame(3 * AGAIN + 1) is None
        assert (opened.state, opened.damage, opened.duration) == (State.CLOSED, [], 15_000)
        for start in range(0, 17_000, 500):
            for end in (*range(0, 17_000, 500), None):
                expected = [frame for frame in frames if frame.t >= start and (end is None or frame.t < end)]
                assert list(opened.frames(start, end)) == expected


def test_what_was_written_again_is_a_fact_and_no_fault(tmp_path: Path) -> None:
    tape = interrupted(tmp_path)
    tape.close()
    report = check(tape)
    assert (report.faults, report.state, report.frames) == ((), State.CLOSED, 3 * AGAIN + 1)
    assert "5 frames at the end of segment 0 were written again in segment 1" in words(report)


def test_frames_that_were_not_written_again_are_not_said_to_be(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), 0)
    confirmed = tape.confirmed()
    put(tape, 1, 2, 3).fail(confirmed)
    tape.next_segment()
    tape.put(Kind.GAP, 0, {"why": "the disk was full"}, 1)
    put(tape, 2).close()
    report = check(tape)
    assert not report.faults
    told = "3 frames at the end of segment 0 do not count, and not all of them were written again in segment 1"
    assert told in words(report)
    with recording.open(tape.path) as opened:
        assert texts(opened) == [b"0", b"2"]


@pytest.mark.parametrize("content", [b"\0", b"\xff", None])
def test_what_a_failed_sync_left_is_nobody_s_loss(tmp_path: Path, content: bytes | None) -> None:
    tape = put(Tape(tmp_path), *range(AGAIN))
    confirmed = tape.confirmed()
    put(tape, *range(AGAIN, 40)).chunk()
    put(tape, *range(40, 80)).flush()
    path = tape.fail(confirmed)
    left = path.stat().st_size - confirmed
    noise = content * left if content is not None else random.Random(2).randbytes(left)
    path.write_bytes(path.read_bytes()[:confirmed] + noise)
    tape.next_segment()
    put(tape, *range(AGAIN, 80)).close()
    with recording.open(path) as opened:
        assert texts(opened) == [b"%d" % number for number in range(80)]
        assert opened.damage == []
    for catalogue in (False, True):
        report = check(tape, catalogue=catalogue)
        assert not report.faults
        assert f"{left} bytes at the end of segment 0 do not count" in words(report)


def test_nothing_was_confirmed(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), *range(3))
    tape.segment.abandon()
    tape._previous = Previous(0, tree.EMPTY_ROOT, 0, tree.EMPTY_ROOT)
    tape.next_segment()
    put(tape, *range(4)).close()
    with recording.open(tape.path) as opened:
        assert texts(opened) == [b"%d" % number for number in range(4)]
    assert not check(tape).faults


def test_any_number_of_segments_each_cut_anywhere(tmp_path: Path) -> None:
    rng = random.Random(11)
    for round_ in range(25):
        tape = Tape(tmp_path / str(round_))
        confirmed, number = 0, 0  # the frames that count so far
        for _ in range(rng.randrange(1, 5)):
            number = confirmed
            length = tape.confirmed()
            for _ in range(rng.randrange(0, 30)):
                put(tape, number)
                number += 1
                if rng.random() < 0.2:
                    tape.chunk()
                if rng.random() < 0.2:
                    confirmed, length = number, tape.confirmed()
            tape.fail(length)
            tape.next_segment()
        put(tape, *range(confirmed, number)).close()
        with recording.open(tape.path) as opened:
            assert texts(opened) == [b"%d" % each for each in range(number)], f"round {round_}"
            assert [frame.number for frame in opened.frames()] == list(range(number + 1))
            for start in range(0, number * 1000, 3000):
                assert texts(opened, start, start + 5000) == [
                    b"%d" % each for each in range(number) if start <= each * 1000 < start + 5000
                ]
        report = check(tape)
        assert not report.faults, f"round {round_}: {words(report)}"
        assert report.frames == number + 1


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("content", [b"", b"\x50\x2a\x4d\x18\xff\x00"])
def test_a_segment_that_was_never_begun_is_no_loss(tmp_path: Path, number: int, content: bytes) -> None:
    tape = put(Tape(tmp_path), *range(3))
    if number:
        tape.abandon()
        tape._number += 1
        path = tape.folder / "1.tape"
    else:
        tape.segment.abandon()
        path = tape.path
    path.write_bytes(content)
    tape._previous = Previous(len(content), hashlib.sha256(content).digest(), 0, tree.EMPTY_ROOT)
    tape.next_segment()
    tape.put(Kind.RECOVERY, 0, {"kept": 0}).close()
    assert not verify(store.segments(tape.folder)).faults
    report = check(tape)
    assert (report.faults, report.state) == ((), State.RECOVERED)
    assert f"segment {number} was never begun: its {len(content)} bytes hold no frame" in words(report)
    with recording.open(tape.path) as opened:
        assert opened.damage == []
        assert len(texts(opened)) == 3 * number
    path.write_bytes(content + b"x")
    assert not check(tape).faults
    path.write_bytes(b"y" + content[1:] if content else b"")
    assert bool(content) == bool(check(tape).faults)
    path.unlink()
    assert check(tape).faults


# Faults


def second(tape: Tape, **changes: object) -> None:
    """Makes the second segment anew, with another account of the first."""
    path = store.segments(tape.folder)[1]
    path.unlink()
    first = previous(store.segments(tape.folder)[0], tape._previous.length if tape._previous else 0)
    said = replace(first, **changes)  # type: ignore[arg-type] # by name
    segment = Segment(
        path,
        tape.session,
        tape.start,
        ("gw", tape.key),
        Compressors(),
        number=1,
        first_frame=said.frames,
        previous=said,
    )
    segment.append([Entry(20_000, Kind.CLOSE, 0, {})], NOW)
    segment.finish(NOW)


@pytest.fixture
def cut(tmp_path: Path) -> Tape:
    tape = interrupted(tmp_path)
    tape.segment.abandon()
    return tape


def test_the_first_frames_may_be_continued_at_any_of_them(cut: Tape) -> None:
    first = previous(store.segments(cut.folder)[0], cut._previous.length if cut._previous else 0)
    second(cut)
    assert not check(cut, catalogue=False).faults
    assert first.frames == AGAIN


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"frames": AGAIN + 1}, "it continues 6 frames, segment 0 has 5"),
        ({"frames": (1 << 64) - 100, "length": (1 << 64) - 1}, "segment 0 has 10"),
        ({"frames": 1 << 40}, "it continues 1099511627776 frames, segment 0 has 5"),
        ({"sha256": bytes(32)}, "segment 0 is not the one that it continues"),
        ({"length": 10}, "segment 0 is not the one that it continues"),
        ({"length": 1 << 50}, "segment 0 is not the one that it continues"),
        ({"root": bytes(32)}, "the 5 frames that it continues are not those of segment 0"),
        ({"frames": AGAIN - 1}, "the 4 frames that it continues are not those of segment 0"),
    ],
)
def test_a_wrong_account_of_the_segment_before_is_found(cut: Tape, changes: dict[str, object], told: str) -> None:
    second(cut, **changes)
    report = check(cut, catalogue=False)
    assert Trouble.ALTERED in troubles(report)
    assert told in "\n".join(words(report))
    with recording.open(cut.path) as opened:
        assert len(list(opened.frames())) <= 2 * AGAIN + 1


def test_a_first_segment_that_is_missing_shortened_or_changed_is_found(cut: Tape) -> None:
    second(cut)
    path = store.segments(cut.folder)[0]
    content = path.read_bytes()
    length = cut._previous.length if cut._previous else 0
    path.unlink()
    assert Trouble.ALTERED in troubles(check(cut, catalogue=False))
    for changed in (content[: length - 1], content[:20] + b"\0" + content[21:], content[: length - 1] + b"\0"):
        path.write_bytes(changed)
        assert Trouble.ALTERED in troubles(check(cut, catalogue=False))
    for changed in (content[:length], content, content + b"more"):
        path.write_bytes(changed)
        assert not check(cut, catalogue=False).faults


def test_the_catalogue_is_not_asked_for_what_no_sync_confirmed(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), *range(AGAIN)).chunk()
    confirmed = tape.confirmed()
    put(tape, *range(AGAIN, 10)).flush().chunk()
    put(tape, *range(10, 20)).flush()
    path = tape.fail(confirmed)
    tape.next_segment()
    put(tape, *range(AGAIN, 20)).close()
    assert not check(tape).faults
    path.write_bytes(path.read_bytes()[: confirmed - 10])
    assert Trouble.TAIL_MISSING in troubles(check(tape))


def test_nobody_but_the_gateway_can_take_frames_back(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), *range(AGAIN))
    path = tape.abandon()
    forged = Tape(tmp_path / "forged", session=tape.session, key=Ed25519PrivateKey.generate())
    forged.finish()
    forged._previous = Previous(0, bytes(32), 0, bytes(32))
    forged.next_segment()
    forged.put(Kind.OUT, 1, b"nothing else").close()
    (tape.folder / "1.tape").write_bytes(forged.path.read_bytes())
    with recording.open(path) as opened:
        assert texts(opened)[:AGAIN] == [b"%d" % number for number in range(AGAIN)]
    assert Trouble.OTHER_KEY in troubles(check(tape))
    assert "5 frames" in "\n".join(words(check(tape)))


def test_mangled_segments_crash_nothing_and_are_found(tmp_path: Path) -> None:
    tape = interrupted(tmp_path)
    tape.close()
    first, second = store.segments(tape.folder)
    content = {path: path.read_bytes() for path in (first, second)}
    counts = len(content[first]) - len(noise_after(tape))
    rng = random.Random(5)
    for round_ in range(300):
        path = rng.choice((first, second))
        mangled = bytearray(content[path])
        at = rng.randrange(counts if path is first else len(mangled))
        mangled[at] ^= 1 << rng.randrange(8)
        path.write_bytes(mangled if rng.random() < 0.7 else mangled[:at])
        try:
            with recording.open(first) as opened:
                for frame in opened.frames():
                    opened.frame(frame.number)
                opened.refresh()
                _ = opened.session, opened.duration, opened.damage
        except Unreadable:
            pass
        assert check(tape).faults, f"round {round_}: byte {at} of {path.name}"
        path.write_bytes(content[path])
    assert not check(tape).faults


def noise_after(tape: Tape) -> bytes:
    """What follows in the first segment after what counts of it."""
    first, second = store.segments(tape.folder)
    with closing(SegmentReader(second)) as reader:
        before = reader.header.previous
    assert before is not None
    return first.read_bytes()[before.length :]


def test_a_segment_of_any_number_is_none_that_follows(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open()
    tape.finish()
    tape._number = (1 << 64) - 2
    tape.next_segment()
    tape.close()
    assert Trouble.ALTERED in troubles(check(tape))


# While it is open


def test_a_new_segment_takes_frames_back_and_gives_them_again(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), *range(AGAIN))
    confirmed = tape.confirmed()
    put(tape, *range(AGAIN, 10)).flush()
    with recording.open(tape.path) as opened:
        assert (len(texts(opened)), opened.duration, opened.taken_back) == (10, 9_000, 0)
        tape.fail(confirmed)
        opened.refresh()
        assert (len(texts(opened)), opened.state, opened.taken_back) == (10, State.UNCLOSED, 0)
        tape.next_segment()
        opened.refresh()
        assert (len(texts(opened)), opened.state, opened.taken_back) == (AGAIN, State.LIVE, 1)
        assert opened.duration == (AGAIN - 1) * 1000
        put(tape, *range(AGAIN, 12)).flush()
        opened.refresh()
        assert texts(opened) == [b"%d" % number for number in range(12)]
        tape.close()
        opened.refresh()
        assert (opened.state, opened.segments, opened.taken_back) == (State.CLOSED, 2, 1)


def grown(tape: Tape, opened: Recording, steps: list[Callable[[], object]]) -> list[Frame]:
    """Every frame that one pass gives while the tape grows between them."""
    found = []
    for frame in opened.frames():
        found.append(frame)
        if steps:
            steps.pop(0)()
            opened.refresh()
    return found


def test_one_pass_misses_nothing_while_chunks_are_sealed_and_segments_begin(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), 0, 1, 2).flush()
    steps: list[Callable[[], object]] = [
        lambda: put(tape, 3, 4).flush(),
        lambda: put(tape, 5).chunk(),
        lambda: put(tape, 6).flush(),
        lambda: put(tape, 7).chunk(),
        lambda: put(tape, 8, 9).finish(),
        tape.next_segment,
        lambda: put(tape, 10).flush(),
        lambda: put(tape, 11).chunk(),
        tape.close,
    ]
    with recording.open(tape.path) as opened:
        found = grown(tape, opened, steps)
        assert [frame.number for frame in found] == list(range(13))
        assert found == list(opened.frames())


def test_an_empty_file_beside_a_live_tape_is_a_segment_that_begins(tmp_path: Path) -> None:
    tape = put(Tape(tmp_path), 0).flush()
    with recording.open(tape.path) as opened:
        (tape.folder / "1.tape").touch()
        opened.refresh()
        assert opened.damage == []
        (tape.folder / "1.tape").write_bytes(b"no tape at all")
        opened.refresh()
        assert ["1.tape" in damage.reason for damage in opened.damage] == [True]
    tape.close()


# Recovered


def recovered(tape: Tape) -> Tape:
    tape.open().run(1, b"ls", b"a\n").abandon()
    tape.next_segment()
    facts = {"kept": 7, "cut": 31, "journal": 2, "why": "the gateway was killed"}
    return tape.put(Kind.RECOVERY, 0, facts)


def test_a_recovered_session_says_so_everywhere(tmp_path: Path) -> None:
    library = Library(tmp_path)
    tape = recovered(library.tape())
    tape.close()
    row = library.add(tape, State.LIVE)
    assert present.as_it_is(row, library.config).state is State.RECOVERED
    with recording.open(tape.session, library.config) as opened:
        assert opened.session.state is State.RECOVERED
        assert opened.session.reason == "the agent disconnected"
        assert opened.session.ended == START + opened.duration * 1000
        text = "".join(encode(opened))
    told = "recovered: 7 frames kept, 31 bytes cut off, 2 frames taken from the journal: the gateway was killed"
    assert told in text
    assert any(line.startswith("time ") and line.endswith(", recovered") for line in text.splitlines())
    report = check(tape)
    assert (report.faults, report.state) == ((), State.RECOVERED)


def test_a_session_that_goes_on_after_a_failed_sync_was_not_recovered(tmp_path: Path) -> None:
    tape = interrupted(tmp_path)
    tape.close()
    with recording.open(tape.path) as opened:
        assert opened.state is State.CLOSED


def test_hostile_recovery_facts_are_printable(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open()
    for facts in ({"kept": "\x1b[2J", "why": b"\xff\x1b"}, {"cut": [1], "journal": None}, {}, 7, None):
        tape.put(Kind.RECOVERY, 0, facts)
    tape.close()
    with recording.open(tape.path) as opened:
        assert all(line.isprintable() for line in "".join(encode(opened)).split("\n"))
