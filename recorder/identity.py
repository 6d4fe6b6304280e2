"""Who an agent is, and what it names: keys, certificates, user names, the attribution tuple. Pure: no I/O, no clock."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from recorder.model import Agent, Attribution, Authority, Source, Target
from recorder.protocol import Certificate, Knock
from recorder.safe import quoted

ASSERTED_FIELDS = ("run", "request", "on_behalf_of")
_SHOWN = 3  # names of a list in a sentence


class Unknown(ValueError):
    """A user name that leads nowhere, or a certificate that names no agent; the text is one sentence."""


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
    position = 0
    while position < len(blob):
        position += 4 + int.from_bytes(blob[position : position + 4], "big")
    if position != len(blob) or position == 4 + len(name):
        raise ValueError("the key is cut off or has too much at its end: copy its whole line from the .pub file")
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


def authorities(entries: Iterable[Authority]) -> dict[bytes, Authority]:
    """A CA's public key -> its entry; ValueError names a malformed key, or one that two entries share."""
    ring: dict[bytes, Authority] = {}
    for position, entry in enumerate(entries, 1):
        try:
            blob = key_blob(entry.key)
        except ValueError as error:
            raise ValueError(f"[[authority]] number {position}: {error}") from None
        if blob in ring:
            earlier = list(ring).index(blob) + 1
            mend = "put the agents of both into one"
            raise ValueError(f"[[authority]] number {position} has the same key as number {earlier}: {mend}")
        ring[blob] = entry
    return ring


def certified(principals: Sequence[str], authority: Authority, agents: Iterable[Agent]) -> Agent:
    """The one agent that a certificate's principals name, among those that its authority may name; else Unknown."""
    if not principals:
        raise Unknown("it has no principals and would so be anybody's: sign it with ssh-keygen -n AGENT")
    named = [agent for agent in agents if agent.name in principals]
    if not named:
        raise Unknown(f"no agent has the name of one of its principals: {_listed(principals)}")
    granted = [agent for agent in named if any(fnmatchcase(agent.name, glob) for glob in authority.agents)]
    if not granted:
        names = _listed([agent.name for agent in named])
        raise Unknown(f"its authority may not name {names}: add a pattern to the agents of the [[authority]]")
    if len(granted) > 1:
        names = _listed([agent.name for agent in granted])
        raise Unknown(f"its principals name several agents, {names}: sign it for one of them")
    return granted[0]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name, 64) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


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


def attribution(knock: Knock, minted_run: str) -> Attribution:
    """The tuple of an agent that knocks. A certificate also says, verified, for whom: by its key id."""
    who = by_key(knock.agent, knock.credential, knock.client, minted_run)
    if knock.certificate is None or not knock.certificate.key_id:
        return who
    sources = who.sources | {"on_behalf_of": Source.VERIFIED}
    return replace(who, on_behalf_of=knock.certificate.key_id, sources=sources, unattributed=False)


def certificate_facts(certificate: Certificate | None) -> dict[str, object]:
    """What the open frame says of a certificate, and of whom the session is for by it; nothing without one."""
    if certificate is None:
        return {}
    facts: dict[str, object] = {
        "key_id": certificate.key_id,
        "serial": certificate.serial,
        "authority": fingerprint(certificate.authority),
        "principals": list(certificate.principals),
        "valid_from": certificate.valid_from,
        "valid_until": certificate.valid_until,
    }
    if not certificate.key_id:
        return {"certificate": facts}
    return {"certificate": facts, "on_behalf_of": certificate.key_id, "unattributed": False}


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
