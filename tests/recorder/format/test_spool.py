"""The spool by what can be seen from outside: files, locks, futures, and a disk that stalls or fails."""

import asyncio
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from recorder import tree
from recorder.format import journal, store
from recorder.format.frame import ChunkDecoder, Kind
from recorder.format.reader import SegmentReader, UnreadableTape, decompressed
from recorder.format.spool import JOURNAL, Spool, Tape, TapeError
from recorder.format.writer import is_locked
from recorder.model import Head
from tests.recorder.format.tape_tools import CHUNK, GATEWAY, ROOT, START, Reading, only, pieces, read

DAY = 86_400_000_000_000
LIMIT = 20  # seconds for what should take a moment


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


@dataclass(frozen=True)
class Bench:
    """A spool in a folder of its own, the process that writes for it, and the heads that it reported."""

    spool: Spool
    tapes: Path
    journal: Path
    writer: int
    heads: list[tuple[Head, bool]]
    gate: threading.Event  # while it is clear, the journal's disk hangs
    warnings: list[str]

    def open(self, *, day: int = 0) -> Tape:
        now = START + day * DAY
        return self.spool.open(store.new_session_id(now), now)

    def path(self, tape: Tape) -> Path:
        return store.folder_of(self.tapes, tape.session) / "0.tape"

    def read(self, tape: Tape) -> Reading:
        return read(self.path(tape))

    def journaled(self, tape: Tape) -> list[bytes]:
        """The bodies of the tape's frames that the journal's file holds, from the first that is on no tape."""
        found = journal.leftover(self.journal / JOURNAL)
        return [bytes(item.body) for item in found if item.session == tape.key and item.kind < journal.OPEN_TAPE]

    async def written(self, tape: Tape) -> None:
        """Waits until all that was appended is readable in the tape's file."""
        await until(lambda: self.path(tape).exists() and len(readable(self.path(tape))) == tape.frames)

    def outstanding(self) -> int:
        """Bytes that only the journal has."""
        self.spool._journal.look()
        return self.spool._journal.outstanding

    def stall(self) -> None:
        """Lets nothing more be written, as a disk does that hangs: neither the journal nor tapes."""
        os.kill(self.writer, signal.SIGSTOP)
        self.gate.clear()

    def go_on(self) -> None:
        os.kill(self.writer, signal.SIGCONT)
        self.gate.set()


@asynccontextmanager
async def bench(tapes: Path) -> AsyncIterator[Bench]:
    before = children()
    heads: list[tuple[Head, bool]] = []
    tapes.mkdir(exist_ok=True)
    folder = tapes.with_name(f"{tapes.name}-journal")
    spool = Spool(
        tapes, folder, GATEWAY, asyncio.get_running_loop(), lambda head, running: heads.append((head, running))
    )
    (writer,) = children() - before
    gate = threading.Event()
    gate.set()
    sync = spool._journal.sync

    def gated() -> None:
        gate.wait(LIMIT)
        sync()

    spool._journal.sync = gated  # type: ignore[method-assign] # the real sync, behind a gate
    warnings: list[str] = []
    spool.on_warning = warnings.append
    made = Bench(spool, tapes, folder, writer, heads, gate, warnings)
    try:
        yield made
    except BaseException:
        os.kill(writer, signal.SIGKILL)  # a test that failed does not wait for what it left behind
        raise
    finally:
        if writer in children():
            made.go_on()
        await asyncio.to_thread(spool.stop)


async def until(done: Callable[[], bool], seconds: float = LIMIT) -> None:
    """Polls what cannot be awaited: another process's file."""
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.01)


def run(work: Callable[[Bench], Awaitable[None]], tapes: Path) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30), bench(tapes) as made:
            await work(made)

    asyncio.run(whole())


def is_clear(tape: Tape) -> bool:
    """Asked anew each time: it changes while one waits."""
    return tape.clear


def bodies(reading: Reading) -> list[object]:
    return [frame.body for frame in reading.frames]


