"""A worker's side of its tapes: the journal that every frame goes through first, and the process that writes them.

The scribe is a process because compression and hashing in a thread of this one took turns with the event loop at the
interpreter's lock: measured, a third of the throughput. Callers never wait for the disk except in `barrier`.
"""

import asyncio
import os
import queue
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import journal
from recorder.format.tape import Tape, TapeError
from recorder.model import Head, Mode

__all__ = ["Spool", "Tape", "TapeError"]

JOURNAL = "0.journal"
_ANNOUNCE_BYTES = 256 * 1024  # put in the journal and not yet announced
_ANNOUNCE_S = 0.04
_CROWDED = journal.CAPACITY * 3 // 4  # bytes in the journal at which sessions must wait
_OVERFULL = journal.CAPACITY * 15 // 16
_TICK_S = 0.05
_OLD_US = 100_000  # unsynced time after which the journal is synced, unless the tapes were
_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 30


class Spool:
    """The tapes of a worker and its scribe. Made and used in the event loop's thread; `stop` may be called anywhere."""

    def __init__(
        self,
        tapes: Path,
        folder: Path,
        gateway: tuple[str, Ed25519PrivateKey],
        loop: asyncio.AbstractEventLoop,
        on_head: Callable[[Head, bool], None] | None = None,
        *,
        mode: Mode = Mode.STRICT,
        lock: int | None = None,
    ) -> None:
        """Makes an empty journal in `folder` and starts the scribe, which shares the descriptor `lock`.

        `on_head(head, running)` is called for every checkpoint and running head. TapeError when the journal cannot be
        made.
        """
        self.loop = loop
        self.mode = mode
        self.failed: TapeError | None = None
        self.on_death: Callable[[TapeError], None] = _ignore
        self.on_warning: Callable[[str], None] = _unsaid
        self._on_head = on_head or _drop_head
        self._tapes: dict[bytes, Tape] = {}
        self._dirty: set[Tape] = set()
        self._overflow: deque[tuple[int, int, bytes, int, int, int, bytes]] = deque()
        self._announced = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._reports = msgpack.Unpacker()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            descriptor = journal.create(folder / JOURNAL)
        except OSError as error:
            why = f"{error.strerror}; make room or mend the folder's rights"
            raise TapeError(f"cannot make the journal in {folder}: {why}") from None
        self._journal = journal.Journal(descriptor)
        self._syncs: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._syncing: list[tuple[Tape, tuple[int, int, int]]] | None = None
        self._again = False
        self._unsyncable = False  # the journal's sync failed once: from then on the tapes themselves are synced
        self._syncer = threading.Thread(target=self._sync_all, name="journal", daemon=True)
        self._syncer.start()
        self._link, theirs = socket.socketpair()
        self._scribe = _start(descriptor, theirs, lock)
        theirs.close()
        name, key = gateway
        greeting = msgpack.packb([str(tapes), str(folder), name, key.private_bytes_raw(), mode.value])
        self._link.sendall(len(greeting).to_bytes(4, "little") + greeting)
        self._link.setblocking(False)
        self._ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._link, self._report)

    async def ready(self) -> None:
        """Waits until the scribe works; TapeError when it does not come to that."""
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise TapeError(f"the process that writes the tapes did not start within {_START_LIMIT_S:.0f} s") from None
        if self.failed is not None:
            raise self.failed

    def open(self, session: str, wall_ns: int) -> Tape:
        """A new tape for `session`, which began at `wall_ns` (UNIX ns). TapeError when there is no scribe any more."""
        if self.failed is not None:
            raise self.failed
        tape = Tape(self, session, wall_ns, self.mode)
        self._tapes[tape.key] = tape
        self.put(tape, 0, 0, journal.OPEN_TAPE, 0, 0, wall_ns.to_bytes(8, "little"))
        return tape

    @property
    def crowded(self) -> bool:
        """Whether so much waits for the disk that sessions must."""
        return self._journal.outstanding > _CROWDED or bool(self._overflow)

    @property
    def overfull(self) -> bool:
        """Whether the journal has hardly any room left, for anybody."""
        return self._journal.outstanding > _OVERFULL or bool(self._overflow)

    full = crowded  # what best-effort sessions leave frames out for; the rest of the journal is for what must not wait

    # The journal

    def put(self, tape: Tape, number: int, t: int, kind: int, stream: int, remaining: int, body: bytes) -> bool:
        """Copies an entry into the journal, announced soon or, when much gathered, at once; whether it is crowded."""
        memory = self._journal
        if self._overflow or not memory.put(number, t, tape.key, kind, stream, remaining, body):
            self._overflow.append((number, t, tape.key, kind, stream, remaining, body))
            return True
        if memory.written - self._announced >= _ANNOUNCE_BYTES:
            self.announce()
        elif self._timer is None:
            self._timer = self.loop.call_later(_ANNOUNCE_S, self.announce)
        return memory.written - memory.freed > _CROWDED

    def dirty(self, tape: Tape) -> None:
        """Something of `tape` is not on disk."""
        self._dirty.add(tape)
        if self._ticking is None:
            self._ticking = self.loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Syncs the journal when something in it is old, and no tape was synced that has it."""
        self._ticking = None
        self._dirty = {tape for tape in self._dirty if tape.unsynced_since is not None and tape.failed is None}
        if not self._dirty:
            return
        old = [tape for tape in self._dirty if tape.now() - (tape.unsynced_since or 0) >= _OLD_US]
        if old:
            self.sync_soon(*old)
        self._ticking = self.loop.call_later(_TICK_S, self._tick)

    def sync_soon(self, *tapes: Tape) -> None:
        """What was put for `tapes` so far is to be on disk as soon as possible; one sync serves all who wait."""
        if self._unsyncable:
            for tape in tapes:
                self.put(tape, tape.frames, tape.now(), journal.URGENT, 0, 0, b"")
            self.announce()
        elif self._syncing is not None or self._overflow:
            self._again = True
        else:
            self._syncing = [(tape, tape.mark()) for tape in self._dirty]
            self._syncs.put(True)

    def _sync_all(self) -> None:
        """The thread that waits for the journal's disk."""
        while self._syncs.get():
            failure: OSError | None = None
            try:
                self._journal.sync()
            except OSError as error:
                failure = error
            try:
                self.loop.call_soon_threadsafe(self._synced, failure)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _synced(self, failure: OSError | None) -> None:
        marks, self._syncing = self._syncing or [], None
        if failure is not None:
            # Never again on this file: what it did not take may look clean from now on (see docs/tape-format.md).
            self._unsyncable = True
            self.on_warning(
                f"the journal cannot be synced: {failure.strerror}; each tape is synced by itself from now on"
            )
            self.sync_soon(*self._dirty)
            return
        for tape, mark in marks:
            tape.synced(*mark)
        if self._again:
            self._again = False
            self.sync_soon()

    def announce(self) -> None:
        """Tells the scribe how far the journal is written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._announced == self._journal.written or self.failed is not None:
            return
        try:
            self._link.send(self._journal.written.to_bytes(8, "little"))
        except BlockingIOError:
            # The link is full of announcements that it has not read; one later says as much as all of them.
            self._timer = self.loop.call_later(_ANNOUNCE_S, self.announce)
        except OSError:
            self._scribe_died()
        else:
            self._announced = self._journal.written

    # The scribe

    def stop(self) -> None:
        """Lets the scribe finish what it was given and ends it; waits for it (30 s at most)."""
        if self.loop.is_running() and asyncio._get_running_loop() is not self.loop:
            self.loop.call_soon_threadsafe(self._part)
        else:
            self._part()
        try:
            self._scribe.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._scribe.kill()
            self._scribe.wait()
        self._syncs.put(False)
        self._syncer.join(_STOP_LIMIT_S)

    def _part(self) -> None:
        if not self.loop.is_closed():
            self.announce()
            self.loop.remove_reader(self._link)
            if self._ticking is not None:
                self._ticking.cancel()
        self._link.close()
        self.failed = self.failed or TapeError("the gateway is stopping")

    def _report(self) -> None:
        try:
            data = self._link.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._scribe_died()
            return
        self._reports.feed(data)
        for name, *facts in self._reports:
            if name == "freed":
                self._made_room()
            elif name == "ready":
                self._ready.set_result(None)
            elif name == "head":
                self._on_head(Head(*facts[1:]), bool(facts[0]))
            elif name == "warning":
                self.on_warning(facts[0])
            elif facts[0] in self._tapes:
                self._tell(name, facts[0], facts[1:])

    def _tell(self, name: str, key: bytes, facts: list[int]) -> None:
        tape = self._tapes[key]
        if name == "synced":
            tape.synced(*facts)
        elif name == "closed":
            del self._tapes[key]
            tape.closed(*facts)
        elif name == "full":
            tape.end(TapeError(facts[0]))
        elif name == "failed":
            del self._tapes[key]
            tape.fail(TapeError(facts[0]))

    def _made_room(self) -> None:
        self._journal.look()
        while self._overflow and self._journal.put(*self._overflow[0]):
            self._overflow.popleft()
        if self._journal.written != self._announced:
            self.announce()
        if self._again and not self._overflow and self._syncing is None:
            self._again = False
            self.sync_soon()
        if not self.crowded:
            for tape in list(self._tapes.values()):
                tape.relieved()

    def _scribe_died(self) -> None:
        self.loop.remove_reader(self._link)
        self.failed = TapeError("the process that writes the tapes has ended; restart the gateway")
        for tape in list(self._tapes.values()):
            tape.fail(self.failed)
        self._tapes.clear()
        if not self._ready.done():
            self._ready.set_result(None)
        self.on_death(self.failed)


def _start(memory: int, link: socket.socket, lock: int | None) -> "subprocess.Popen[bytes]":
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    shared = (memory, link.fileno(), *([] if lock is None else [lock]))
    return subprocess.Popen(
        [sys.executable, "-m", "recorder.format.scribe", str(memory), str(link.fileno())],
        pass_fds=shared,
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C ends the gateway; the scribe ends when the gateway has let go of it
        env=os.environ | _ENVIRONMENT | {"PYTHONPATH": path},
    )


# glibc gives buffers of a chunk's size back to the kernel and takes them again page by page unless told otherwise. What
# is larger, the contexts of compression, is given back when it is freed: else idle sessions keep their memory for good.
_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(384 << 10)}


def _ignore(_error: TapeError) -> None:
    """Nobody asked to be told."""


def _unsaid(_text: str) -> None:
    """Nobody asked to be told."""


def _drop_head(_head: Head, _running: bool) -> None:
    """Nobody keeps the heads."""
