"""A tape that is written beside the session: readable soon, sealed in time, never silently incomplete."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import layout, store
from recorder.format.reader import SegmentReader
from recorder.model import State
from recorder.protocol import Broken, Direction
from recorder.protocols.local import STREAM, LocalTape
from replay import recording
from replay.recording import Kind

LIMIT_S = 20.0


def made(path: Path) -> LocalTape:
    now = time.time_ns()
    tape = LocalTape(path, store.new_session_id(now), now, ("ana@here", Ed25519PrivateKey.generate()))
    tape.open({"agent": "ana", "protocol": "local"})
    return tape


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_frames_come_in_order_and_are_counted(tmp_path: Path) -> None:
    tape = made(tmp_path / "a.tape")
    released: list[bytes] = []
    for number in range(1000):
        tape.cross(Direction(1 + number % 2), STREAM, b"%d" % number, released.append)
    tape.note("eof", STREAM, side="in")
    tape.close("done")
    with recording.open(tmp_path / "a.tape") as opened:
        data = [(frame.kind, frame.data()) for frame in opened.frames() if frame.kind in (1, 2)]
        assert data == [(1 + number % 2, b"%d" % number) for number in range(1000)]
        assert released == [body for _, body in data]
        assert opened.state is State.CLOSED
        assert (opened.session.bytes_in, opened.session.bytes_out, opened.session.reason) == (1445, 1445, "done")
        times = [frame.t for frame in opened.frames()]
        assert times == sorted(times)


def test_readable_and_live_while_it_grows(tmp_path: Path) -> None:
    tape = made(tmp_path / "a.tape")
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.live
        for number in range(3):
            tape.note(f"n{number}")

            def there(name: str = f"n{number}") -> bool:
                opened.refresh()
                return any(frame.facts().get("name") == name for frame in opened.frames())

            until(there)
        tape.close("done")
        opened.refresh()
        assert opened.state is State.CLOSED


def test_chunks_end_and_checkpoints_follow_although_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "CHUNK_US", 100_000)
    monkeypatch.setattr(layout, "IDLE_CHECKPOINT_US", 100_000)
    path = tmp_path / "a.tape"
    tape = made(path)

    def sealed() -> bool:
        segment = SegmentReader(path)
        segment.close()
        return any(chunk.seal is not None for chunk in segment.chunks)

    until(sealed)
    size = path.stat().st_size
    until(lambda: path.stat().st_size > size)  # a checkpoint, since no frame came
    tape.close("done")
    with recording.open(path) as opened:
        assert [frame.kind for frame in opened.frames()] == [Kind.OPEN, Kind.CLOSE]


def test_a_crowd_waits_and_is_called(tmp_path: Path) -> None:
    tape = made(tmp_path / "a.tape")
    called = threading.Event()
    tape.on_clear(called.set)
    data = os.urandom(layout.BODY_LIMIT)
    crossed = 0
    while tape.clear:
        tape.cross(Direction.OUT, STREAM, data, len)  # type: ignore[arg-type] # its result is nobody's
        crossed += 1
        assert crossed < 100_000
    assert called.wait(LIMIT_S)
    until(lambda: tape.clear)
    tape.close("done")
    with recording.open(tmp_path / "a.tape") as opened:
        assert sum(frame.kind == Kind.OUT for frame in opened.frames()) == crossed


def test_a_tape_that_cannot_be_written_says_so_once_and_takes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = made(tmp_path / "a\x1b.tape")
    told: list[Broken] = []
    heard = threading.Event()

    def break_off(error: Broken) -> None:
        told.append(error)
        heard.set()

    tape.on_broken(break_off)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, tape._segment._fd)  # what is written from now on finds no room
    os.close(full)
    tape.note("one")
    assert heard.wait(LIMIT_S)
    tape.note("two")
    with pytest.raises(Broken) as broken:
        tape.close("done")
    assert [broken.value] == told
    assert "No space left on device" in str(broken.value)
    assert str(broken.value).isprintable()
    late: list[Broken] = []
    tape.on_broken(late.append)
    assert late == told


def test_a_session_that_did_not_come_about_leaves_nothing(tmp_path: Path) -> None:
    tape = made(tmp_path / "a.tape")
    tape.discard()
    assert list(tmp_path.iterdir()) == []
    assert not any(thread.name == "tape" for thread in threading.enumerate())


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a.tape").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        made(tmp_path / "a.tape")
    assert (tmp_path / "a.tape").read_bytes() == b"mine"
