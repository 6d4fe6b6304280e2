"""The vocabulary of both packages: frozen values without behaviour and without I/O."""

from dataclasses import dataclass, field
from enum import StrEnum


class Source(StrEnum):
    """How a field of the attribution tuple is known."""

    VERIFIED = "verified"  # proved by a signature that the gateway checked
    ASSERTED = "asserted"  # the agent said so
    OBSERVED = "observed"  # the gateway saw it


class State(StrEnum):
    """What is known of a session's tape."""

    LIVE = "live"
    CLOSED = "closed"
    RECOVERED = "recovered"
    UNCLOSED = "unclosed"
    DELETED = "deleted"


class Effect(StrEnum):
    """What was decided about an operation."""

    ALLOW = "allow"
    DENY = "deny"


class Mode(StrEnum):
    """What is promised of the disk before bytes go on (docs/tape-format.md, "Writing")."""

    STRICT = "strict"
    DURABLE = "durable"
    BEST_EFFORT = "best-effort"


class Right(StrEnum):
    """What a person may do."""

    READ = "read"
    ANNOTATE = "annotate"
    APPROVE = "approve"
    REVEAL = "reveal"
    EXPORT = "export"
    ADMIN = "admin"


class Handling(StrEnum):
    """What somebody did with a recording, as the custody table says it."""

    VIEWED = "viewed"
    REVEALED = "revealed"
    EXPORTED = "exported"


class SecretKind(StrEnum):
    """Where a secret comes from; a literal is not among them."""

    FILE = "file"
    ENV = "env"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret: a path, the name of a variable, or a program with its arguments."""

    kind: SecretKind
    value: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as configured; `keys` are public keys in OpenSSH form, `targets` globs of target names.

    `os_user` is the local account that it runs under, which is therefore no person's.
    """

    name: str
    keys: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    os_user: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who reviews or administers; `os_user` is the local account by which the control socket knows them."""

    name: str
    groups: tuple[str, ...] = ()
    os_user: str | None = None
    may: frozenset[Right] = frozenset()


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA (public key in OpenSSH form) whose SSH user certificates name agents: those that `agents` (globs) match."""

    key: str
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Room on a disk: the larger of a part of the whole (0 to 1) and a number of bytes."""

    fraction: float = 0.0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """Free room below which the gateway warns, refuses new sessions, and ends those that run."""

    warn: Threshold = Threshold(0.10)
    refuse: Threshold = Threshold(0.05)
    end: Threshold = Threshold(0.01)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of what; `login` and `idle` are seconds, `unauthenticated` counts connections."""

    sessions_per_agent: int = 100
    sessions_per_target: int = 200
    unauthenticated: int = 64
    login: float = 30.0
    idle: float = 3600.0
    disk: Disk = Disk()


@dataclass(frozen=True, slots=True)
class Target:
    """A system behind the gateway; the first of `logins` is the default. `host_keys` are known_hosts key fields."""

    name: str
    protocol: str
    host: str
    port: int
    logins: tuple[str, ...]
    key: Secret
    host_keys: tuple[str, ...] = ()
    known_hosts: str | None = None
    forward: tuple[tuple[str, int], ...] = ()  # host and port to which direct-tcpip is carried


@dataclass(frozen=True, slots=True)
class Listener:
    """An address to accept agents on; `target` fixes the target of this port (then the user name is the login)."""

    protocol: str
    host: str
    port: int
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an agent asks for: `kind` is shell, exec, subsystem, forward …; `text` as it crossed."""

    kind: str
    text: bytes = b""
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on an operation; `rule` names what decided, `reason` is shown to the agent."""

    effect: Effect
    rule: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who, for whom, in which run and for which request; `sources` says how each field is known."""

    agent: str
    run: str
    request: str | None = None
    on_behalf_of: str | None = None
    credential: str | None = None
    client: str | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    unattributed: bool = True


@dataclass(frozen=True, slots=True)
class Session:
    """One row of the catalogue. Times are UNIX nanoseconds UTC, sizes bytes; `size` is that of the tape's files."""

    id: str
    protocol: str
    attribution: Attribution
    target: str
    login: str
    started: int
    ended: int | None = None
    state: State = State.LIVE
    bytes_in: int = 0
    bytes_out: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    not_captured: tuple[str, ...] = ()
    segments: int = 1
    tags: tuple[str, ...] = ()
    size: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """A signed tree head of a segment as the catalogue keeps it; `note` is the checkpoint's text."""

    session: str
    segment: int
    tree_size: int
    root: bytes
    stored: int
    note: str


@dataclass(frozen=True, slots=True)
class Custody:
    """Who did what with the recording of a session: `at` is UNIX ns, `detail` says more; `seq` counts up from 1."""

    seq: int
    at: int
    person: str
    uid: int
    action: Handling
    session: str
    detail: dict[str, str | int | None] = field(default_factory=dict)
