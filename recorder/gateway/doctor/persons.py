"""Persons and the accounts of this machine by which the control socket knows them. Changes nothing."""

import pwd
from collections.abc import Iterator

from recorder.config import Config
from recorder.gateway.doctor.finding import Finding, counted, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.model import Right
from recorder.rights import account
from recorder.safe import quoted

_ABOUT = "persons"


def check(setup: Setup) -> Iterator[Finding]:
    """Who may review and administer, and whether the machine knows them."""
    config = setup.config
    found = [*_agents(setup), *_persons(config)]
    yield from found
    if found:
        return
    if not config.persons:
        yield ok(_ABOUT, f"there are none, so {account(setup.uid)}, the gateway's user, may do everything")
    else:
        yield ok(_ABOUT, f"{counted(len(config.persons), 'person')}, each with an account of their own on this machine")


def _agents(setup: Setup) -> Iterator[Finding]:
    where = setup.config.path
    for agent in setup.config.agents:
        if agent.os_user is None:
            continue
        uid = _uid(agent.os_user)
        if uid is None:
            what = (
                f"agent {agent.name} has the os_user {quoted(agent.os_user, 64)}, an account that this machine has not"
            )
            yield wrong(_ABOUT, f"{what}: correct it in {where}, or run `useradd` for it")
        elif uid == setup.uid:
            what = (
                f"agent {agent.name} runs as {account(uid)}, the gateway's own user, and can read keys and change tapes"
            )
            yield warn(_ABOUT, f"{what}: give the agent, or the gateway, another account")


def _persons(config: Config) -> Iterator[Finding]:
    agents = {_uid(agent.os_user): agent.name for agent in config.agents if agent.os_user is not None}
    seen: dict[int, str] = {}
    for person in config.persons:
        if person.os_user is None:
            yield warn(
                _ABOUT, f"person {person.name} has no os_user, so nobody can act as them: add it in {config.path}"
            )
            continue
        named = f"person {person.name} has the os_user {quoted(person.os_user, 64)}"
        uid = _uid(person.os_user)
        if uid is None:
            mend = f"correct it in {config.path}, or run `useradd` for it"
            yield wrong(_ABOUT, f"{named}, an account that this machine has not: {mend}")
        elif uid in agents:
            mend = f"give one of them another account, and name it in {config.path}"
            yield wrong(_ABOUT, f"{named}, which is agent {agents[uid]}'s, and an agent is no person: {mend}")
        elif uid in seen:
            yield wrong(_ABOUT, f"{named}, the same uid {uid} as person {seen[uid]}: give each an account of their own")
        else:
            seen[uid] = person.name
    if config.persons and not any(Right.ADMIN in person.may for person in config.persons):
        yield warn(_ABOUT, f'no person may administer: add "admin" to may of a [[person]] in {config.path}')


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None  # no such account, or (a NUL in it) no name of one
