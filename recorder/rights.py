"""Which person a local account is, and what that person may do. Pure, but for `known_here`, which resolves accounts."""

import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorder.model import Agent, Person, Right

_ALL = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Nobody has an empty name and no rights; `why` then says why, with the mend."""

    uid: int
    person: str = ""
    rights: frozenset[Right] = frozenset()
    why: str = ""


class Callers:
    """The persons of one configuration by uid."""

    def __init__(self, known: Mapping[int, Caller], where: Path) -> None:
        self._known = known
        self._where = where

    def of(self, uid: int) -> Caller:
        """Who has this uid; nobody when no person has it."""
        mend = f"give a [[person]] in {self._where} its os_user, and reload the gateway"
        return self._known.get(uid) or Caller(uid, why=f"uid {uid} is no person here: {mend}")

    def refusal(self, caller: Caller, needed: Right | None) -> str | None:
        """Why `caller` may not do what needs a right, one sentence with the mend; None when it may."""
        if needed is None or needed in caller.rights:
            return None
        if not caller.person:
            return caller.why
        mend = f'add "{needed}" to may of that [[person]] in {self._where}, and reload the gateway'
        return f"{caller.person} has not the right {needed}: {mend}"


def callers(
    persons: Sequence[Person],
    agents: Sequence[Agent],
    own: tuple[int, str],
    where: Path,
    uid_of: Callable[[str], int | None],
) -> Callers:
    """Who is who: `own` is the gateway's uid and account, `where` the configuration, `uid_of` gives an account's uid.

    An account that an agent runs under is nobody's, whatever else it is; neither is one that two persons share. Where
    there is no person at all, the gateway's own user may do everything.
    """
    known: dict[int, Caller] = {}
    for person in persons:
        uid = uid_of(person.os_user) if person.os_user is not None else None
        if uid is None:
            continue
        if uid in known:
            why = f"uid {uid} is the os_user of two persons in {where}: give each an account of their own"
            known[uid] = Caller(uid, why=why)
        else:
            known[uid] = Caller(uid, person.name, person.may)
    if not persons:
        known[own[0]] = Caller(*own, _ALL)
    for agent in agents:
        uid = uid_of(agent.os_user) if agent.os_user is not None else None
        if uid is not None:
            why = f"uid {uid} is the os_user of agent {agent.name}, and an agent is no person: use another account"
            known[uid] = Caller(uid, why=why)
    return Callers(known, where)


def known_here(persons: Sequence[Person], agents: Sequence[Agent], where: Path) -> Callers:
    """`callers` by this machine's accounts, for the user of this process. Accounts that do not exist are nobody's."""
    own = os.geteuid()
    return callers(persons, agents, (own, account(own)), where, _uid_of)


def account(uid: int) -> str:
    """The name of an account; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None  # no such account, or (a NUL in it) no name of one
