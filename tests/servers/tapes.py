"""A finished tape as the tests look at it: what crossed, by stream and direction, and what was noted."""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from recorder.format import store
from recorder.format.frame import Frame, Kind
from recorder.format.reader import SegmentReader, UnreadableTape
from tests.servers.process import LIMIT_S

_Value = TypeVar("_Value")
Facts = dict[str, object]


class Taped:
    """The frames of one session's tape."""

    def __init__(self, tapes: Path, session: str) -> None:
        self.session = session
        self.paths = store.segments(store.folder_of(tapes, session))
        self.frames: list[Frame] = []
        self._bytes: dict[tuple[int, int], list[bytes]] = {}
        self.closed = bool(self.paths)
        self.live = False
        for path, following in itertools.zip_longest(self.paths, self.paths[1:]):
            self._load(path, _first_frame(following) if following is not None else None)

    def _load(self, path: Path, counts_to: int | None) -> None:
        """Takes the frames of a segment, those before number `counts_to` where the next segment writes them again."""
        try:
            reader = SegmentReader(path)
        except UnreadableTape:
            assert counts_to is not None, path  # torn inside its HEADER; the next segment goes on
            return
        try:
            for chunk in reader.chunks:
                for frame in reader.frames(chunk):
                    if counts_to is None or frame.number < counts_to:
                        self._keep(frame)
            assert counts_to is not None or not reader.damage, f"{path}: {reader.damage}"
            self.closed = reader.closed
            self.live = self.live or reader.live
        finally:
            reader.close()

    def _keep(self, frame: Frame) -> None:
        expected = self.frames[-1].number + 1 if self.frames else 0
        assert frame.number == expected, f"frame {frame.number} where {expected} was expected"
        if isinstance(frame.body, bytes):
            self._bytes.setdefault((frame.kind, frame.stream), []).append(frame.body)
            frame = frame._replace(body=len(frame.body))
        self.frames.append(frame)

    def crossed(self, kind: Kind, stream: int = 1) -> bytes:
        """The bytes that crossed on `stream`, in order."""
        return b"".join(self._bytes.get((kind, stream), ()))

    def digest(self, kind: Kind, stream: int = 1) -> str:
        """SHA-256 of the bytes that crossed on `stream`."""
        digest = hashlib.sha256()
        for body in self._bytes.get((kind, stream), ()):
            digest.update(body)
        return digest.hexdigest()

    def everything(self) -> bytes:
        """All bytes of all streams and all facts, for a search."""
        facts = "\n".join(repr(frame.body) for frame in self.frames).encode("utf-8", "surrogateescape")
        return b"\n".join([facts, *(b"".join(bodies) for bodies in self._bytes.values())])

    @property
    def opened(self) -> Facts:
        """The facts of the open frame."""
        return self.frames[0].facts()

    @property
    def ended(self) -> Facts:
        """The facts of the close frame."""
        assert self.frames[-1].kind == Kind.CLOSE, self.frames[-1]
        return self.frames[-1].facts()

    def noted(self, name: str, stream: int | None = None) -> list[Facts]:
        """The notes of that name, without the name."""
        return [
            {key: value for key, value in frame.facts().items() if key != "name"}
            for frame in self.frames
            if frame.kind == Kind.NOTE and frame.facts()["name"] == name and (stream is None or frame.stream == stream)
        ]

    def commands(self) -> dict[int, bytes]:
        """The exec commands by stream."""
        found: dict[int, bytes] = {}
        for frame in self.frames:
            facts = frame.facts()
            command = facts.get("command")
            if frame.kind == Kind.NOTE and facts["name"] == "exec" and isinstance(command, bytes):
                found[frame.stream] = found.get(frame.stream, b"") + command
        return found

    def verdicts(self, operation: str | None = None) -> list[Facts]:
        """The facts of the verdict frames (on `operation`)."""
        found = [frame.facts() for frame in self.frames if frame.kind == Kind.VERDICT]
        return [facts for facts in found if operation in (None, facts["operation"])]


def _first_frame(path: Path) -> int:
    reader = SegmentReader(path)
    reader.close()
    return reader.header.first_frame


def until(value: Callable[[], _Value | None], what: str, limit: float = LIMIT_S) -> _Value:
    """The first value that is not None, for state that can only be looked at."""
    end = time.monotonic() + limit
    while (found := value()) is None:
        assert time.monotonic() < end, f"{what} did not come within {limit:.0f} s"
        time.sleep(0.005)
    return found


def all_sessions(tapes: Path) -> Iterator[Taped]:
    """Every tape below `tapes`."""
    for folder in sorted({path.parent for path in tapes.rglob(f"*{store.SUFFIX}")}):
        yield Taped(tapes, folder.name)
