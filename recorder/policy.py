"""May they: which agent reaches which target and login, which operations pass. Pure: no I/O, no clock."""

import json
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from recorder.model import Agent, Effect, Operation, Target, Verdict
from recorder.safe import printable

_PASSING = frozenset({"shell", "exec", "subsystem"})
_NOT_RECORDED = {
    "channel": "this type of channel is not recorded",
    "forward": "forwarding of this type is not recorded",
    "x11-forwarding": "X11 forwarding is not recorded",
    "agent-forwarding": "agent forwarding would hand the agent's own keys to the target",
}
_SHOWN = 128  # characters of an address in a reason


def reaches(agent: Agent, target: Target) -> bool:
    """Whether one of the agent's target globs names `target`; an agent without targets reaches nothing."""
    return any(fnmatchcase(target.name, glob) for glob in agent.targets)


def decide(operation: Operation, forward: Collection[tuple[str, int]] = ()) -> Verdict:
    """The verdict on an operation on a target that the agent reaches; what is not recorded is denied.

    A forward's text is HOST:PORT for direct-tcpip, else the type of forwarding. `forward`: hosts and ports that may be
    reached by way of the target (`Target.forward`).
    """
    if operation.kind in _PASSING:
        return Verdict(Effect.ALLOW, "default")
    if operation.kind == "forward" and b":" in operation.text:
        if _carried(operation.text, forward):
            return Verdict(Effect.ALLOW, "forward")
        address = printable(operation.text, limit=_SHOWN)
        return Verdict(Effect.DENY, "forward", f"{address} is not in the target's forward list and therefore refused")
    why = _NOT_RECORDED.get(operation.kind, "this request is not recorded")
    return Verdict(Effect.DENY, "not-recorded", f"{why} and therefore refused")


def _carried(address: bytes, forward: Collection[tuple[str, int]]) -> bool:
    """Whether `address` (HOST:PORT, as the agent wrote it) is one of `forward`. Names are compared, never resolved."""
    name, _, number = address.rpartition(b":")
    if not number.isdigit() or len(number) > 5:
        return False
    try:
        host = name.decode("utf-8").removeprefix("[").removesuffix("]").lower()
    except UnicodeDecodeError:
        return False
    return any(host == known.lower() and int(number) == port for known, port in forward)


def rules_text(agents: Iterable[Agent], targets: Iterable[Target] = ()) -> str:
    """The rules in force as one canonical text: which agent reaches which targets, and what lies behind those."""
    reached = {agent.name: sorted(agent.targets) for agent in agents}
    behind = {
        target.name: sorted(f"{host}:{port}" for host, port in target.forward) for target in targets if target.forward
    }
    return json.dumps({"agents": reached, "forward": behind}, sort_keys=True)
