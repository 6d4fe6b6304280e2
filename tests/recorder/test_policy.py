"""Which agent reaches which target, and which operations pass."""

import json

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


@pytest.mark.parametrize("kind", ["forward", "x11-forwarding", "agent-forwarding", "", "EXEC", "something-new"])
def test_what_is_not_recorded_is_denied_with_a_reason(kind: str) -> None:
    verdict = policy.decide(Operation(kind))
    assert verdict.effect is Effect.DENY
    assert verdict.rule == "not-recorded"
    assert verdict.reason.endswith("refused")


def test_the_rules_text_does_not_depend_on_order_or_keys() -> None:
    one = [Agent("a", ("k1",), ("x", "y")), Agent("b", (), ())]
    two = [Agent("b", ("k2",), ()), Agent("a", (), ("y", "x"))]
    assert policy.rules_text(one) == policy.rules_text(two)
    assert json.loads(policy.rules_text(one)) == {"a": ["x", "y"], "b": []}


def test_the_rules_text_changes_with_what_an_agent_reaches() -> None:
    assert policy.rules_text([Agent("a", targets=("x",))]) != policy.rules_text([Agent("a", targets=("y",))])
