"""Which user of the machine may ask for what: every verb of the socket by every kind of caller, on a real gateway.

A verb that is new must be entered here: what it is asked with, and who may.
"""

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from recorder.control import VERBS
from recorder.control_client import Code, ask
from recorder.model import Right
from recorder.rights import account
from tests.servers.gateway import Gateway
from tests.servers.other_user import STRANGER, Question, answer_of, ask_as, needs_root
from tests.servers.site import Site

pytestmark = pytest.mark.service

# Each right by an account that every Debian has; nobody logs in as one of them.
HOLDERS = {
    Right.READ: "daemon",
    Right.ANNOTATE: "bin",
    Right.APPROVE: "sys",
    Right.REVEAL: "games",
    Right.EXPORT: "man",
    Right.ADMIN: "lp",
}
WORKER, BOTH, POWERLESS = "mail", "news", "uucp"  # an agent's account; an agent's and a person's; one without rights
NO_SESSION = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Case:
    """What a verb is asked with, the right that allows it, and what the gateway then answers."""

    needs: Right | None
    arguments: dict[str, object]
    allowed: str


CASES = {
    "ping": Case(None, {}, "ok"),
    "kill": Case(Right.ADMIN, {"id": NO_SESSION}, "not-found"),
    "viewed": Case(Right.READ, {"session": NO_SESSION}, "not-found"),
    "revealed": Case(Right.REVEAL, {"session": NO_SESSION}, "not-found"),
    "exported": Case(Right.EXPORT, {"session": NO_SESSION, "detail": {"format": "cast"}}, "not-found"),
}
QUESTIONS: list[Question] = [(verb, case.arguments) for verb, case in CASES.items()]


def persons() -> str:
    tables = [(name, name, [right]) for right, name in HOLDERS.items()]
    tables += [("both", BOTH, list(Right)), ("powerless", POWERLESS, []), ("gone", "no-such-account", list(Right))]
    found = [
        f'[[person]]\nname = "{name}"\nos_user = "{user}"\nmay = {[*map(str, may)]}\n' for name, user, may in tables
    ]
    agents = [f'[[agent]]\nname = "{user}-agent"\nos_user = "{user}"\n' for user in (WORKER, BOTH)]
    return "\n".join([*found, *agents])


@pytest.fixture(scope="module")
def manned(site: Site) -> Iterator[Gateway]:
    """A gateway with persons, in a folder that every user reaches."""
    with tempfile.TemporaryDirectory(prefix="tacho-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        gateway = site.start(Path(folder) / "g", extra=persons())
        yield gateway
        assert gateway.stop() == 0
        gateway.assert_sound()


def socket_of(gateway: Gateway) -> Path:
    return gateway.data / "run/control.sock"


def test_every_verb_stands_in_this_test() -> None:
    assert {verb: entry.needs for verb, entry in VERBS.items()} == {verb: case.needs for verb, case in CASES.items()}
    assert [verb for verb, entry in VERBS.items() if entry.needs is None] == ["ping"]


@needs_root
@pytest.mark.parametrize("right", list(Right))
def test_a_person_may_what_their_one_right_names_and_nothing_else(manned: Gateway, right: Right) -> None:
    uid = pwd.getpwnam(HOLDERS[right]).pw_uid
    found = dict(zip(CASES, ask_as(uid, socket_of(manned), QUESTIONS), strict=True))
    assert found == {
        verb: case.allowed if case.needs in (None, right) else Code.FORBIDDEN.value for verb, case in CASES.items()
    }


@needs_root
@pytest.mark.parametrize(
    "who", [WORKER, BOTH, POWERLESS, None], ids=["agent", "agent-and-person", "person", "stranger"]
)
def test_an_agents_account_and_a_stranger_may_nothing(manned: Gateway, who: str | None) -> None:
    uid = STRANGER if who is None else pwd.getpwnam(who).pw_uid
    found = dict(zip(CASES, ask_as(uid, socket_of(manned), QUESTIONS), strict=True))
    assert found == {verb: "ok" if case.needs is None else Code.FORBIDDEN.value for verb, case in CASES.items()}


@needs_root
def test_the_gateways_own_user_is_nobody_where_there_are_persons(manned: Gateway) -> None:
    found = dict(zip(CASES, ask_as(os.geteuid(), socket_of(manned), QUESTIONS), strict=True))
    assert found == {verb: "ok" if case.needs is None else Code.FORBIDDEN.value for verb, case in CASES.items()}


def test_the_gateways_own_user_may_everything_where_there_is_no_person(gateway: Gateway) -> None:
    for verb, case in CASES.items():
        assert answer_of(socket_of(gateway), verb, case.arguments) == case.allowed
    assert ask(socket_of(gateway), "ping")["person"] == account(os.geteuid())


@needs_root
def test_who_is_not_in_the_group_does_not_even_reach_it(manned: Gateway) -> None:
    for uid in (STRANGER, pwd.getpwnam(HOLDERS[Right.ADMIN]).pw_uid):
        assert set(ask_as(uid, socket_of(manned), QUESTIONS, group=STRANGER)) == {"forbidden"}


@needs_root
def test_ping_tells_who_one_is(manned: Gateway) -> None:
    found = ask(socket_of(manned), "ping")
    assert (found["uid"], found["person"], found["rights"], found["pid"]) == (os.geteuid(), None, [], manned.pid)


@needs_root
def test_one_user_who_takes_all_connections_keeps_no_other_out(manned: Gateway) -> None:
    # The test is one user, root; the other is a holder of a right.
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(socket.socket(socket.AF_UNIX)).connect(str(socket_of(manned)))
        uid = pwd.getpwnam(HOLDERS[Right.READ]).pw_uid
        assert ask_as(uid, socket_of(manned), [QUESTIONS[0]]) == ["ok"]
