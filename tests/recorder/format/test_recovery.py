"""Recovery: what a torn tape and a journal hold becomes a session that is complete, whatever was cut where."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

from recorder.format import journal, store
from recorder.format.frame import Frame, Kind
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.format.recovery import Recovered, RecoveryError, recover
from recorder.format.spool import JOURNAL
from recorder.model import State
from replay.recording.verify import verify
from tests.recorder.format.tape_tools import GATEWAY, ROOT, SESSION, START

NOW = START + 60_000_000_000
COUNT = 2000

WORK = """
import asyncio, os, signal, sys, time
from pathlib import Path
from recorder.format.spool import Spool
from tests.recorder.format.tape_tools import GATEWAY, SESSION, START

async def work():
    data = Path(sys.argv[1])
    (data / "tapes").mkdir()
    spool = Spool(data / "tapes", data / "journal", GATEWAY, asyncio.get_running_loop())
    pause = float(sys.argv[3])
    if pause:
        await spool.ready()
    tape = spool.open(SESSION, START)
    tape.append(0, 0, {"agent": "ci", "run": "r", "target": "web1", "login": "deploy", "protocol": "ssh"})
    for number in range(int(sys.argv[2])):
        tape.append(1 + number % 2, 1, b"%d;" % number)
        if number % 500 == 0:
            await asyncio.sleep(0.03)
    print(spool._scribe.pid, flush=True)
    while pause and not list(data.rglob("0.tape")):
        await asyncio.sleep(0.01)
    await asyncio.sleep(pause)
    os.kill(spool._scribe.pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


def crashed(folder: Path, frames: int = COUNT, pause: float = 0.0) -> Path:
    """A data folder that a gateway and its scribe left, killed at the same moment."""
    folder.mkdir()
    command = [sys.executable, "-c", WORK, str(folder), str(frames), str(pause)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder


def recovered(data: Path, known: tuple[str, ...] = (SESSION,)) -> list[Recovered]:
    return list(recover(data / "tapes", data / "journal", GATEWAY, known, NOW))


def segments(data: Path) -> list[Path]:
    return store.segments(store.folder_of(data / "tapes", SESSION))


def frames(data: Path) -> list[Frame]:
    """All frames of the session, each segment as far as the next one lets it count."""
    found: list[Frame] = []
    for path in segments(data):
        try:
            reader = SegmentReader(path)
        except UnreadableTape:
            continue  # it was cut inside its HEADER
        previous = reader.header.previous
        assert previous is None or previous.frames <= len(found)
        assert reader.header.first_frame <= len(found)
        del found[reader.header.first_frame :]
        found += [frame for chunk in reader.chunks for frame in reader.frames(chunk)]
        reader.close()
    return found


def numbers(data: Path) -> list[int]:
    """The numbers that the worker wrote, in their order on the tape."""
    crossed = b"".join(frame.data() for frame in frames(data))
    return [int(number) for number in crossed.split(b";")[:-1]]


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_after_both_processes_were_killed_every_frame_is_on_the_recovered_session(tmp_path: Path, pause: float) -> None:
    data = crashed(tmp_path / "data", pause=pause)
    (found,) = recovered(data)
    assert numbers(data) == list(range(COUNT))
    assert found.account.bytes_in + found.account.bytes_out == sum(len(b"%d;" % number) for number in range(COUNT))
    report = verify(segments(data))
    assert report.faults == ()
    assert report.state is State.RECOVERED or len(segments(data)) == 1
    told = next(frame.facts() for frame in frames(data) if frame.kind == Kind.RECOVERY)
    assert told["kept"] == found.kept
    assert told["journal"] == found.journal
    assert frames(data)[-1].kind == Kind.CLOSE


def test_the_torn_segment_stays_as_it_is(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", pause=0.3)
    before = {path: path.read_bytes() for path in segments(data)}
    recovered(data)
    assert before
    assert all(path.read_bytes() == content for path, content in before.items())


def test_recovering_again_changes_nothing(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", pause=0.3)
    recovered(data)
    before = {path: path.read_bytes() for path in segments(data)}
    (again,) = recovered(data)
    assert again.complete
    assert {path: path.read_bytes() for path in segments(data)} == before


def test_a_session_that_the_catalogue_does_not_know_is_found_by_its_journal(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data")
    (found,) = recovered(data, ())
    assert found.session == SESSION
    assert found.start == START
    assert found.account.opened["agent"] == "ci"


def test_a_tape_that_is_cut_anywhere_is_made_whole_from_the_journal(tmp_path: Path) -> None:
    whole = crashed(tmp_path / "whole", frames=300, pause=0.3)
    (torn,) = segments(whole)
    size = torn.stat().st_size
    for cut in range(0, size, max(size // 25, 1)):
        data = tmp_path / f"cut{cut}"
        shutil.copytree(whole, data)
        with segments(data)[0].open("r+b") as file:
            file.truncate(cut)
        (found,) = recovered(data)
        assert numbers(data) == list(range(300)), f"cut at {cut}"
        assert found.account.gaps == 0
        assert verify(segments(data)).faults == (), f"cut at {cut}"


def test_a_recovery_that_was_cut_short_is_taken_up_by_the_next(tmp_path: Path) -> None:
    whole = crashed(tmp_path / "whole", frames=300, pause=0.0)
    reference = tmp_path / "reference"
    shutil.copytree(whole, reference)
    recovered(reference)
    size = segments(reference)[-1].stat().st_size
    for cut in range(0, size, max(size // 15, 1)):
        data = tmp_path / f"cut{cut}"
        shutil.copytree(whole, data)
        recovered(data)
        last = segments(data)[-1]
        with last.open("r+b") as file:
            file.truncate(min(cut, last.stat().st_size))  # sizes differ a little: seeds are random
        recovered(data)
        assert numbers(data) == list(range(300)), f"cut at {cut}"
        assert verify(segments(data)).faults == (), f"cut at {cut}"


def test_a_journal_with_a_torn_entry_gives_what_stands_before_it(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", frames=300)
    for path in segments(data):
        path.unlink()
    path = data / "journal" / JOURNAL
    items = [item for item in journal.leftover(path) if item.kind < journal.OPEN_TAPE]
    hit = items[150]
    with path.open("r+b") as file:
        file.seek(journal.HEADER + hit.position + 64)
        file.write(bytes([hit.body[0] ^ 1]))
    (found,) = recovered(data)
    assert found.journal == 150
    assert numbers(data) == list(range(149))  # and the open frame


def test_frames_that_are_nowhere_are_said_in_a_gap(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", frames=300, pause=0.3)
    (torn,) = segments(data)
    path = data / "journal" / JOURNAL
    freed = journal.leftover(path)[200].position
    with path.open("r+b") as file:
        file.seek(64)
        file.write(freed.to_bytes(8, "little"))
    with torn.open("r+b") as file:
        file.truncate(600)
    (found,) = recovered(data)
    gap = next(frame.facts() for frame in frames(data) if frame.kind == Kind.GAP)
    assert found.account.gaps == 1
    kept = [frame for frame in frames(data) if frame.kind in (1, 2)]
    assert gap["frames"] == 300 + 1 - len(kept)  # the open frame is among them
    assert verify(segments(data)).faults == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin as a journal"),
        (b"x" * 100, "does not begin as a journal"),
        (b"TACHOJ\x00\x02".ljust(journal.HEADER + journal.CAPACITY, b"\0"), "the journal of another version"),
        (b"TACHOJ\x00\x01", "it has 8 bytes"),
    ],
)
def test_what_is_no_journal_is_not_overwritten(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "journal" / JOURNAL
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(RecoveryError, match=why) as caught:
        recovered(tmp_path)
    assert "or move it elsewhere" in str(caught.value)
    assert path.read_bytes() == content


def test_a_journal_of_garbage_has_no_entries(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    whole = b"TACHOJ\x00\x01".ljust(journal.HEADER, b"\0") + os.urandom(journal.CAPACITY)
    path.write_bytes(whole)
    assert journal.leftover(path) == []


def test_a_disk_that_cannot_take_the_recovery_says_so_and_loses_nothing(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", frames=300)
    day = store.folder_of(data / "tapes", SESSION).parent
    shutil.rmtree(day, ignore_errors=True)
    day.parent.mkdir(parents=True, exist_ok=True)
    day.touch()
    with pytest.raises(RecoveryError, match="cannot recover session"):
        recovered(data)
    day.unlink()
    recovered(data)
    assert numbers(data) == list(range(300))


def test_what_a_failed_tape_set_aside_is_recovered_with_it(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", frames=300)
    for path in segments(data):
        path.unlink()
    items = journal.leftover(data / "journal" / JOURNAL)
    left = data / "journal" / f"{SESSION}{journal.LEFT}"
    left.write_bytes(b"".join(map(journal.pack_left, items)) + b"torn")
    (data / "journal" / JOURNAL).unlink()
    recovered(data)
    assert numbers(data) == list(range(300))
    assert not left.exists()


def test_notes_keep_their_form(tmp_path: Path) -> None:
    data = crashed(tmp_path / "data", frames=3)
    recovered(data)
    first = next(frame for frame in frames(data) if frame.kind == Kind.OPEN)
    assert first.facts()["target"] == "web1"
    assert msgpack.packb(first.facts())


def test_no_session_at_all_is_nothing_to_recover(tmp_path: Path) -> None:
    (tmp_path / "tapes").mkdir()
    assert list(recover(tmp_path / "tapes", tmp_path / "journal", GATEWAY, (), NOW)) == []
    assert list(recover(tmp_path / "tapes", tmp_path / "journal", GATEWAY, (SESSION,), NOW)) == []
