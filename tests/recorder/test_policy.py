"""Which agent reaches which target, and which operations pass."""

import json
from dataclasses import replace

import pytest

from recorder import policy
from recorder.model import Agent, Effect, Operation, Secret, SecretKind, Target


def target(name: str) -> Target:
    return Target(name, "ssh", "h", 22, ("deploy",), Secret(SecretKind.ENV, ("K",)))


@pytest.mark.parametrize(
    ("globs", "name", "reached"),
    [
        ((), "web1", False),
        (("web1",), "web1", True),
        (("web*",), "web1", True),
        (("web*",), "db1", False),
        (("db*", "web?"), "web1", True),
        (("web?",), "web10", False),
        (("*",), "anything", True),
        (("WEB1",), "web1", False),
        (("web[12]",), "web2", True),
        (("web[!1]",), "web1", False),
        (("web1",), "web10", False),
        (("web1",), "my-web1", False),
        (("",), "web1", False),
    ],
)
def test_an_agent_reaches_what_its_globs_name(globs: tuple[str, ...], name: str, reached: bool) -> None:
    assert policy.reaches(Agent("ci", targets=globs), target(name)) is reached


@pytest.mark.parametrize("kind", ["shell", "exec", "subsystem"])
def test_what_is_recorded_passes(kind: str) -> None:
    verdict = policy.decide(Operation(kind, b"rm -rf /"))
    assert verdict.effect is Effect.ALLOW
    assert verdict.reason == ""


@pytest.mark.parametrize(
    "kind", ["forward", "channel", "x11-forwarding", "agent-forwarding", "", "EXEC", "something-new"]
)
def test_what_is_not_recorded_is_denied_with_a_reason(kind: str) -> None:
    verdict = policy.decide(Operation(kind))
    assert verdict.effect is Effect.DENY
    assert verdict.rule == "not-recorded"
    assert verdict.reason.endswith("refused")


_LIST = (("db.example", 5432), ("::1", 8080), ("10.0.0.9", 22), ("DB2.example", 1))


@pytest.mark.parametrize(
    "address",
    [
        b"db.example:5432",
        b"DB.Example:5432",
        b"[::1]:8080",
        b"::1:8080",
        b"10.0.0.9:22",
        b"db2.EXAMPLE:1",
        b"10.0.0.9:022",
    ],
)
def test_an_address_in_the_list_is_forwarded_to(address: bytes) -> None:
    verdict = policy.decide(Operation("forward", address), _LIST)
    assert (verdict.effect, verdict.rule, verdict.reason) == (Effect.ALLOW, "forward", "")


@pytest.mark.parametrize(
    "address",
    [
        b"db.example:5433", b"db.example:", b"db.example:+5432", b"db.example: 5432", b"db.example:65541432",
        b"db.example.:5432", b"xdb.example:5432", b"example:5432", b":5432", b":", b"5432", b"db.example\0:5432",
        b"db.example:5432:5432", b"\xff:22", b"0x0a000009:22", b"10.0.0.9:22\n", b"db.example:\xd9\xa5", b"",
        b"direct-streamlocal@openssh.com", b"127.0.0.1:22", b"localhost:8080",
    ],
)  # fmt: skip
def test_any_other_is_denied(address: bytes) -> None:
    verdict = policy.decide(Operation("forward", address), _LIST)
    assert verdict.effect is Effect.DENY
    assert verdict.reason.endswith(" and therefore refused")


def test_nothing_is_forwarded_to_without_a_list() -> None:
    assert policy.decide(Operation("forward", b"db.example:5432")).effect is Effect.DENY


def test_the_reason_names_the_address_in_printable_form() -> None:
    reason = policy.decide(Operation("forward", b"\x1b]0;x\x07:1"), _LIST).reason
    assert reason == "\\e]0;x\\x07:1 is not in the target's forward list and therefore refused"
    assert len(policy.decide(Operation("forward", b"x" * 100_000 + b":1"), _LIST).reason) < 256


@pytest.mark.parametrize("kind", ["exec", "x11-forwarding", "channel", "FORWARD"])
def test_the_list_is_for_forwarding_alone(kind: str) -> None:
    allowed = policy.decide(Operation(kind, b"10.0.0.9:22"), _LIST).effect is Effect.ALLOW
    assert allowed is (kind == "exec")


def test_the_rules_text_does_not_depend_on_order_or_keys() -> None:
    one = [Agent("a", ("k1",), ("x", "y")), Agent("b", (), ())]
    two = [Agent("b", ("k2",), ()), Agent("a", (), ("y", "x"))]
    assert policy.rules_text(one) == policy.rules_text(two)
    assert json.loads(policy.rules_text(one)) == {"agents": {"a": ["x", "y"], "b": []}, "forward": {}}


def test_the_rules_text_changes_with_what_an_agent_reaches() -> None:
    assert policy.rules_text([Agent("a", targets=("x",))]) != policy.rules_text([Agent("a", targets=("y",))])


def test_the_rules_text_says_what_lies_behind_a_target() -> None:
    behind = replace(target("web1"), forward=(("db", 5432), ("a", 1)))
    text = json.loads(policy.rules_text([], [target("web2"), behind]))
    assert text["forward"] == {"web1": ["a:1", "db:5432"]}
