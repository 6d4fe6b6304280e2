"""One tape as the scribe writes it: its segments, and which journal entries are not yet on disk in them.

A file whose sync failed is never synced again: a new segment takes what was not confirmed. Owned by one thread.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import journal, store
from recorder.format.chunk import Compressors
from recorder.format.frame import Kind
from recorder.format.journal import Item, Journal
from recorder.format.seal import Previous
from recorder.format.tape import Missing
from recorder.format.torn import examine
from recorder.format.writer import Entry, Packed, Segment
from recorder.model import Head

_NOTHING = Previous(0, tree.EMPTY_ROOT, 0, tree.EMPTY_ROOT)  # SHA-256 of nothing is the root of nothing


@dataclass(slots=True)
class Site:
    """What all tapes of a worker share."""

    tapes: Path
    folder: Path  # of the journal
    gateway: tuple[str, Ed25519PrivateKey]
    journal: Journal
    make_room: Callable[[], bool]
    compressors: Compressors = field(default_factory=Compressors)


@dataclass(slots=True)
class Sync:
    """A sync to be made: what will be on disk after it. `folders` hold names that are new."""

    writing: "Writing"
    segment: Segment
    frames: int
    size: int
    last_t: int
    stored: int
    first: int
    folders: list[Path]
    error: OSError | None = None

    def make(self) -> None:
        """Waits for the disk; the error is kept."""
        try:
            self.segment.sync()
            while self.folders:
                store.sync_folder(self.folders[-1])
                self.folders.pop()
        except OSError as error:
            self.error = error


class Writing:
    """What the scribe knows of one tape. `*_since`, `last_*` and `chunk_began` are µs of the scribe's own clock."""

    def __init__(self, site: Site, item: Item) -> None:
        self.key = item.session
        self.session = str(uuid.UUID(bytes=item.session))
        self.wall_ns = int.from_bytes(item.body, "little")
        self.segment: Segment | None = None
        self.entries: list[Entry] = []
        self.size = 0  # bytes of bodies taken
        self.last_t = 0  # µs of the session, of the last frame taken
        self.gaps = 0
        self.next_number = 0  # of the session's next frame as the worker counts
        self.first: int | None = item.position  # the first entry that no sync has begun for
        self.syncing: Sync | None = None
        self.dirty_since: int | None = None
        self.sealed = False  # a chunk ended since the last sync began
        self.urgent = self.closing = self.completed = False
        self.broken = False  # it can be written nowhere: what comes is set aside
        self.over = False  # it was given up while it was closing
        self.error: OSError | None = None  # met while a sync of the same file is under way
        self.missing: Missing | None = None  # what is left out while a best-effort tape cannot be written
        self.retry_at = 0
        self.reopening: OSError | None = None  # why a new segment is to be opened, until it is
        self.reopened = 0  # times, since the last sync that succeeded
        self.chunk_first: int | None = None
        self.chunk_began = self.last_head = self.last_running = 0
        self._site = site
        self._folders: list[Path] = []
        self._confirmed = (0, 0)  # of the present segment: the number of its next frame, bytes of the file
        self._flushed = (0, 0, 0)  # the same of what it was last flushed with, and how far the journal was taken then
        self._distrusted = False  # a sync of the present segment failed
        self._aside = 0  # bytes of whole entries in the file beside the journal

    @property
    def troubled(self) -> bool:
        """Whether it cannot be written as usual at present."""
        return self.broken or self.reopening is not None or self.missing is not None

    @property
    def pinned(self) -> int | None:
        """The position of the first journal entry that is not on disk in the tape."""
        return self.syncing.first if self.syncing is not None else self.first

    def take(self, item: Item) -> None:
        """Takes a frame from the journal."""
        if self.first is None:
            self.first = item.position
        kind = item.kind & ~journal.PACKED
        self.last_t = item.t
        self.next_number = item.number + 1
        if self.missing is not None:
            self.missing.add(item.t, kind, len(item.body))
            self.first = None
            return
        self.entries.append(entry_of(item))
        self.size += len(item.body)
        self.gaps += kind == Kind.GAP

    def append(self) -> list[Head]:
        """Writes what was taken; the heads of chunks that ended. OSError as the disk has it."""
        segment = self.segment or self._create()
        entries, self.entries = self.entries, []
        heads = segment.append(entries, time.time_ns())
        self.sealed |= bool(heads)
        return heads

    def _create(self) -> Segment:
        path = store.create_segment(self._site.tapes, self.session, 0)
        return self._begin(path, 0, 0, None)

    def _begin(self, path: Path, number: int, first_frame: int, previous: Previous | None) -> Segment:
        site = self._site
        segment = Segment(
            path,
            self.session,
            self.wall_ns,
            site.gateway,
            site.compressors,
            number=number,
            first_frame=first_frame,
            previous=previous,
            make_room=site.make_room,
        )
        self.segment = segment
        self._confirmed, self._flushed, self._distrusted = (first_frame, 0), (first_frame, 0, 0), False
        self._folders = [path.parent]
        while number == 0 and self._folders[-1] != site.tapes:
            self._folders.append(self._folders[-1].parent)
        return segment

    def flush(self, segment: Segment) -> None:
        """Makes what was taken readable; OSError as the disk has it."""
        segment.flush()
        self._flushed = (segment.next_frame, segment.size, self._site.journal.read)

    def begin_sync(self, segment: Segment) -> Sync:
        """A sync of what was flushed, to be made by whoever may wait."""
        first = self.first if self.first is not None else self._site.journal.read
        self.syncing = Sync(
            self, segment, segment.next_frame, self.size, self.last_t, segment.size, first, self._folders
        )
        self._folders = []
        self.first, self.urgent, self.sealed = None, False, False
        return self.syncing

    def synced(self, sync: Sync) -> None:
        """A sync succeeded."""
        self.syncing = None
        self.reopened = 0
        self._confirmed = (sync.frames, sync.stored)

    def unsynced(self, sync: Sync) -> None:
        """A sync failed: its entries are pinned again."""
        self.syncing = None
        self._distrusted = True
        self.first = sync.first
        self._folders += sync.folders

    def reopen(self) -> None:
        """Goes on in a new segment with what was not confirmed; OSError or UnreadableTape when that cannot be."""
        old = self.segment
        if old is not None:
            first_frame, stored = self._confirmed
            previous = examine(old.path, stored)[1] if stored else _NOTHING
            number = old.number + 1
            self._begin(old.path.with_name(f"{number}{store.SUFFIX}"), number, first_frame, previous)
            old.abandon()
        self.completed = False
        self.chunk_first = None
        if self.missing is None:
            self._take_again()

    def _take_again(self) -> None:
        self.entries = [entry_of(item) for item in self._waiting() if item.kind < journal.OPEN_TAPE]

    def _waiting(self) -> Iterator[Item]:
        """What the journal holds of this tape that no sync has begun for, instructions included."""
        if self.first is not None:
            for item in self._site.journal.items(self.first, self._site.journal.read):
                if item.session == self.key:
                    yield item

    def lose(self) -> None:
        """Best-effort: from now on frames are left out, as those are that are not in the file."""
        if self.missing is None:
            self._keep_flushed()
        self.missing = self.missing or Missing()
        for item in self._waiting():
            if item.kind < journal.OPEN_TAPE:
                self.missing.add(item.t, item.kind & ~journal.PACKED, len(item.body))
        self.first = None
        self.entries.clear()

    def _keep_flushed(self) -> None:
        """After a write that failed: what was flushed before it stands, when it can be synced."""
        frames, stored, taken = self._flushed
        if self.segment is None or self._distrusted or not stored or self.first is None or taken <= self.first:
            return
        try:
            self.segment.sync()
        except OSError:
            self._distrusted = True
            return
        self._confirmed, self.first = (frames, stored), taken

    def find_again(self, why: str) -> None:
        """Best-effort: writes again, in a new segment that begins by saying what is missing; OSError when it cannot."""
        missing = self.missing
        if missing is None:
            return
        self.reopen()
        facts = missing.facts(self.last_t, why) | {"next": self.next_number}
        self.missing, self.entries = None, [Entry(self.last_t, Kind.GAP, 0, facts)]
        try:
            self.append()
            self.gaps += 1
        except OSError:
            self.missing = missing
            raise

    def set_aside(self) -> None:
        """Copies the entries that are on no tape into a file of their own beside the journal; OSError when it cannot.

        The next start recovers them.
        """
        if self.first is None:
            return
        path = self._site.folder / f"{self.session}{journal.LEFT}"
        with path.open("ab") as file:
            file.truncate(self._aside)  # an earlier try may have broken off inside an entry
            for item in self._waiting():
                file.write(journal.pack_left(item))
            file.flush()
            os.fsync(file.fileno())
            whole = file.tell()
        store.sync_folder(self._site.folder)
        self._aside, self.first = whole, None


def entry_of(item: Item) -> Entry:
    """A frame of the journal as a segment takes it."""
    body = Packed(item.body) if item.kind & journal.PACKED else item.body
    return Entry(item.t, item.kind & ~journal.PACKED, item.stream, body, item.remaining)