def test_a_barrier_is_done_only_after_a_sync_of_the_journal_that_holds_all_that_was_appended(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        for number in range(50):
            tape.append(Kind.IN, 0, b"%d" % number)
            barrier = tape.barrier()
            assert not barrier.done()
            await barrier
            assert made.journaled(tape) == [b"%d" % at for at in range(number + 1)]

    run(work, tmp_path)


def test_one_sync_serves_all_who_wait_at_that_moment(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        syncs: list[float] = []
        real = made.spool._journal.sync  # behind the gate, which is open

        def counted() -> None:
            syncs.append(time.monotonic())
            real()

        made.spool._journal.sync = counted  # type: ignore[method-assign] # counts the syncs that are really made
        tapes = [made.open() for _ in range(200)]
        for tape in tapes:
            tape.append(Kind.IN, 0, b"x")
        await asyncio.gather(*(tape.barrier() for tape in tapes))
        assert len(syncs) <= 3

    run(work, tmp_path)


def test_a_barrier_with_nothing_to_wait_for_is_done_at_once(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        assert tape.barrier().done()
        tape.append(Kind.IN, 0, b"x")
        await tape.barrier()
        await until(lambda: tape.barrier().done())

    run(work, tmp_path)


def test_what_was_appended_before_a_barrier_is_behind_it_what_came_later_may_not_be(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        barriers = []
        for number in range(200):
            tape.append(Kind.OUT, 0, b"%d" % number)
            barriers.append(tape.barrier())
        for number, barrier in enumerate(barriers):
            await barrier
            assert len(made.journaled(tape)) > number

    run(work, tmp_path)


def test_every_kind_of_body_keeps_its_form_and_its_time(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    given: list[tuple[int, int, object]] = [
        (Kind.OPEN, 0, {"agent": "ci", "user": name, "rules": bytes(32)}),
        (Kind.IN, 1, b""),
        (Kind.OUT, 2**32 - 1, bytes(range(256)) * 128),
        (Kind.ERR, 1, b"\xff"),
        (Kind.MADE, 1, [1, b"x"]),
        (77, 1, {"new": None}),
        (Kind.CLOSE, 0, {"reason": ""}),
    ]

    async def work(made: Bench) -> None:
        tape = made.open()
        for kind, stream, body in given:
            tape.append(kind, stream, body)
        await tape.close()
        reading = made.read(tape)
        assert [(frame.kind, frame.stream, frame.body) for frame in reading.frames] == given
        times = [frame.t for frame in reading.frames]
        assert times == sorted(times)
        assert times[-1] <= tape.now()

    run(work, tmp_path)


def test_closing_gives_the_size_of_the_file_and_the_number_of_frames(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        for number in range(1000):
            tape.append(Kind.OUT, 0, b"x" * number)
        first, second = tape.close(), tape.close()
        assert await first == await second == (made.path(tape).stat().st_size, 1000, 1, 0)
        reading = made.read(tape)
        assert reading.closed
        assert [len(frame.data()) for frame in reading.frames] == list(range(1000))

    run(work, tmp_path)


def test_a_tape_without_frames_closes_as_a_whole_file(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        size, frames, _, _ = await tape.close()
        assert (made.path(tape).stat().st_size, frames) == (size, 0)
        assert made.read(tape).closed

    run(work, tmp_path)


def test_many_tapes_at_once_keep_their_frames_apart_and_in_order(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tapes = [made.open() for _ in range(60)]
        for number in range(40):
            for at, tape in enumerate(tapes):
                tape.append(Kind.OUT, at, b"%d of %d" % (number, at))
            if number % 10 == 0:
                await asyncio.gather(*(tape.barrier() for tape in tapes))
        results = await asyncio.gather(*(tape.close() for tape in tapes))
        assert all(closed.frames == 40 for closed in results)
        for at, tape in enumerate(tapes):
            assert bodies(made.read(tape)) == [b"%d of %d" % (number, at) for number in range(40)]

    run(work, tmp_path)


def test_what_is_appended_is_readable_soon_though_nobody_asks(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.append(Kind.IN, 0, b"first")
        await until(lambda: made.path(tape).exists() and bool(readable(made.path(tape))))
        reader = SegmentReader(made.path(tape))
        for number in range(5):
            tape.append(Kind.IN, 0, b"key %d" % number)
            began = time.monotonic()
            await until(lambda: shown(reader) == number + 2)  # noqa: B023 - awaited within the turn
            assert time.monotonic() - began < 2  # 100 ms are meant; machines are busy
        reader.close()

    def shown(reader: SegmentReader) -> int:
        reader.refresh()
        return sum(1 for chunk in reader.chunks for _ in reader.frames(chunk))

    run(work, tmp_path)


def readable(path: Path) -> list[object]:
    try:
        return bodies(read(path))
    except UnreadableTape:
        return []  # the HEADER is not there yet


def test_an_open_tape_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.append(Kind.IN, 0, b"x")
        await made.written(tape)
        descriptor = os.open(made.path(tape), os.O_RDONLY)
        try:
            assert is_locked(descriptor)
            await tape.close()
            assert not is_locked(descriptor)
        finally:
            os.close(descriptor)

    run(work, tmp_path)


def test_a_stalled_disk_holds_the_session_and_lets_it_go_on_later(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.append(Kind.IN, 0, b"before")
        await tape.barrier()
        assert is_clear(tape)
        cleared = asyncio.Event()
        tape.on_clear = cleared.set
        made.stall()
        began = time.monotonic()
        sent = 0
        while is_clear(tape):
            waited = time.monotonic() - began
            tape.append(Kind.IN, 0, b"%d" % sent)
            sent += 1
            assert waited < 1 or not is_clear(tape)  # 250 ms are meant; machines are busy
            await asyncio.sleep(0.01)
        assert not cleared.is_set()
        made.go_on()
        await asyncio.wait_for(cleared.wait(), LIMIT)
        assert is_clear(tape)
        await tape.close()
        assert bodies(made.read(tape)) == [b"before", *(b"%d" % number for number in range(sent))]

    run(work, tmp_path)


def test_one_slow_moment_of_the_disk_holds_every_session(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tapes = [made.open() for _ in range(5)]
        cleared = [asyncio.Event() for _ in tapes]
        for tape, event in zip(tapes, cleared, strict=True):
            tape.on_clear = event.set
        made.stall()
        while any(tape.clear for tape in tapes):
            for tape in tapes:
                tape.append(Kind.IN, 0, b"x")
            await asyncio.sleep(0.01)
        made.go_on()
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in cleared)), LIMIT)

    run(work, tmp_path)


def test_a_terminal_is_held_after_64_kib_that_are_not_on_disk(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.limit_unsynced(64 * 1024)
        cleared = asyncio.Event()
        tape.on_clear = cleared.set
        made.stall()
        sent = 0
        while is_clear(tape):
            tape.append(Kind.OUT, 1, bytes(8 * 1024))
            sent += 8 * 1024
        assert sent <= 64 * 1024
        made.go_on()
        await asyncio.wait_for(cleared.wait(), LIMIT)
        assert is_clear(tape)
        await tape.close()

    run(work, tmp_path)


def test_more_than_can_wait_is_kept_in_order_all_the_same(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape, other = made.open(), made.open()
        made.stall()
        for number in range(800):
            tape.append(Kind.OUT, 0, number.to_bytes(4, "big") * 8192)
            if number % 100 == 0:
                other.append(Kind.IN, 0, b"%d" % number)
        assert not tape.clear
        made.go_on()
        assert (await tape.close()).frames == 800
        reading = made.read(tape)
        assert [int.from_bytes(frame.data()[:4], "big") for frame in reading.frames] == list(range(800))
        await other.close()
        assert bodies(made.read(other)) == [b"%d" % number for number in range(0, 800, 100)]

    run(work, tmp_path)


def test_heads_that_are_reported_are_those_on_the_tape(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        for _ in range(20):
            tape.append(Kind.OUT, 0, os.urandom(32 * 1024))
        await tape.close()
        # Of those that come within 100 ms only the newest.
        await until(lambda: any(head.tree_size == 3 for head, _ in made.heads))
        reader = SegmentReader(made.path(tape))
        for head, running in made.heads:
            if running:
                continue
            checkpoint = tree.open_checkpoint(head.note, f"tachograph/{tape.session}/0", reader.header.key)
            assert (checkpoint.size, checkpoint.root) == (head.tree_size, head.root)
        assert reader.header.endorsed()
        assert (reader.header.session, reader.header.start) == (tape.session, START)
        reader.close()

    run(work, tmp_path)


def test_while_a_chunk_is_open_its_running_head_is_reported(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.append(Kind.IN, 0, b"x")
        await until(lambda: any(running for _, running in made.heads), 5)
        head = next(head for head, running in made.heads if running)
        assert head.session == tape.session
        assert head.note.startswith(f"tachograph/{tape.session}/0/running\n")
        await tape.close()

    run(work, tmp_path)


def test_what_remains_of_a_message_is_carried_into_the_next_chunk(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        left = 400_000
        while left:
            size = min(left, 32 * 1024)
            left -= size
            tape.append(Kind.IN, 3, bytes(size), left)
        await tape.close()
        data = made.path(tape).read_bytes()
        second = only(pieces(data), CHUNK)[1]
        reader = SegmentReader(made.path(tape))
        assert reader.chunks[1].offset == second.offset
        decoder = ChunkDecoder()
        list(itertools.chain.from_iterable(map(decoder.feed, decompressed(second.content))))
        assert decoder.preamble is not None
        assert decoder.preamble.resume == ((3, 0, 400_000 - 8 * 32 * 1024),)
        reader.close()

    run(work, tmp_path)


async def failure(tape: Tape) -> str:
    with pytest.raises(TapeError) as caught:
        await tape.barrier()
    return str(caught.value)


def test_a_folder_that_cannot_be_written_ends_that_tape_with_a_sentence_and_no_other(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        good, bad = made.open(), made.open(day=1)
        blocked = store.folder_of(tmp_path, bad.session).parent
        blocked.parent.mkdir(parents=True, exist_ok=True)
        blocked.touch()  # a file where the day's folder should be
        told: list[TapeError] = []
        bad.on_failure = told.append
        good.append(Kind.IN, 0, b"a")
        bad.append(Kind.IN, 0, b"b")
        await until(lambda: bool(told))
        said = await failure(bad)
        assert said.startswith("cannot write the tape in ")
        assert str(blocked) in said
        assert "make room or mend the folder's rights" in said
        assert "\n" not in said
        assert [str(error) for error in told] == [said]
        assert bad.failed is told[0]
        assert not bad.clear
        bad.append(Kind.IN, 0, b"into nothing")
        assert await failure(bad) == said
        with pytest.raises(TapeError):
            await bad.close()
        await good.barrier()
        good.append(Kind.IN, 0, b"c")
        await good.close()
        assert bodies(made.read(good)) == [b"a", b"c"]
        later = made.open()
        later.append(Kind.IN, 0, b"d")
        await later.close()

    run(work, tmp_path)


def test_a_file_that_takes_no_more_is_followed_by_a_new_segment_and_nothing_is_lost(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tape = made.open()
        pieces = [os.urandom(32 * 1024) for _ in range(15)]
        for piece in pieces[:9]:
            tape.append(Kind.OUT, 0, piece)  # fills a chunk: the tape is synced then
        await until(lambda: made.outstanding() < 64 * 1024)
        room = made.path(tape).stat().st_size + 100_000
        resource.prlimit(made.writer, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for piece in pieces[9:]:
            tape.append(Kind.OUT, 0, piece)
        await until(lambda: made.path(tape).with_name("1.tape").exists())
        resource.prlimit(made.writer, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        closed = await tape.close()
        assert closed.segments > 1
        assert whole(made.path(tape).parent) == pieces
        assert any("it goes on in a new segment" in warning for warning in made.warnings)

    run(work, tmp_path)


def whole(folder: Path) -> list[object]:
    """The bodies on a tape of several segments, each as far as the next one says that it counts."""
    found: list[object] = []
    for path in store.segments(folder):
        reader = SegmentReader(path)
        del found[reader.header.first_frame :]
        found += [frame.body for chunk in reader.chunks for frame in reader.frames(chunk)]
        reader.close()
    return found


def test_a_tape_that_can_be_written_nowhere_is_set_aside_and_others_go_on(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        bad, good = made.open(), made.open(day=1)
        bad.append(Kind.IN, 0, b"kept")
        good.append(Kind.IN, 0, b"x")
        await made.written(bad)
        await made.written(good)
        resource.prlimit(made.writer, resource.RLIMIT_FSIZE, (made.path(bad).stat().st_size, resource.RLIM_INFINITY))
        told: list[TapeError] = []
        bad.on_failure = told.append
        bad.append(Kind.OUT, 0, b"set aside")
        # Neither the file, nor a new segment, nor a file beside the journal takes anything: the journal keeps it.
        await until(lambda: bool(told))
        assert "File too large" in str(told[0]), told
        resource.prlimit(made.writer, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        left = made.journal / f"{bad.session}{journal.LEFT}"
        await until(left.exists)
        good.append(Kind.IN, 0, b"y")
        await good.close()
        assert bodies(made.read(good)) == [b"x", b"y"]

    run(work, tmp_path)
    left = next(tmp_path.with_name(f"{tmp_path.name}-journal").glob(f"*{journal.LEFT}"))
    assert b"set aside" in [bytes(item.body) for item in journal.unpack_left(left)]


def test_when_the_writer_dies_every_session_is_told(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        tapes = [made.open() for _ in range(3)]
        for tape in tapes:
            tape.append(Kind.IN, 0, b"x")
            await made.written(tape)
        told = [asyncio.get_running_loop().create_future() for _ in tapes]
        for tape, future in zip(tapes, told, strict=True):
            tape.on_failure = future.set_result
        os.kill(made.writer, signal.SIGKILL)
        for error in await asyncio.wait_for(asyncio.gather(*told), LIMIT):
            assert isinstance(error, TapeError)
            assert "restart the gateway" in str(error)
        with pytest.raises(TapeError):
            made.open()
        for tape in tapes:
            assert bodies(made.read(tape)) == [b"x"]

    run(work, tmp_path)


def test_a_body_that_cannot_be_packed_harms_no_other_tape(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        bad, good = made.open(), made.open()
        with pytest.raises((TypeError, ValueError, OverflowError)):
            bad.append(Kind.NOTE, 0, {"name": {1, 2}})
        good.append(Kind.IN, 0, b"x")
        await good.close()
        bad.append(Kind.IN, 0, b"still here")
        await bad.close()
        assert bodies(made.read(bad)) == [b"still here"]

    run(work, tmp_path)


def test_a_body_over_the_limit_harms_no_other_tape(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        bad, good = made.open(), made.open()
        good.append(Kind.IN, 0, b"a")

        async def oversized() -> None:
            bad.append(Kind.OUT, 0, bytes(32 * 1024 + 1))
            await asyncio.wait_for(bad.barrier(), 5)

        with pytest.raises((ValueError, TapeError)):
            await oversized()
        good.append(Kind.IN, 0, b"b")
        await asyncio.wait_for(good.close(), 5)
        assert bodies(made.read(good)) == [b"a", b"b"]

    run(work, tmp_path)


def test_stopping_writes_what_was_appended_to_tapes_that_nobody_closed(tmp_path: Path) -> None:
    async def work() -> tuple[Bench, Tape]:
        async with bench(tmp_path) as made:
            tape = made.open()
            for number in range(100):
                tape.append(Kind.OUT, 0, b"%d" % number)
        return made, tape

    made, tape = asyncio.run(work())
    reading = made.read(tape)
    assert bodies(reading) == [b"%d" % number for number in range(100)]
    assert not reading.closed
    reader = SegmentReader(made.path(tape))
    assert not reader.live
    reader.close()


CRASH = """
import asyncio, os, signal, sys
from pathlib import Path
from recorder.format import guard
from recorder.format.spool import Spool
from tests.recorder.format.tape_tools import GATEWAY, SESSION, START

async def work():
    folder = Path(sys.argv[1])
    lock = guard.take(folder)
    spool = Spool(folder, folder / "journal", GATEWAY, asyncio.get_running_loop(), lock=lock)
    tape = spool.open(SESSION, START)
    tape.append(2, 0, b"first")
    await tape.barrier()
    for number in range(3000):
        tape.append(2, 0, b"%d" % number)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(work())
"""


def test_a_gateway_that_is_killed_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL

    async def settled() -> None:
        await until(lambda: not any(locked(path) for path in [*tmp_path.rglob("*.tape"), tmp_path / "lock"]))

    asyncio.run(settled())
    (path,) = tmp_path.rglob("*.tape")
    reading = read(path)
    assert bodies(reading) == [b"first", *(b"%d" % number for number in range(3000))]
    assert not reading.closed
    assert not reading.damage


def locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def test_barriers_of_a_crowd_are_all_done_once_a_stalled_disk_goes_on(tmp_path: Path) -> None:
    # More than the link to the scribe can hold: what it could not be told then, it must be told later.
    async def work(made: Bench) -> None:
        tape = made.open()
        tape.append(Kind.OUT, 1, b"first")
        await asyncio.wait_for(tape.barrier(), LIMIT)
        made.stall()
        waiting = []
        for number in range(3000):
            tape.append(Kind.OUT, 1, b"%d" % number)
            waiting.append(tape.barrier())
        made.go_on()
        await asyncio.wait_for(asyncio.gather(*waiting), LIMIT)

    run(work, tmp_path)
