"""What a protocol and the door say to each other: the vocabulary of floors 3 to 6. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from recorder.model import Agent, Operation, Target, Verdict

if TYPE_CHECKING:
    from asyncio import Future


class Direction(IntEnum):
    """Which way bytes crossed; the numbers are those of the tape's frame kinds."""

    IN = 1  # released to the target
    OUT = 2  # delivered to the agent
    ERR = 3  # delivered to the agent as extended data


class Refused(Exception):
    """What an agent asked for is not to be had; the text is one sentence for it."""


class Broken(Exception):
    """The session cannot be recorded any more and must end; the text is one sentence for the agent."""


class Gate(Protocol):
    """A session's door as its protocol sees it: what is asked, noted and crossed is on the tape before it goes on."""

    @property
    def id(self) -> str:
        """The session's id, for messages to the agent."""

    @property
    def clear(self) -> bool:
        """Whether bytes may cross now; while False, hold them and wait for `on_clear`."""

    def on_clear(self, callback: Callable[[], None]) -> None:
        """Sets what is called each time the gate becomes clear again."""

    def on_broken(self, callback: Callable[[Broken], None]) -> None:
        """Sets what is called when the tape cannot be written any more, or the session is to be ended."""

    def cross(
        self, direction: Direction, stream: int, data: bytes, release: Callable[[bytes], None], remaining: int = 0
    ) -> "Future[None] | None":
        """Records `data` (32 KiB at most), then hands it to `release`.

        In durable mode what an agent sends is released only when it is on disk: then a future is returned that is done
        after that, and until then nothing more of that stream may cross.

        `remaining`: bytes still to come after `data` of the protocol message that its stream's side has begun.
        """

    @property
    def durable(self) -> bool:
        """Whether every request must be settled before it is forwarded."""

    async def settle(self) -> None:
        """Waits until all that was recorded so far is on disk; Broken when that cannot be."""

    def note(self, name: str, stream: int = 0, **facts: object) -> None:
        """Records a fact that is not bytes."""

    async def ask(self, operation: Operation, *, settle: bool) -> Verdict:
        """The decision on `operation`, recorded; with `settle` it is on disk before this returns an allowance.

        Broken when it cannot be recorded.
        """

    def terminal(self) -> None:
        """Says that a channel of this session is a terminal: less may be forwarded ahead of the disk."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An SSH user certificate as its authority signed it. Times are UNIX seconds UTC; no end is None."""

    key_id: str
    serial: int
    authority: bytes  # the CA's public key, encoded as in RFC 4253 section 6.6
    principals: tuple[str, ...]
    valid_from: int
    valid_until: int | None


@dataclass(frozen=True, slots=True)
class Knock:
    """An authenticated agent at a listener: who, by which credential, from where, and the user name it typed."""

    agent: Agent
    credential: str
    client: str
    user: str
    listener_target: str | None
    client_version: str
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """What an agent was admitted to. `secret` is the upstream credential: it goes to no tape, log or error."""

    gate: Gate
    target: Target
    login: str
    secret: bytes


class Front(Protocol):
    """What the gateway offers to a protocol's server."""

    def agent_of_key(self, blob: bytes) -> Agent | None:
        """The agent that has this public key (RFC 4253 section 6.6 encoding)."""

    def agent_of_certificate(self, certificate: Certificate) -> Agent:
        """The agent that a certificate names; Refused with one sentence when its authority may name none."""

    async def admit(self, knock: Knock) -> Admitted:
        """Opens a session for an authenticated agent; Refused when it may not have what it asks for."""

    async def ended(self, gate: Gate, reason: str) -> None:
        """Closes the session of `gate`: its tape and its row."""
