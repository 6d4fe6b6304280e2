"""May they: which agent reaches which target and login, which operations pass. Pure: no I/O, no clock."""

import json
from collections.abc import Iterable
from fnmatch import fnmatchcase

from recorder.model import Agent, Effect, Operation, Target, Verdict

_PASSING = frozenset({"shell", "exec", "subsystem"})
_NOT_RECORDED = {
    "forward": "forwarding is not recorded",
    "x11-forwarding": "X11 forwarding is not recorded",
    "agent-forwarding": "agent forwarding would hand the agent's own keys to the target",
}


def reaches(agent: Agent, target: Target) -> bool:
    """Whether one of the agent's target globs names `target`; an agent without targets reaches nothing."""
    return any(fnmatchcase(target.name, glob) for glob in agent.targets)


def decide(operation: Operation) -> Verdict:
    """The verdict on an operation on a target that the agent reaches; what is not recorded is denied."""
    if operation.kind in _PASSING:
        return Verdict(Effect.ALLOW, "default")
    why = _NOT_RECORDED.get(operation.kind, "this request is not recorded")
    return Verdict(Effect.DENY, "not-recorded", f"{why} and therefore refused")


def rules_text(agents: Iterable[Agent]) -> str:
    """The rules in force as one canonical text: which agent reaches which targets."""
    return json.dumps({agent.name: sorted(agent.targets) for agent in agents}, sort_keys=True)
