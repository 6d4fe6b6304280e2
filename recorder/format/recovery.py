"""Recovery after a crash: what a torn tape and the journal still hold goes into a new segment, which is then closed.

The torn segment stays as it is, byte for byte. A recovery that is itself cut short is taken up by the next one.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.format import journal, store
from recorder.format.chunk import Compressors
from recorder.format.frame import Frame, Kind
from recorder.format.journal import Item
from recorder.format.reader import SegmentReader, UnreadableTape
from recorder.format.seal import Previous
from recorder.format.spool import JOURNAL
from recorder.format.torn import examine
from recorder.format.writer import Entry, Segment
from recorder.format.writing import entry_of
from recorder.model import Head

_BATCH = 256
_ASSERTED = "asserted"
REASON = "the gateway stopped before the session had ended"


@dataclass(slots=True)
class Account:
    """What the frames of a session add up to. `last_t` is µs since its start, `next_number` the worker's next frame."""

    frames: int = 0
    next_number: int = 0
    last_t: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    gaps: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    opened: dict[str, object] = field(default_factory=dict)
    asserted: list[dict[str, str]] = field(default_factory=list)
    closed: dict[str, object] | None = None

    def add(self, t: int, kind: int, body: object) -> None:
        """Counts a frame."""
        self.frames += 1
        self.next_number += 1
        self.last_t = max(self.last_t, t)
        if isinstance(body, (bytes, memoryview)):
            self.bytes_in += len(body) * (kind == Kind.IN)
            self.bytes_out += len(body) * (kind in (Kind.OUT, Kind.ERR))
        elif isinstance(body, dict):
            self._facts(kind, body)

    def tell(self, frame: Frame) -> None:
        """Counts a frame of a tape."""
        self.add(frame.t, frame.kind, frame.body)

    def _facts(self, kind: int, facts: dict[str, object]) -> None:
        following = facts.get("next")
        if kind in (Kind.RECOVERY, Kind.GAP) and isinstance(following, int):
            self.next_number = following  # a frame that the worker did not count
        if kind == Kind.GAP:
            self.gaps += 1
        elif kind == Kind.OPEN and not self.opened:
            self.opened = facts
        elif kind == Kind.CLOSE:
            self.closed = facts
        elif kind == Kind.VERDICT:
            name = "allowed" if facts.get("effect") == "allow" else "denied"
            self.verdicts[name] = self.verdicts.get(name, 0) + 1
        elif kind == Kind.NOTE and facts.get("name") == _ASSERTED:
            self.asserted.append({key: value for key, value in facts.items() if isinstance(value, str)})


@dataclass(frozen=True, slots=True)
class Recovered:
    """A session as it stands after recovery. `start` is UNIX ns; `kept` and `journal` are frames, `cut` bytes.

    `complete`: the tape was whole already, only the catalogue did not know.
    """

    session: str
    start: int
    account: Account
    kept: int
    cut: int
    journal: int
    segments: int
    size: int
    heads: tuple[Head, ...]
    complete: bool


class RecoveryError(Exception):
    """A session cannot be recovered now; the text is one sentence with the mend. Nothing is lost by it."""


def recover(
    tapes: Path, folder: Path, gateway: tuple[str, Ed25519PrivateKey], known: Iterable[str], now: int
) -> Iterator[Recovered]:
    """Recovers every session that has no end: those in the journal's `folder`, the `known`, and those of late.

    `now` is UNIX ns. RecoveryError when a session cannot be written now; the journal must then stay.
    """
    left = sorted(folder.glob(f"*{journal.LEFT}"))
    waiting: dict[str, list[Item]] = {}
    for item in itertools.chain(*(journal.unpack_left(path) for path in left), _leftover(folder / JOURNAL)):
        waiting.setdefault(str(UUID(bytes=item.session)), []).append(item)
    unfinished = set(known)
    for session in sorted({*unfinished, *waiting, *store.latest_sessions(tapes, now)}):
        try:
            if session not in unfinished and _is_complete(tapes, session):
                continue
            found = _recover(tapes, gateway, session, waiting.get(session, ()), now)
        except OSError as error:
            where = error.filename or tapes
            mend = "make room or mend its rights, then start again"
            raise RecoveryError(f"cannot recover session {session} in {where}: {error.strerror}; {mend}") from None
        if found is not None:
            yield found
    for path in left:
        path.unlink()


def _leftover(path: Path) -> list[Item]:
    try:
        return journal.leftover(path)
    except journal.NoJournal as error:
        mend = "recover with the tacho that wrote it, or move it elsewhere to start without what it holds"
        raise RecoveryError(f"the journal {path} cannot be read: {error}; {mend}") from None
    except OSError as error:
        raise RecoveryError(f"cannot read the journal {path}: {error.strerror}; mend its rights") from None


def _is_complete(tapes: Path, session: str) -> bool:
    paths = store.segments(store.folder_of(tapes, session))
    last = _opened(paths[-1]) if paths else None
    return last is not None and last.closed


