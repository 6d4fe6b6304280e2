"""A worker's tapes: each session's handle on its own, and the process (the scribe) that writes them all.

The scribe is a process because compression and hashing in a thread of this one took turns with the event loop at the
interpreter's lock: measured, a third of the throughput. Callers never wait for the disk except in `barrier`.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder.format import layout, ring
from recorder.model import Head

_ANNOUNCE_BYTES = 256 * 1024  # put in the ring and not yet announced
_ANNOUNCE_S = 0.04
_CROWDED = 4 * 1024 * 1024  # bytes in the ring at which sessions must wait
_UNSYNCED_US = 200_000  # forwarded but unsynced time at which a session must wait (250 ms promised)
_STOP_LIMIT_S = 30


class TapeError(OSError):
    """The tape cannot be written; the text is one sentence with the path and the mend."""


class Tape:
    """A session's handle on its tape. `append` returns at once; `clear` says whether the session may go on forwarding.

    All of it runs in the event loop's thread.
    """

    def __init__(self, spool: "Spool", number: int, session: str, wall_ns: int) -> None:
        self.session = session
        self.start = wall_ns
        self.clear = True
        self.failed: TapeError | None = None
        self.on_clear: Callable[[], None] = _nothing
        self.on_failure: Callable[[TapeError], None] = _ignore
        self._spool = spool
        self._number = number
        self._origin = time.monotonic_ns()
        self._frames = 0
        self._appended = self._synced = 0  # bytes
        self._limit: int | None = None
        self._unsynced_since: int | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._urgent = 0  # frames that were asked to be synced at once
        self._closing: asyncio.Future[tuple[int, int]] | None = None

    def now(self) -> int:
        """µs since the session's start, by the monotonic clock."""
        return (time.monotonic_ns() - self._origin) // 1000

    def append(self, kind: int, stream: int, body: object, remaining: int = 0) -> None:
        """Records a frame. `clear` turns False when too much waits for the disk.

        `remaining`: bytes left after it of the message that its stream's side has begun. ValueError for a body of more
        than 32 KiB.
        """
        if self.failed is not None:
            return
        if not isinstance(body, bytes):
            body = bytes(msgpack.packb(body, unicode_errors="surrogateescape"))
            kind |= ring.PACKED
        if len(body) > layout.BODY_LIMIT:
            raise ValueError(f"a body of {len(body)} bytes, {layout.BODY_LIMIT} at most")
        t = (time.monotonic_ns() - self._origin) // 1000
        self._frames += 1
        self._appended += len(body)
        crowded = self._spool.put(t, self._number, kind, stream, remaining, body)
        since = self._unsynced_since
        if since is None:
            self._unsynced_since = t
        elif t - since > _UNSYNCED_US:
            self.clear = False
        if crowded or (self._limit is not None and self._congested(t)):
            self.clear = False

    def limit_unsynced(self, size: int) -> None:
        """From now on at most `size` bytes are appended ahead of the disk before `clear` turns False."""
        self._limit = size

    def _congested(self, t: int) -> bool:
        # Half of the limit, because one more body of 32 KiB may already be on its way through the door.
        if self._limit is not None and self._appended - self._synced > self._limit // 2:
            self._hurry(t)
            return True
        late = self._unsynced_since is not None and t - self._unsynced_since > _UNSYNCED_US
        return late or self._spool.crowded

    def _hurry(self, t: int) -> None:
        if self._urgent < self._frames:
            self._urgent = self._frames
            self._spool.put(t, self._number, ring.URGENT, 0, 0, b"")
            self._spool.announce()

    def barrier(self) -> asyncio.Future[None]:
        """A future that is done once all appended so far is on disk; it fails with TapeError when that cannot be."""
        future: asyncio.Future[None] = self._spool.loop.create_future()
        if self.failed is not None:
            future.set_exception(self.failed)
        elif self._unsynced_since is None:
            future.set_result(None)
        else:
            self._waiters.append((self._frames, future))
            self._hurry(self.now())
        return future

    def close(self) -> asyncio.Future[tuple[int, int]]:
        """Ends the tape after what was appended; the future gives its stored size and its number of frames."""
        if self._closing is None:
            self._closing = self._spool.loop.create_future()
            if self.failed is not None:
                self._closing.set_exception(self.failed)
            else:
                self._spool.put(self.now(), self._number, ring.CLOSE_TAPE, 0, 0, b"")
                self._spool.announce()
        return self._closing

    # What the scribe reports

    def synced(self, frames: int, size: int, drained_at: int) -> None:
        """The first `frames` frames, `size` bytes of bodies, are on disk; later ones came after `drained_at` µs."""
        self._synced = size
        while self._waiters and self._waiters[0][0] <= frames:
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
        self._unsynced_since = None if frames == self._frames else drained_at
        self.relieved()

    def relieved(self) -> None:
        """There is room again, somewhere: goes on when it is here."""
        if not self.clear and self.failed is None and not self._congested(self.now()):
            self.clear = True
            self.on_clear()

    def closed(self, size: int, frames: int) -> None:
        """The tape is complete and on disk."""
        if self._closing is not None and not self._closing.done():
            self._closing.set_result((size, frames))

    def fail(self, error: TapeError) -> None:
        """The tape cannot be written any more."""
        if self.failed is not None:
            return
        self.failed = error
        self.clear = False
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
        if self._closing is not None and not self._closing.done():
            self._closing.set_exception(error)
        self.on_failure(error)


