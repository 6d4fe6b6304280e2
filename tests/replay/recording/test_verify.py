"""A tape that was changed in any way is found, and named; one that was not is never accused."""

import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import store
from recorder.format.frame import Kind
from recorder.format.reader import SegmentReader
from recorder.model import State
from replay.recording.findings import Trouble
from replay.recording.verify import Report, verify
from replay.recording.words import words
from tests.replay.tapes import Tape, small


def troubles(report: Report) -> set[Trouble]:
    return {fault.trouble for fault in report.faults}


def check(tape: Tape, *, catalogue: bool = True) -> Report:
    paths = store.segments(tape.folder)
    return verify(paths, session=tape.session, heads=tape.known() if catalogue else None, key=tape.public)


def test_closed_tape_is_complete_and_unchanged(tmp_path: Path) -> None:
    report = check(small(tmp_path))
    assert report.intact
    assert (report.state, report.chunks) == (State.CLOSED, 3)
    assert words(report)[0] == "complete and unchanged"
    assert words(report)[-1] == "not witnessed"


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_every_flipped_bit_is_found(tmp_path: Path, part: int) -> None:
    tape = small(tmp_path)
    content = bytearray(tape.path.read_bytes())
    kinds = set()
    # Every byte once, with a bit that changes from byte to byte: all bits of every byte take minutes.
    for offset in range(part, len(content), 4):
        content[offset] ^= 1 << (offset // 4) % 8
        tape.path.write_bytes(content)
        report = check(tape, catalogue=False)
        assert report.faults, f"a flipped bit in byte {offset} was not found"
        kinds |= troubles(report)
        content[offset] ^= 1 << (offset // 4) % 8
    assert Trouble.ALTERED in kinds


@pytest.mark.long
def test_every_single_bit_of_every_byte_is_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = bytearray(tape.path.read_bytes())
    for position in range(8 * len(content)):
        content[position // 8] ^= 1 << position % 8
        tape.path.write_bytes(content)
        assert check(tape, catalogue=False).faults, f"flipped bit {position % 8} of byte {position // 8}"
        content[position // 8] ^= 1 << position % 8


def test_every_cut_is_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    for length in range(0, len(content), 7):
        tape.path.write_bytes(content[:length])
        alone, known = check(tape, catalogue=False), check(tape)
        assert troubles(alone) & {Trouble.UNCLOSED, Trouble.ALTERED}, f"cut at {length}"
        assert known.faults, f"cut at {length}"


def test_cut_tail_is_known_to_the_catalogue(tmp_path: Path) -> None:
    tape = small(tmp_path)
    reader = SegmentReader(tape.path)
    end = reader.chunks[2].offset
    reader.close()
    tape.path.write_bytes(tape.path.read_bytes()[:end])
    text = "\n".join(words(check(tape)))
    assert "tail missing: the catalogue knows 3 chunks, the tape has 2" in text
    assert "unclosed: the gateway stopped at 2026-" in text


def test_open_chunk_that_was_cut_is_known_to_the_catalogue(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().chunk()
    size = tape.path.stat().st_size
    tape.run(1, b"rm -rf /").flush()
    path = tape.abandon()
    assert troubles(check(tape)) == {Trouble.UNCLOSED}
    path.write_bytes(path.read_bytes()[:size])
    report = check(tape)
    assert troubles(report) == {Trouble.UNCLOSED, Trouble.TAIL_MISSING}


def test_open_chunk_that_was_rewritten_is_known_to_the_catalogue(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"rm -rf /").flush()
    path = tape.abandon()
    reader = SegmentReader(path)
    body = reader.body
    reader.close()
    other = Tape(tmp_path / "other").open().run(1, b"ls").abandon()
    reader = SegmentReader(other)
    content = path.read_bytes()[:body] + other.read_bytes()[reader.body :]
    reader.close()
    path.write_bytes(content + bytes(4000))
    assert Trouble.ALTERED in troubles(check(tape))


def test_appended_bytes_are_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    rng = random.Random(5)
    for tail in (b"\0", b"TACHOEND", content[-100:], content, rng.randbytes(5000)):
        tape.path.write_bytes(content + tail)
        assert Trouble.ALTERED in troubles(check(tape, catalogue=False)), tail[:20]


def test_inserted_and_removed_bytes_are_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    rng = random.Random(7)
    for _ in range(200):
        at = rng.randrange(len(content))
        insert = rng.randbytes(rng.randrange(1, 40))
        removed = rng.randrange(1, 40)
        tape.path.write_bytes(content[:at] + insert + content[at:])
        assert check(tape, catalogue=False).faults, f"inserted {len(insert)} at {at}"
        tape.path.write_bytes(content[:at] + content[at + removed :])
        assert check(tape, catalogue=False).faults, f"removed {removed} at {at}"


def test_chunks_out_of_order_repeated_or_left_out_are_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    reader = SegmentReader(tape.path)
    cuts = [chunk.offset for chunk in reader.chunks] + [len(content)]
    reader.close()
    head, *parts = [content[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]
    first, second, last = parts
    for order in ([second, first, last], [first, last], [second, last], [first, first, second, last], [last]):
        tape.path.write_bytes(head + b"".join(order))
        assert Trouble.ALTERED in troubles(check(tape, catalogue=False))


def test_altered_chunk_is_named_with_its_times(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().chunk()
    tape.put(Kind.OUT, 1, bytes(range(256)) * 40, 192_000).put(Kind.OUT, 1, b"end", 194_000).chunk()
    tape.close()
    reader = SegmentReader(tape.path)
    offset = reader.chunks[1].offset + 60
    reader.close()
    content = bytearray(tape.path.read_bytes())
    content[offset] ^= 0x10
    tape.path.write_bytes(content)
    assert words(check(tape))[0] == "altered: chunk 1, 03:12–03:14: its bytes are not those that were sealed"


def test_whole_tape_by_another_gateway_is_found(tmp_path: Path) -> None:
    tape = small(tmp_path)
    forged = Tape(tmp_path / "forged", session=tape.session)
    forged.open().close()
    tape.path.write_bytes(forged.path.read_bytes())
    assert troubles(check(tape)) >= {Trouble.OTHER_KEY, Trouble.ALTERED}
    assert troubles(check(tape, catalogue=False)) == {Trouble.OTHER_KEY}


def test_tape_of_the_same_gateway_written_again_is_known_to_the_catalogue(tmp_path: Path) -> None:
    tape = small(tmp_path)
    forged = Tape(tmp_path / "forged", session=tape.session, key=tape.key)
    forged.open().close()
    tape.path.write_bytes(forged.path.read_bytes())
    assert Trouble.ALTERED in troubles(check(tape))


def test_tape_of_another_session_is_found(tmp_path: Path) -> None:
    one, other = small(tmp_path), small(tmp_path / "other")
    one.path.write_bytes(other.path.read_bytes())
    assert Trouble.ALTERED in troubles(verify([one.path], session=one.session, key=one.public))


def test_key_that_was_not_named_is_printed_and_no_fault(tmp_path: Path) -> None:
    tape = small(tmp_path)
    report = verify([tape.path])
    assert report.intact
    text = "\n".join(words(report))
    assert "no key was named" in text
    assert "not compared with a catalogue" in text


def test_other_key_is_a_fault(tmp_path: Path) -> None:
    tape = small(tmp_path)
    report = verify([tape.path], key=tree.public_bytes(Ed25519PrivateKey.generate()))
    assert troubles(report) == {Trouble.OTHER_KEY}
    assert words(report)[0].startswith("signed by a key that you did not name: gw, SHA256:")


def test_live_tape_is_unchanged_so_far(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"ls").chunk().run(2, b"pwd").flush()
    report = check(tape)
    assert (report.intact, report.state) == (True, State.LIVE)
    assert report.unsealed == 6
    tape.close()


def test_live_tape_at_any_moment_is_never_accused(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    content = small(tmp_path / "other").path.read_bytes()
    tape.open().flush()
    assert check(tape).intact
    for length in range(200):
        tape.put(Kind.OUT, 1, content[: length * 20])
        if length % 7 == 0:
            tape.flush()
        if length % 31 == 30:
            tape.chunk()
        assert not check(tape).faults, f"after frame {length}"
    tape.close()
    assert check(tape).intact


def test_unclosed_tape_says_when_the_gateway_stopped(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().put(Kind.OUT, 1, b"x", 192_000)
    tape.abandon()
    report = check(tape)
    assert troubles(report) == {Trouble.UNCLOSED}
    assert words(report)[0] == "unclosed: the gateway stopped at 2026-11-23T21:22:45Z (03:12)"


def test_segment_that_ends_without_a_close_misses_its_tail(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.open().run(1, b"ls")
    tape.finish()
    assert troubles(check(tape)) == {Trouble.TAIL_MISSING}


def two_segments(tapes: Path, *, torn: bool) -> Tape:
    tape = Tape(tapes)
    tape.open().run(1, b"ls", b"a\n").chunk().run(2, b"pwd", b"/\n")
    if torn:
        tape.abandon()
    else:
        tape.finish()
    tape.next_segment()
    if torn:
        tape.put(Kind.RECOVERY, 0, {"kept": 1})
    tape.run(3, b"id").close()
    return tape


@pytest.mark.parametrize("torn", [False, True])
def test_segments_are_chained(tmp_path: Path, torn: bool) -> None:
    tape = two_segments(tmp_path, torn=torn)
    report = check(tape)
    assert not report.faults
    assert report.state is (State.RECOVERED if torn else State.CLOSED)
    assert report.segments == 2


def test_segments_that_are_swapped_lost_or_changed_are_found(tmp_path: Path) -> None:
    tape = two_segments(tmp_path, torn=False)
    first, second = store.segments(tape.folder)
    one, two = first.read_bytes(), second.read_bytes()
    first.unlink()
    assert Trouble.ALTERED in troubles(check(tape))
    first.write_bytes(one)
    second.unlink()
    assert troubles(check(tape)) == {Trouble.TAIL_MISSING}
    second.write_bytes(one)
    assert Trouble.ALTERED in troubles(check(tape))
    other = two_segments(tmp_path / "other", torn=False)
    second.write_bytes(store.segments(other.folder)[1].read_bytes())
    assert Trouble.ALTERED in troubles(check(tape))
    second.write_bytes(two)
    assert not check(tape).faults


def test_torn_segment_that_was_cut_further_is_found(tmp_path: Path) -> None:
    tape = two_segments(tmp_path, torn=True)
    first = store.segments(tape.folder)[0]
    first.write_bytes(first.read_bytes()[:-1])
    assert Trouble.ALTERED in troubles(check(tape))


def test_noise_never_crashes(tmp_path: Path) -> None:
    tape = small(tmp_path)
    content = tape.path.read_bytes()
    rng = random.Random(11)
    for _ in range(300):
        mangled = bytearray(content)
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(len(mangled))
            mangled[at : at + rng.randrange(1, 8)] = rng.randbytes(rng.randrange(0, 12))
        tape.path.write_bytes(mangled)
        report = check(tape)
        assert report.faults
        assert all(line.isprintable() for line in words(report))


def test_names_in_a_hostile_header_are_printable(tmp_path: Path) -> None:
    tape = small(tmp_path)
    tape.path.write_bytes(tape.path.read_bytes().replace(b"gw", b"\x1b["))
    report = verify([tape.path])
    assert Trouble.ALTERED in troubles(report)
    assert all(line.isprintable() for line in words(report))


def test_large_frames_are_hashed_whole(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open()
    for number in range(40):
        tape.put(Kind.OUT, 1, random.Random(number).randbytes(32_768 - number * 800))
    tape.close()
    assert not check(tape).faults
