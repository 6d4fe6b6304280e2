"""Tapes written by the recorder's own writer, frame by frame at times of the test's choice; and a folder of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recorder import tree
from recorder.catalogue.sqlite import Catalogue
from recorder.config import Config, load
from recorder.format import store
from recorder.format.chunk import Compressors
from recorder.format.frame import ChunkDecoder, Kind
from recorder.format.reader import SegmentReader, decompressed
from recorder.format.seal import Previous, frame_leaf
from recorder.format.writer import Entry, Segment
from recorder.model import Attribution, Head, Session, Source, State

START = 1_795_468_773_950_210_047
NOW = START + 60_000_000_000


class Tape:
    """A tape being written below `tapes`; times are ms since its start, given or counted on by one a frame."""

    def __init__(
        self, tapes: Path, *, session: str | None = None, start: int = START, key: Ed25519PrivateKey | None = None
    ) -> None:
        self.session = session or store.new_session_id(start)
        self.start = start
        self.key = key or Ed25519PrivateKey.generate()
        self.heads: dict[tuple[int, bool], Head] = {}
        self.folder = store.folder_of(tapes, self.session)
        self._compressors = Compressors()
        self._tapes = tapes
        self._number = -1
        self._first_frame = 0
        self._ms = 0
        self._previous: Previous | None = None
        tapes.mkdir(parents=True, exist_ok=True)
        self.next_segment()

    @property
    def path(self) -> Path:
        """The segment that is being written."""
        return self.segment.path

    @property
    def public(self) -> bytes:
        """The gateway's public key."""
        return tree.public_bytes(self.key)

    def known(self) -> list[tuple[Head, bool]]:
        """The heads as the catalogue keeps them."""
        return [(head, running) for (_, running), head in self.heads.items()]

    def next_segment(self) -> None:
        """Goes on in a new file."""
        self._number += 1
        path = store.create_segment(self._tapes, self.session, self._number)
        self.segment = Segment(
            path,
            self.session,
            self.start,
            ("gw", self.key),
            self._compressors,
            number=self._number,
            first_frame=self._first_frame,
            previous=self._previous,
        )

    def put(self, kind: int, stream: int, body: object, ms: int | None = None, remaining: int = 0) -> "Tape":
        """Appends a frame."""
        self._ms = self._ms + 1 if ms is None else ms
        for head in self.segment.append([Entry(self._ms * 1000, kind, stream, body, remaining)], NOW):
            self._keep(head, running=False)
        return self

    def note(self, stream: int, name: str, ms: int | None = None, **facts: object) -> "Tape":
        """Appends a note."""
        return self.put(Kind.NOTE, stream, {"name": name, **facts}, ms)

    def open(self, **facts: object) -> "Tape":
        """Appends the open frame."""
        who = {"agent": "ci", "run": "r1", "credential": "SHA256:x", "client": "127.0.0.1:9", "protocol": "ssh"}
        sources = {"agent": "verified", "run": "observed"}
        return self.put(Kind.OPEN, 0, {**who, "target": "web1", "login": "deploy", "sources": sources, **facts})

    def allow(self, stream: int, operation: str) -> "Tape":
        """Appends a verdict that allows."""
        return self.put(Kind.VERDICT, stream, {"operation": operation, "effect": "allow", "rule": "default"})

    def run(
        self, stream: int, command: bytes, out: bytes = b"", err: bytes = b"", given: bytes = b"", status: int = 0
    ) -> "Tape":
        """A whole channel with one exec."""
        self.note(stream, "channel", type="session").note(stream, "exec", command=command).allow(stream, "exec")
        self.note(stream, "answer", request="exec", ok=True)
        for kind, data in ((Kind.IN, given), (Kind.OUT, out), (Kind.ERR, err)):
            for offset in range(0, len(data), 32768):
                self.put(kind, stream, data[offset : offset + 32768])
        return self.note(stream, "exit", status=status).note(stream, "close", side="out")

    def shell(self, stream: int, columns: int = 40, rows: int = 6) -> "Tape":
        """Opens a channel with a terminal and a shell."""
        self.note(stream, "channel", type="session")
        self.note(stream, "pty", term="xterm-256color", columns=columns, rows=rows, modes=b"")
        return self.note(stream, "shell").allow(stream, "shell")

    def chunk(self) -> "Tape":
        """Seals what was appended."""
        self._keep(self.segment.end_chunk(NOW), running=False)
        return self

    def flush(self) -> "Tape":
        """Makes what was appended readable, and the catalogue know of it."""
        self.segment.flush()
        head = self.segment.running_head(NOW)
        if head is not None:
            self._keep(head, running=True)
        return self

    def close(self) -> Path:
        """Ends the session and its tape; the path of the segment."""
        self.put(Kind.CLOSE, 0, {"reason": "the agent disconnected", "bytes_in": 5, "bytes_out": 7, "verdicts": {}})
        return self.finish()

    def finish(self) -> Path:
        """Ends the segment without a close frame."""
        self._keep(self.segment.finish(NOW), running=False)
        self._end()
        return self.path

    def abandon(self) -> Path:
        """Leaves the segment as a gateway that was killed leaves it."""
        self.segment.flush()
        self.segment.abandon()
        self._end()
        return self.path

    def _end(self) -> None:
        self._continue(self.path.stat().st_size)

    def confirmed(self) -> int:
        """The bytes of the segment that a writer would go on from, had it just synced."""
        self.segment.flush()
        return self.path.stat().st_size

    def fail(self, confirmed: int) -> Path:
        """A sync of the segment failed: it is left, and only its first `confirmed` bytes count."""
        self.segment.flush()
        self.segment.abandon()
        self._continue(confirmed)
        return self.path

    def _continue(self, length: int) -> None:
        self._previous = previous(self.path, length)
        self._first_frame += self._previous.frames

    def _keep(self, head: Head, *, running: bool) -> None:
        self.heads[head.segment, running] = head


