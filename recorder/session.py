"""The one door: decide, record, release. Nothing reaches the other side or the tape of a session except through it."""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from recorder import identity, policy
from recorder.format.frame import Kind
from recorder.format.spool import Tape, TapeError
from recorder.model import Effect, Mode, Operation, Session, State, Verdict
from recorder.protocol import Broken, Direction

_CLOSE_LIMIT_S = 20.0
_TERMINAL_LIMIT = 64 * 1024  # bytes of a terminal session forwarded ahead of the disk


class Rows(Protocol):
    """Where a session's row is kept; both return at once."""

    def put(self, session: Session) -> None:
        """Keeps the row as it is now."""

    def add_run(self, session: str, run: str) -> None:
        """Notes that a channel asserted `run`."""


class Door:
    """A session's gate (`recorder.protocol.Gate`): its tape, its row, its counts."""

    def __init__(self, tape: Tape, rows: Rows, session: Session, forward: Collection[tuple[str, int]] = ()) -> None:
        """`forward`: hosts and ports that may be reached by way of the target."""
        self.durable = tape.mode is Mode.DURABLE
        self._tape = tape
        self._rows = rows
        self._session = session
        self._forward = forward
        self._verdicts: dict[str, int] = {}
        self._in = self._out = 0
        self._broken: Callable[[Broken], None] | None = None
        self._ending: Broken | None = None
        self.idle_since = time.monotonic()  # when something last crossed or was asked for
        tape.on_failure = self._fail

    @property
    def id(self) -> str:
        """The session's id."""
        return self._session.id

    @property
    def session(self) -> Session:
        """The row with what has crossed so far."""
        return replace(self._session, bytes_in=self._in, bytes_out=self._out, verdicts=dict(self._verdicts))

    @property
    def clear(self) -> bool:
        """Whether bytes may cross now."""
        return self._tape.clear

    def on_clear(self, callback: Callable[[], None]) -> None:
        """Sets what is called each time the gate becomes clear again."""
        self._tape.on_clear = callback

    def on_broken(self, callback: Callable[[Broken], None]) -> None:
        """Sets what is called when the tape cannot be written any more, or the session is to be ended."""
        self._broken = callback
        if self._tape.failed is not None:
            callback(_broken(self._tape.failed))
        elif self._ending is not None:
            callback(self._ending)

    def end(self, reason: str) -> None:
        """Has the protocol end the session with `reason`, one sentence for the agent; the first reason counts."""
        if self._ending is None:
            self._ending = Broken(reason)
            if self._broken is not None:
                self._broken(self._ending)

    def open(self, facts: dict[str, object]) -> None:
        """Records the open frame and enters the session into the catalogue."""
        self._tape.append(Kind.OPEN, 0, facts)
        self._rows.put(self._session)

    def cross(
        self, direction: Direction, stream: int, data: bytes, release: Callable[[bytes], None], remaining: int = 0
    ) -> asyncio.Future[None] | None:
        """Records `data` (32 KiB at most), then hands it to `release`: at once, in durable mode when it is on disk."""
        size = len(data)
        self.idle_since = time.monotonic()
        self._tape.append(direction, stream, data, remaining)
        if direction is not Direction.IN:
            self._out += size
        else:
            self._in += size
            if self.durable:
                return self._release_settled(data, release)
        release(data)
        return None

    def _release_settled(self, data: bytes, release: Callable[[bytes], None]) -> asyncio.Future[None]:
        settling = self._tape.barrier()

        def settled(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                release(data)

        settling.add_done_callback(settled)
        return settling

    def note(self, name: str, stream: int = 0, **facts: object) -> None:
        """Records a fact that is not bytes; what is asserted, and what cannot be read, also goes to the row."""
        self._tape.append(Kind.NOTE, stream, {"name": name, **facts})
        if name == "asserted":
            self._assert({key: str(value) for key, value in facts.items()})
        elif name == "not-captured":
            what = str(facts.get("what", ""))
            if what not in self._session.not_captured:
                self._session = replace(self._session, not_captured=(*self._session.not_captured, what))
                self._rows.put(self._session)

    def _assert(self, facts: dict[str, str]) -> None:
        who = identity.asserted(self._session.attribution, facts)
        if who is not self._session.attribution:
            self._session = replace(self._session, attribution=who)
            self._rows.put(self._session)
        if facts.get("run"):
            self._rows.add_run(self.id, facts["run"])

    async def ask(self, operation: Operation, *, settle: bool) -> Verdict:
        """The decision on `operation`, recorded; with `settle` on disk before it returns. Broken when it cannot be."""
        self.idle_since = time.monotonic()
        verdict = policy.decide(operation, self._forward)
        counted = "allowed" if verdict.effect is Effect.ALLOW else "denied"
        self._verdicts[counted] = self._verdicts.get(counted, 0) + 1
        body: dict[str, object] = {
            "operation": operation.kind,
            "effect": verdict.effect.value,
            "rule": verdict.rule,
        }
        if verdict.reason:
            body |= {"reason": verdict.reason, "text": operation.text[:256]}
        self._tape.append(Kind.VERDICT, operation.stream, body)
        if settle:
            await self.settle()
        return verdict

    async def settle(self) -> None:
        """Waits until all that was recorded so far is on disk; Broken when that cannot be."""
        try:
            await self._tape.barrier()
        except TapeError as error:
            raise _broken(error) from None

    def terminal(self) -> None:
        """A channel of this session is a terminal: at most 64 KiB are forwarded ahead of the disk."""
        self._tape.limit_unsynced(_TERMINAL_LIMIT)

    async def close(self, reason: str) -> Session:
        """Ends the tape with a close frame and the row with its totals; returns the row."""
        totals = {"reason": reason, "bytes_in": self._in, "bytes_out": self._out, "verdicts": self._verdicts}
        self._tape.append(Kind.CLOSE, 0, totals)
        state, size, segments, gaps = State.CLOSED, 0, 1, 0
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                size, _, segments, gaps = await asyncio.shield(self._tape.close())
        except TapeError as error:
            state, reason = State.UNCLOSED, str(error)
        except TimeoutError:
            late = f"the disk did not take its end within {_CLOSE_LIMIT_S:.0f} s"
            state, reason = State.UNCLOSED, f"{late}; the next start of the gateway recovers it"
        self._session = replace(
            self._session,
            ended=self._session.started + self._tape.now() * 1000,  # the wall clock may have been set meanwhile
            state=state,
            reason=reason,
            bytes_in=self._in,
            bytes_out=self._out,
            verdicts=dict(self._verdicts),
            size=size,
            segments=segments,
            gaps=gaps,
        )
        self._rows.put(self._session)
        return self._session

    def _fail(self, error: TapeError) -> None:
        if self._broken is not None:
            self._broken(_broken(error))


def _broken(error: TapeError) -> Broken:
    return Broken(f"this session cannot be recorded any more and ends: {error}")