class Spool:
    """The tapes of a worker and its scribe. Made and used in the event loop's thread; `stop` may be called anywhere."""

    def __init__(
        self,
        tapes: Path,
        gateway: tuple[str, Ed25519PrivateKey],
        loop: asyncio.AbstractEventLoop,
        on_head: Callable[[Head, bool], None] | None = None,
    ) -> None:
        """Starts the scribe. `on_head(head, running)` is called for every checkpoint and running head."""
        self.loop = loop
        self.failed: TapeError | None = None
        self.on_death: Callable[[TapeError], None] = _ignore
        self._on_head = on_head or _drop_head
        self._tapes: dict[int, Tape] = {}
        self._next = 0
        self._overflow: deque[tuple[int, int, int, int, int, bytes]] = deque()
        self._announced = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reports = msgpack.Unpacker()
        memory = os.memfd_create("tachograph-ring")
        os.ftruncate(memory, ring.CAPACITY)
        self._ring = ring.Ring(memory)
        self._link, theirs = socket.socketpair()
        self._scribe = _start(memory, theirs)
        os.close(memory)
        theirs.close()
        name, key = gateway
        greeting = msgpack.packb([str(tapes), name, key.private_bytes_raw()])
        self._link.sendall(len(greeting).to_bytes(4, "little") + greeting)
        self._link.setblocking(False)
        loop.add_reader(self._link, self._report)

    def open(self, session: str, wall_ns: int) -> Tape:
        """A new tape for `session`, which began at `wall_ns` (UNIX ns). TapeError when there is no scribe any more."""
        if self.failed is not None:
            raise self.failed
        self._next += 1
        tape = Tape(self, self._next, session, wall_ns)
        self._tapes[self._next] = tape
        self.put(0, self._next, ring.OPEN_TAPE, 0, 0, bytes(msgpack.packb([session, wall_ns])))
        return tape

    @property
    def crowded(self) -> bool:
        """Whether so much waits for the scribe that sessions must."""
        return self._ring.outstanding > _CROWDED or bool(self._overflow)

    def put(self, t: int, tape: int, kind: int, stream: int, remaining: int, body: bytes) -> bool:
        """Copies an entry into the ring, announced soon or, when much gathered, at once; whether it is crowded."""
        memory = self._ring
        if self._overflow or not memory.put(t, tape, kind, stream, remaining, body):
            self._overflow.append((t, tape, kind, stream, remaining, body))
            return True
        if memory.written - self._announced >= _ANNOUNCE_BYTES:
            self.announce()
        elif self._timer is None:
            self._timer = self.loop.call_later(_ANNOUNCE_S, self.announce)
        return memory.written - memory.read > _CROWDED

    def announce(self) -> None:
        """Tells the scribe how far the ring is written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._announced == self._ring.written or self.failed is not None:
            return
        try:
            self._link.send(self._ring.written.to_bytes(8, "little"))
        except BlockingIOError:
            # The link is full of announcements that it has not read; one later says as much as all of them.
            self._timer = self.loop.call_later(_ANNOUNCE_S, self.announce)
        except OSError:
            self._scribe_died()
        else:
            self._announced = self._ring.written

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

    def _part(self) -> None:
        if not self.loop.is_closed():
            self.announce()
            self.loop.remove_reader(self._link)
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
        for name, number, *facts in self._reports:
            if name == "read":
                self._made_room(number)
            elif name == "head":
                self._on_head(Head(*facts), bool(number))
            elif number in self._tapes:
                self._tell(name, number, facts)

    def _tell(self, name: str, number: int, facts: list[int]) -> None:
        tape = self._tapes[number]
        if name == "synced":
            tape.synced(*facts)
        elif name == "closed":
            del self._tapes[number]
            tape.closed(*facts)
        elif name == "failed":
            del self._tapes[number]
            tape.fail(TapeError(facts[0]))

    def _made_room(self, position: int) -> None:
        self._ring.freed(position)
        while self._overflow and self._ring.put(*self._overflow[0]):
            self._overflow.popleft()
        if self._ring.written != self._announced:
            self.announce()
        if not self.crowded:
            for tape in list(self._tapes.values()):
                tape.relieved()

    def _scribe_died(self) -> None:
        self.loop.remove_reader(self._link)
        self.failed = TapeError("the process that writes the tapes has ended; restart the gateway")
        for tape in list(self._tapes.values()):
            tape.fail(self.failed)
        self._tapes.clear()
        self.on_death(self.failed)


def _start(memory: int, link: socket.socket) -> "subprocess.Popen[bytes]":
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "recorder.format.scribe", str(memory), str(link.fileno())],
        pass_fds=(memory, link.fileno()),
        stdin=subprocess.DEVNULL,
        process_group=0,  # Ctrl-C ends the gateway; the scribe ends when the gateway has let go of it
        env=os.environ | _ENVIRONMENT | {"PYTHONPATH": path},
    )


# glibc gives buffers of a chunk's size back to the kernel and takes them again page by page unless told otherwise.
_ENVIRONMENT = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}


def _nothing() -> None:
    """Nobody asked to be told."""


def _ignore(_error: TapeError) -> None:
    """Nobody asked to be told."""


def _drop_head(_head: Head, _running: bool) -> None:
    """Nobody keeps the heads."""
