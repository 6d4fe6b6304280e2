"""Who is who on this machine, and what they may do: accounts to persons, agents before persons, sentences that mend."""

import os
from pathlib import Path

import pytest

from recorder.model import Agent, Person, Right
from recorder.rights import Caller, Callers, account, callers, known_here

WHERE = Path("/etc/tachograph/tachograph.toml")
UIDS = {"ana": 1001, "bo": 1002, "also-ana": 1001, "ci": 1003, "gateway": 900}
ANA = Person("ana", os_user="ana", may=frozenset({Right.READ, Right.ADMIN}))


def known(*persons: Person, agents: tuple[Agent, ...] = ()) -> Callers:
    return callers(persons, agents, (900, "gateway"), WHERE, UIDS.get)


def test_a_person_is_known_by_their_account() -> None:
    assert known(ANA).of(1001) == Caller(1001, "ana", frozenset({Right.READ, Right.ADMIN}))


@pytest.mark.parametrize("uid", [0, 900, 1002, 65534, 2**32 - 1])
def test_every_other_uid_is_nobody_the_gateways_own_and_root_too(uid: int) -> None:
    caller = known(ANA).of(uid)
    assert (caller.person, caller.rights) == ("", frozenset())
    assert known(ANA).refusal(caller, Right.READ) == caller.why
    assert f"uid {uid} is no person here" in caller.why
    assert "os_user" in caller.why


def test_an_agents_account_is_nobodys_even_when_a_person_names_it() -> None:
    bo = Person("bo", os_user="bo", may=frozenset(Right))
    found = known(ANA, bo, agents=(Agent("worker", os_user="bo"), Agent("other"))).of(1002)
    assert (found.person, found.rights) == ("", frozenset())
    assert "os_user of agent worker" in found.why


def test_an_account_that_two_persons_share_is_nobodys() -> None:
    twin = Person("twin", os_user="also-ana", may=frozenset(Right))
    for persons in ((ANA, twin), (twin, ANA), (ANA, twin, Person("third", os_user="ana"))):
        found = known(*persons).of(1001)
        assert (found.person, found.rights) == ("", frozenset())
        assert "two persons" in found.why


def test_accounts_that_do_not_exist_and_persons_without_one_change_nothing() -> None:
    found = known(ANA, Person("gone", os_user="gone", may=frozenset(Right)), Person("web", may=frozenset(Right)))
    assert found.of(1001).person == "ana"
    assert found.of(0).person == ""


def test_without_persons_the_gateways_user_may_everything_and_nobody_else_anything() -> None:
    assert known().of(900) == Caller(900, "gateway", frozenset(Right))
    assert known().of(0).rights == frozenset()
    one_who_may_nothing = known(Person("ana"))
    assert one_who_may_nothing.of(900).rights == frozenset()


def test_without_persons_an_agent_under_the_gateways_own_account_leaves_it_no_rights() -> None:
    assert known(agents=(Agent("worker", os_user="gateway"),)).of(900).rights == frozenset()


@pytest.mark.parametrize("needed", list(Right))
def test_a_right_that_is_missing_is_named_with_the_place_to_add_it(needed: Right) -> None:
    found = known(ANA)
    refusal = found.refusal(found.of(1001), needed)
    if needed in ANA.may:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.startswith(f"ana has not the right {needed}: ")
        assert str(WHERE) in refusal


def test_what_needs_no_right_is_refused_to_nobody() -> None:
    assert known(ANA).refusal(known(ANA).of(5), None) is None


def test_accounts_of_this_machine() -> None:
    own = os.geteuid()
    assert known_here((), (), WHERE).of(own) == Caller(own, account(own), frozenset(Right))
    persons = (
        Person("ana", os_user=account(own)),
        Person("no", os_user="no such account"),
        Person("x", os_user="a\0b"),
    )
    assert known_here(persons, (), WHERE).of(own).person == "ana"
    assert account(2**31 - 7) == f"uid {2**31 - 7}"