def previous(path: Path, length: int) -> Previous:
    """What a segment that goes on after the first `length` bytes of another says of that one."""
    content = path.read_bytes()[:length]
    leaves = []
    reader = SegmentReader(path, length)
    for chunk in reader.chunks:
        decoder = ChunkDecoder()
        end = chunk.offset + chunk.stored if chunk.stored else length
        for piece in decompressed(content[chunk.offset : end]):
            for frame, packed in decoder.feed(piece):
                assert decoder.preamble is not None
                leaves.append(frame_leaf(decoder.preamble.seed, frame.number, packed))
    reader.close()
    return Previous(length, hashlib.sha256(content).digest(), len(leaves), tree.root_of(leaves))


class Library:
    """A data folder as a gateway keeps it: configuration, keys, catalogue, tapes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.key = Ed25519PrivateKey.generate()
        data = root / "var"
        (data / "keys").mkdir(parents=True)
        (data / "tapes").mkdir()
        (data / "keys/gateway.pub").write_text(tree.verifier_key("gateway", tree.public_bytes(self.key)) + "\n")
        self.file = root / "tachograph.toml"
        self.file.write_text('[gateway]\ndata = "var"\n')
        self.config: Config = load(self.file)
        Catalogue(self.config.catalogue, write=True).close()

    def tape(self, minutes: int = 0) -> Tape:
        """A new tape of a session that began `minutes` after the first."""
        return Tape(self.config.tapes, start=START + minutes * 60_000_000_000, key=self.key)

    def add(self, tape: Tape, state: State = State.CLOSED, **who: object) -> Session:
        """Enters a session into the catalogue, with the heads of its tape."""
        sources = {"agent": Source.VERIFIED, "run": Source.OBSERVED}
        attribution = replace(Attribution("ci", "r1", sources=sources), **who)  # type: ignore[arg-type] # by name
        ended = None if state is State.LIVE else tape.start + 4_000_000_000
        session = Session(
            tape.session, "ssh", attribution, "web1", "deploy", tape.start, ended, state, 5, 7, {"allowed": 1}
        )
        catalogue = Catalogue(self.config.catalogue, write=True)
        catalogue.put(session)
        for head, running in tape.known():
            catalogue.put_head(head, running)
        catalogue.settle()
        catalogue.close()
        return session


def small(tapes: Path) -> Tape:
    """A closed tape of three chunks."""
    tape = Tape(tapes)
    tape.open().run(1, b"ls -la", b"a\nb\n").chunk()
    tape.run(2, b"cat x", b"x" * 3000, b"oops\n", status=1).flush().chunk()
    tape.run(3, b"true")
    tape.close()
    return tape


def patched(path: Path, edits: Sequence[tuple[int, bytes]]) -> None:
    """Overwrites bytes of a file in place."""
    with path.open("r+b") as file:
        for offset, data in edits:
            file.seek(offset)
            file.write(data)
