"""Agents, authorities and what they reach: keys that are none or are shared, patterns that match nothing. Pure."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from recorder import identity, policy
from recorder.config import Config
from recorder.gateway.doctor.finding import Finding, counted, ok, warn, wrong
from recorder.gateway.doctor.setup import Setup
from recorder.model import Agent
from recorder.safe import quoted

_AGENTS, _AUTHORITIES, _TARGETS = "agents", "authorities", "targets"


def check(setup: Setup) -> Iterator[Finding]:
    """Who may come, and where they get to."""
    config = setup.config
    if not config.agents and not config.targets:
        start = f"uncomment [[target]] and [[agent]] in {config.path}, fill them in, and run `tacho doctor` again"
        yield ok(_AGENTS, f"there are none yet, and no targets; next: {start}")
        return
    if not config.agents:
        yield warn(_AGENTS, f"there are none, so nobody gets in: add an [[agent]] to {config.path}")
    found = [*_keys(config), *(finding for agent in config.agents for finding in _reach(agent, config))]
    yield from found
    if config.agents and not found:
        yield ok(_AGENTS, f"{counted(len(config.agents), 'agent')}, each with keys of its own and a target")
    yield from _authorities(config)
    yield from _unreached(config)


def _keys(config: Config) -> Iterator[Finding]:
    holders: dict[bytes, Agent] = {}
    for agent in config.agents:
        for line in agent.keys:
            try:
                blob = identity.key_blob(line)
            except ValueError as error:
                mend = "write the whole line of its .pub file, TYPE BASE64"
                yield wrong(_AGENTS, f"a key of agent {agent.name} in {config.path} is none ({error}): {mend}")
                continue
            holder = holders.setdefault(blob, agent)
            if holder is not agent:
                both = f"agents {holder.name} and {agent.name} have the same key, {identity.fingerprint(blob)}"
                mend = f"make another with `ssh-keygen -t ed25519 -f {agent.name}`, and give {agent.name} that .pub"
                yield wrong(_AGENTS, f"{both}: {mend}")
        if not agent.keys and not any(_names(entry.agents, agent) for entry in config.authorities):
            mend = f"add its public key to keys in {config.path}"
            yield warn(_AGENTS, f"agent {agent.name} has no keys, and no [[authority]] may name it: {mend}")


def _reach(agent: Agent, config: Config) -> Iterator[Finding]:
    if not agent.targets:
        yield warn(_AGENTS, f"agent {agent.name} reaches nothing: add targets to it in {config.path}")
    for glob in agent.targets:
        if not any(fnmatchcase(target.name, glob) for target in config.targets):
            known = ", ".join(target.name for target in config.targets[:8]) or "none"
            what = f"{quoted(glob, 64)} among the targets of agent {agent.name} matches none"
            yield warn(_AGENTS, f"{what}: correct it in {config.path}; there are: {known}")


def _authorities(config: Config) -> Iterator[Finding]:
    seen: dict[bytes, int] = {}
    good = True
    for number, entry in enumerate(config.authorities, 1):
        what = f"[[authority]] number {number} in {config.path}"
        try:
            blob = identity.key_blob(entry.key)
        except ValueError as error:
            good = False
            mend = "write the whole line of the CA's .pub file, TYPE BASE64"
            yield wrong(_AUTHORITIES, f"the key of {what} is none ({error}): {mend}")
            continue
        if blob in seen:
            good = False
            yield wrong(
                _AUTHORITIES, f"{what} has the same key as number {seen[blob]}: put the agents of both into one"
            )
        seen.setdefault(blob, number)
        if not any(_names(entry.agents, agent) for agent in config.agents):
            good = False
            globs = quoted(" ".join(entry.agents), 64)
            yield warn(_AUTHORITIES, f"{what} may name no agent that there is: correct its agents, {globs}")
    if config.authorities and good:
        yield ok(
            _AUTHORITIES, f"{counted(len(config.authorities), 'key')}, each of a CA of its own that may name agents"
        )


def _unreached(config: Config) -> Iterator[Finding]:
    if not config.targets:
        yield warn(_TARGETS, f"there are none, so agents get nowhere: add a [[target]] to {config.path}")
    for target in config.targets:
        if not any(policy.reaches(agent, target) for agent in config.agents):
            mend = f"add it to the targets of an [[agent]] in {config.path}"
            yield warn(_TARGETS, f"no agent reaches target {target.name}: {mend}")


def _names(globs: tuple[str, ...], agent: Agent) -> bool:
    return any(fnmatchcase(agent.name, glob) for glob in globs)
