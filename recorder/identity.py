"""Who an agent is, and what it names: keys, fingerprints, user names, the attribution tuple. Pure: no I/O, no clock."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from recorder.model import Agent, Attribution, Source, Target
from recorder.safe import quoted

ASSERTED_FIELDS = ("run", "request", "on_behalf_of")


class Unknown(ValueError):
    """A user name that leads nowhere; the text is one sentence for the agent."""


def key_blob(line: str) -> bytes:
    """The key inside a public key line `TYPE BASE64 [COMMENT]`; ValueError when it is none (RFC 4253 section 6.6)."""
    parts = line.split()
    if len(parts) < 2:
        raise ValueError("a public key is written TYPE BASE64, as in a .pub file")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except ValueError:
        raise ValueError("the key's second field is not base64") from None
    name = parts[0].encode()
    if blob[:4] != len(name).to_bytes(4, "big") or blob[4 : 4 + len(name)] != name:
        raise ValueError(f"the key does not hold a key of type {parts[0]}")
    return blob


def fingerprint(blob: bytes) -> str:
    """`SHA256:…` of a public key, as ssh-keygen -l prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def keyring(agents: Iterable[Agent]) -> dict[bytes, Agent]:
    """Public key -> agent; ValueError names a malformed key, or one that two agents share."""
    ring: dict[bytes, Agent] = {}
    for agent in agents:
        for line in agent.keys:
            try:
                blob = key_blob(line)
            except ValueError as error:
                raise ValueError(f"agent {agent.name!r}: {error}") from None
            holder = ring.setdefault(blob, agent)
            if holder is not agent:
                raise ValueError(f"agents {holder.name!r} and {agent.name!r} have the same key: give each its own")
    return ring


def destination(user: str, fixed: str | None, targets: Sequence[Target]) -> tuple[Target, str]:
    """Target and login that the user name `user` means: `TARGET`, `LOGIN@TARGET`, or on a fixed port `LOGIN`.

    Split at the last `@`. On a port of the target's own the whole name is the login, unless it names that target.
    """
    by_name = {target.name: target for target in targets}
    login, separator, name = user.rpartition("@")
    if fixed is not None:
        if separator and name in by_name and name != fixed:
            raise Unknown(f"this port leads to {fixed}, not to {name}")
        target = by_name[fixed]
        if name == fixed:
            return target, login or target.logins[0]
        return target, user
    if name not in by_name:
        forms = "ssh TARGET@GATEWAY or LOGIN@TARGET@GATEWAY"
        raise Unknown(f"there is no target {quoted(name, 64)} here: name one as in {forms}")
    target = by_name[name]
    return target, login or target.logins[0]


def by_key(agent: Agent, credential: str, client: str, minted_run: str) -> Attribution:
    """The tuple of an agent known by its key alone; its run is the minted one until one is asserted."""
    sources = {
        "agent": Source.VERIFIED,
        "credential": Source.VERIFIED,
        "client": Source.OBSERVED,
        "run": Source.OBSERVED,
    }
    return Attribution(agent.name, minted_run, credential=credential, client=client, sources=sources)


def asserted(who: Attribution, facts: Mapping[str, str]) -> Attribution:
    """`who` with what the agent said of itself; what is already asserted or verified stays."""
    fresh = {
        name: facts[name]
        for name in ASSERTED_FIELDS
        if facts.get(name) and who.sources.get(name) not in (Source.ASSERTED, Source.VERIFIED)
    }
    if not fresh:
        return who
    sources = who.sources | dict.fromkeys(fresh, Source.ASSERTED)
    return replace(
        who,
        run=fresh.get("run", who.run),
        request=fresh.get("request", who.request),
        on_behalf_of=fresh.get("on_behalf_of", who.on_behalf_of),
        sources=sources,
    )
