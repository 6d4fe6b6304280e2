"""What can be asked for through the control socket: one entry a verb, with the right that it needs and what it does."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recorder import __version__
from recorder.catalogue.sqlite import Catalogue
from recorder.control.request import Refusal, Request
from recorder.control_client import Code
from recorder.model import Custody, Handling, Right, Session
from recorder.safe import printable, quoted

_NEWEST = ("latest", "-")
_SHORT = 8  # characters at the end of an ID, as lists show it
_WHY_LIMIT = 200
_NAMED = 8  # sessions in a message


class Sessions(Protocol):
    """The sessions that run in this gateway."""

    def live(self) -> Sequence[Session]:
        """Their rows, oldest first."""

    def end(self, session: str, reason: str) -> bool:
        """Ends one, its agent told `reason`; False when it does not run here."""


@dataclass(frozen=True, slots=True)
class Actions:
    """What verbs act on; `started` is UNIX ns."""

    sessions: Sessions
    catalogue: Catalogue
    started: int


@dataclass(frozen=True, slots=True)
class Verb:
    """`needs` is None where anybody who reaches the socket may ask; such a verb changes nothing."""

    needs: Right | None
    run: Callable[[Actions, Request], Awaitable[dict[str, object]]]


async def _ping(actions: Actions, request: Request) -> dict[str, object]:
    """Who the caller is, and who answers."""
    caller = request.caller
    return {
        "uid": caller.uid,
        "person": caller.person or None,
        "rights": sorted(caller.rights),
        "pid": os.getpid(),
        "version": __version__,
        "started": actions.started,
    }


async def _kill(actions: Actions, request: Request) -> dict[str, object]:
    """Ends the live session `id`, or those of `run`."""
    why = printable(request.text("why", "", _WHY_LIMIT), limit=_WHY_LIMIT)
    chosen = await (_of_run(actions, request.text("run")) if request.has("run") else _one(actions, request.text("id")))
    reason = f"killed by {request.caller.person}{f': {why}' if why else ''}"
    return {"ended": [session for session in chosen if actions.sessions.end(session, reason)]}


async def _of_run(actions: Actions, run: str) -> list[str]:
    """The live sessions of which a channel asserted `run`, or that have it as their own."""
    asserted = {session.id for session in await asyncio.to_thread(actions.catalogue.of_run, run)}
    live = actions.sessions.live()
    found = [session.id for session in live if session.id in asserted or session.attribution.run == run]
    if not found:
        known = "none of its sessions is live" if asserted else "there is no such run: see `tacho ls`"
        raise Refusal(Code.NOT_FOUND, f"run {quoted(run, 64)}: {known}")
    return found


async def _one(actions: Actions, part: str) -> list[str]:
    """The live session that `part` names: `latest`, or a beginning or end of its ID."""
    live = actions.sessions.live()
    if part in _NEWEST:
        last = await asyncio.to_thread(actions.catalogue.latest)
        newest = max(
            (session for session in (*live, last) if session), key=lambda row: (row.started, row.id), default=None
        )
        if newest is None:
            raise Refusal(Code.NOT_FOUND, "there is no session yet: let an agent connect first")
        return [_lives(newest, live)]
    wanted = part.lower()
    found = [session for session in live if session.id.startswith(wanted) or session.id.endswith(wanted)]
    if len(found) > 1:
        names = ", ".join(session.id[-_SHORT:] for session in found[:_NAMED])
        raise Refusal(Code.NOT_FOUND, f"{quoted(part, 64)} means more than one live session, name one of them: {names}")
    if found:
        return [found[0].id]
    known = await asyncio.to_thread(actions.catalogue.matching, part)
    if not known:
        raise Refusal(Code.NOT_FOUND, f"no session begins or ends with {quoted(part, 64)}: see `tacho ls`")
    return [_lives(known[0], live)]


def _lives(session: Session, live: Sequence[Session]) -> str:
    if session.id not in {running.id for running in live}:
        raise Refusal(Code.NOT_FOUND, f"session {printable(session.id)} is not live: it has ended already")
    return session.id


def _entering(action: Handling) -> Callable[[Actions, Request], Awaitable[dict[str, object]]]:
    """What enters into the custody table that the caller did `action` with `session`; `detail` says more."""

    async def enter(actions: Actions, request: Request) -> dict[str, object]:
        session, detail = request.text("session"), request.detail()
        if await asyncio.to_thread(actions.catalogue.get, session) is None:
            raise Refusal(Code.NOT_FOUND, f"the catalogue has no session {quoted(session, 64)}: see `tacho ls`")
        caller = request.caller
        entry = Custody(0, time.time_ns(), caller.person, caller.uid, action, session, detail)
        return {"seq": await asyncio.to_thread(actions.catalogue.add_custody, entry)}

    return enter


VERBS: Mapping[str, Verb] = {
    "ping": Verb(None, _ping),
    "kill": Verb(Right.ADMIN, _kill),
    "viewed": Verb(Right.READ, _entering(Handling.VIEWED)),
    "revealed": Verb(Right.REVEAL, _entering(Handling.REVEALED)),
    "exported": Verb(Right.EXPORT, _entering(Handling.EXPORTED)),
}