def _recover(
    tapes: Path, gateway: tuple[str, Ed25519PrivateKey], session: str, items: Iterable[Item], now: int
) -> Recovered | None:
    """None when there is nothing to recover of the session."""
    paths = store.segments(store.folder_of(tapes, session))
    account = Account()
    torn = _read(paths, account) if paths else _Torn(0, None, None, 0, complete=False)
    if torn.complete:
        size = sum(path.stat().st_size for path in paths)
        return Recovered(session, torn.start or 0, account, account.frames, 0, 0, len(paths), size, (), complete=True)
    frames = _pending(items, account.next_number)
    start = torn.start or next(
        (int.from_bytes(item.body, "little") for item in items if item.kind == journal.OPEN_TAPE), None
    )
    if start is None:
        start = store.started(session)
    if not paths and not frames:
        return None
    path = paths[-1].with_name(f"{torn.number}{store.SUFFIX}") if paths else store.create_segment(tapes, session, 0)
    kept = account.frames
    segment = Segment(
        path,
        session,
        start,
        gateway,
        Compressors(),
        number=torn.number,
        first_frame=torn.first_frame,
        previous=torn.previous,
    )
    heads: list[Head] = []
    entries = _entries(account, kept, torn.cut, frames)
    while batch := list(itertools.islice(entries, _BATCH)):
        heads += segment.append(batch, now)
    heads.append(segment.finish(now))
    for above in (path.parent, *path.parent.relative_to(tapes).parents):
        store.sync_folder(tapes / above)
    size = sum(each.stat().st_size for each in store.segments(path.parent))
    return Recovered(
        session, start, account, kept, torn.cut, len(frames), torn.number + 1, size, tuple(heads[-1:]), complete=False
    )


@dataclass(frozen=True, slots=True)
class _Torn:
    """Where the next segment goes on."""

    number: int
    previous: Previous | None
    start: int | None
    cut: int
    first_frame: int = 0
    complete: bool = False


def _read(paths: list[Path], account: Account) -> _Torn:
    """Adds up what the segments hold, each as far as its successor says that it counts."""
    start = None
    torn = _Torn(0, None, None, 0)
    for path in paths:
        following = _successor(path)
        try:
            header, previous, cut = examine(path, following, account.tell)
        except UnreadableTape:
            # Not even its HEADER was written whole: it holds no frame.
            length = path.stat().st_size
            previous, cut = Previous(length, store.digest_of(path), 0, tree.EMPTY_ROOT), length
            torn = _Torn(int(path.stem) + 1, previous, start, cut, torn.first_frame)
            continue
        start = header.start
        torn = _Torn(header.segment + 1, previous, start, cut, header.first_frame + previous.frames)
    last = _opened(paths[-1])
    if last is not None and last.closed:
        return _Torn(torn.number, torn.previous, start, 0, torn.first_frame, complete=True)
    return torn


def _successor(path: Path) -> int | None:
    """How many bytes of a segment count by what the next one says; None when there is no next one."""
    following = _opened(path.with_name(f"{int(path.stem) + 1}{store.SUFFIX}"))
    if following is None or following.header.previous is None:
        return None
    return following.header.previous.length


def _opened(path: Path) -> SegmentReader | None:
    try:
        segment = SegmentReader(path)
    except (UnreadableTape, FileNotFoundError):
        return None
    segment.close()
    return segment


def _pending(items: Iterable[Item], after: int) -> list[Item]:
    """The frames from the worker's number `after` on, in order, each once."""
    frames = {item.number: item for item in items if item.kind < journal.OPEN_TAPE and item.number >= after}
    return [frames[number] for number in sorted(frames)]


def _entries(account: Account, kept: int, cut: int, frames: list[Item]) -> Iterator[Entry]:
    following = frames[0].number if frames else account.next_number
    missing = following - account.next_number
    t = account.last_t
    facts: dict[str, object] = {"kept": kept, "cut": cut, "journal": len(frames), "next": following, "why": REASON}
    yield _counted(account, Entry(t, Kind.RECOVERY, 0, facts))
    if missing > 0:
        why = "frames are on neither the tape nor the journal"
        yield _counted(account, Entry(t, Kind.GAP, 0, {"why": why, "frames": missing, "next": following}))
    for item in frames:
        body: object = item.body
        if item.kind & journal.PACKED:
            body = msgpack.unpackb(item.body, strict_map_key=False, unicode_errors="surrogateescape")
        entry = entry_of(item)
        account.add(entry.t, entry.kind, body)
        yield entry
    # Once more where only the INDEX was cut off: a session's last segment ends with its close.
    totals: Mapping[str, object] = account.closed or {
        "reason": REASON,
        "bytes_in": account.bytes_in,
        "bytes_out": account.bytes_out,
        "verdicts": account.verdicts,
    }
    yield _counted(account, Entry(account.last_t, Kind.CLOSE, 0, dict(totals)))


def _counted(account: Account, entry: Entry) -> Entry:
    account.add(entry.t, entry.kind, entry.body)
    return entry
