"""What a reader of a file transfer is told: operations on files, and what could not be read. Values only."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

STATUS_NAMES = (
    "ok",
    "eof",
    "no-such-file",
    "permission-denied",
    "failure",
    "bad-message",
    "no-connection",
    "connection-lost",
    "op-unsupported",
)
"""By code: draft-ietf-secsh-filexfer-02 section 7."""


class Status(NamedTuple):
    """How a request was answered. `message` is the server's own text, not made printable."""

    code: int
    message: bytes = b""

    @property
    def name(self) -> str:
        """The code's name; of one that version 3 does not know, its number."""
        return STATUS_NAMES[self.code] if self.code < len(STATUS_NAMES) else f"status-{self.code}"

    @property
    def ok(self) -> bool:
        """Whether it was a success."""
        return self.code == 0


OK = Status(0)


class Attributes(NamedTuple):
    """The attributes that a request sets; None for those that it leaves alone. Times are UNIX seconds."""

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    accessed: int | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True)
class FileOperation:
    """One operation, or all reads or all writes of a file from its opening to its closing. Times are the caller's.

    `kind` is the protocol's word: open, read, write, readdir, stat, lstat, fstat, setstat, remove, mkdir, rename,
    link, symlink, … An extension that is not known here has the name that the agent gave it. `path` and `to` are what
    crossed, not made printable: `to` is the second path (renamed to, linked as) or the path that the server answered
    (realpath, readlink). `path` is None when the file was opened in a part that is missing. `known` is `partial` when
    some of it lies in such a part, `inferred` when its path was put together from a command and names (scp).
    """

    kind: str
    path: bytes | None
    start: int
    end: int | None  # None: not answered, or not closed
    status: Status | None  # None: not answered; of reads and writes the first that failed, else of the closing
    to: bytes | None = None
    size: int | None = None  # bytes that were read, written, copied, as far as the server said so
    entries: int | None = None  # names in a listing
    complete: bool | None = None  # reads: the whole file; writes: the file has nothing else in it
    flags: tuple[str, ...] = ()  # of an opening; `replace` of a rename
    attributes: Attributes | None = None
    known: Literal["exact", "partial", "inferred"] = "exact"
    protocol: Literal["sftp", "scp"] = "sftp"
    stream: int = 0

    @property
    def ok(self) -> bool:
        """Whether it ended, and well."""
        return self.end is not None and self.status is not None and self.status.ok


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be read. `offset` counts the bytes of `side` that the parser was given.

    `side` is the direction's number (1 from the agent, 2 to it), `why` a phrase that holds nothing recorded. After
    one that is `lost`, that side is not read on until its next known boundary.
    """

    t: int
    side: int
    offset: int
    why: str
    lost: bool = False
    protocol: Literal["sftp", "scp"] = "sftp"
    stream: int = 0
