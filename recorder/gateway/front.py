"""What the gateway offers to its protocols' servers: agents by key, admission, the end of a session."""

import asyncio
import hashlib
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recorder import __version__, identity, policy
from recorder.config import Config
from recorder.format import store
from recorder.format.spool import Spool, TapeError
from recorder.gateway.clerk import Clerk
from recorder.gateway.secrets import SecretError, Secrets
from recorder.model import Agent, Session, Target
from recorder.protocol import Admitted, Certificate, Gate, Knock, Refused
from recorder.safe import quoted
from recorder.session import Door

_PAUSE_S = 0.02  # at least, between two looks at who is idle
_LOOK_S = 30.0  # at most, between two looks at who is idle: a reload may have shortened the limit

log = logging.getLogger("tacho.gateway")


class GatewayFront:
    """Opens and closes sessions (`recorder.protocol.Front`)."""

    def __init__(self, config: Config, spool: Spool, clerk: Clerk, secrets: Secrets) -> None:
        """ValueError when keys of agents or of authorities are malformed or shared."""
        self._spool = spool
        self._clerk = clerk
        self._secrets = secrets
        self._doors: dict[str, Door] = {}
        self._places: Counter[tuple[str, str]] = Counter()  # taken, by ("agent" or "target", name)
        self.obstacle: Callable[[], str | None] = lambda: None  # why no session may begin at present
        self._draining = False
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.prepare(config)()

    def prepare(self, config: Config) -> Callable[[], None]:
        """Checks `config` and gives what makes the front go by it; ValueError when keys are malformed or shared.

        Sessions of agents that may no longer do what they do are ended then; all others go on.
        """
        keyring = identity.keyring(config.agents)
        authorities = identity.authorities(config.authorities)
        rules = hashlib.sha256(policy.rules_text(config.agents, config.targets).encode()).digest()

        def take() -> None:
            self.config, self._keyring, self._authorities, self._rules = config, keyring, authorities, rules
            self._end_barred()

        return take

    def _end_barred(self) -> None:
        """Ends the sessions whose agent or target the configuration no longer has, or no longer together."""
        agents = {agent.name: agent for agent in self.config.agents}
        targets = {target.name: target for target in self.config.targets}
        for door in self._doors.values():
            session = door.session
            agent, target = agents.get(session.attribution.agent), targets.get(session.target)
            if agent is None:
                door.end(f"agent {session.attribution.agent} was taken out of the configuration")
            elif target is None:
                door.end(f"target {session.target} was taken out of the configuration")
            elif not policy.reaches(agent, target):
                door.end(f"agent {agent.name} may not reach {target.name} any more")

    def agent_of_key(self, blob: bytes) -> Agent | None:
        """The agent that has this public key."""
        return self._keyring.get(blob)

    def agent_of_certificate(self, certificate: Certificate) -> Agent:
        """The agent that a certificate names; Refused with one sentence when its authority may name none."""
        authority = self._authorities.get(certificate.authority)
        if authority is None:
            signer = identity.fingerprint(certificate.authority)
            raise Refused(f"its authority {signer} is none of the gateway's: enter the key as an [[authority]]")
        try:
            return identity.certified(certificate.principals, authority, self.config.agents)
        except identity.Unknown as error:
            raise Refused(str(error)) from None

    async def admit(self, knock: Knock) -> Admitted:
        """Opens a session; Refused with one sentence when the agent may not have what it asks for."""
        if self._draining:
            raise Refused("the gateway is stopping; connect again in a moment")
        obstacle = self.obstacle()
        if obstacle is not None:
            raise Refused(f"the gateway cannot record: {obstacle}")
        try:
            target, login = identity.destination(knock.user, knock.listener_target, self.config.targets)
        except identity.Unknown as error:
            raise Refused(str(error)) from None
        # A reload may have come between the proof and this.
        agent = next((agent for agent in self.config.agents if agent.name == knock.agent.name), None)
        if agent is None:
            raise Refused(f"agent {knock.agent.name} was taken out of the configuration")
        if not policy.reaches(agent, target):
            raise Refused(f"agent {knock.agent.name} may not reach {target.name}: add it to the agent's targets")
        if login not in target.logins:
            raise Refused(f"login {quoted(login, 64)} is not among the logins of {target.name}")
        with self._place(knock.agent.name, target.name):
            return await self._open(knock, target, login)

    @contextmanager
    def _place(self, agent: str, target: str) -> Iterator[None]:
        """Takes a place under the limits before anything is waited for; it is kept until the session has ended."""
        limits = self.config.limits
        mend = "end one of them, or raise the limit"
        if self._places["agent", agent] >= limits.sessions_per_agent:
            most = f"{limits.sessions_per_agent} sessions ([limits] sessions_per_agent)"
            raise Refused(f"agent {agent} has as many sessions as it may, {most}: {mend}")
        if self._places["target", target] >= limits.sessions_per_target:
            most = f"{limits.sessions_per_target} sessions ([limits] sessions_per_target)"
            raise Refused(f"target {target} has as many sessions as it may, {most}: {mend}")
        self._places.update((("agent", agent), ("target", target)))
        self._emptied.clear()
        try:
            yield
        except BaseException:
            self._leave(agent, target)
            raise

    def _leave(self, agent: str, target: str) -> None:
        self._places.subtract((("agent", agent), ("target", target)))
        self._places += Counter()  # forgets those without a session
        if not self._places:
            self._emptied.set()

    async def _open(self, knock: Knock, target: Target, login: str) -> Admitted:
        config = self.config
        try:
            secret = await self._secrets.resolve(target.key, f"target {target.name}")
        except SecretError as error:
            log.warning("%s", error)
            raise Refused(f"the gateway has no usable credential for {target.name}; its log says why") from None
        if self.config is not config:
            raise Refused("the gateway's configuration has just changed; connect again")
        now = time.time_ns()
        who = identity.attribution(knock, store.new_session_id(now))
        session = Session(store.new_session_id(now), target.protocol, who, target.name, login, now)
        try:
            tape = self._spool.open(session.id, now)
        except TapeError as error:
            raise Refused(f"the gateway cannot record: {error}") from None
        door = Door(tape, self._clerk, session, target.forward)
        door.open(
            {
                "agent": who.agent,
                "run": who.run,
                "credential": who.credential,
                "client": who.client,
                **identity.certificate_facts(knock.certificate),
                "sources": {name: source.value for name, source in who.sources.items()},
                "protocol": target.protocol,
                "target": target.name,
                "address": f"{target.host}:{target.port}",
                "login": login,
                "user": knock.user,
                "client_version": knock.client_version,
                "gateway_version": __version__,
                "gateway": platform.node(),
                "rules": self._rules,
            }
        )
        self._doors[session.id] = door
        log.info("session %s: %s from %s to %s@%s", session.id, who.agent, who.client, quoted(login, 64), target.name)
        return Admitted(door, target, login, secret)

    async def ended(self, gate: Gate, reason: str) -> None:
        """Closes the session's tape and row."""
        door = self._doors.pop(gate.id, None)
        if door is None:
            return
        try:
            session = await door.close(reason)
            log.info("session %s ended: %s", session.id, session.reason)
        finally:
            self._leave(door.session.attribution.agent, door.session.target)

    def live(self) -> list[Session]:
        """The sessions that run now, oldest first, with what has crossed so far."""
        return [door.session for door in self._doors.values()]

    def end(self, session: str, reason: str) -> bool:
        """Has the protocol end a session, its agent told `reason`; False when no such session runs here."""
        door = self._doors.get(session)
        if door is None:
            return False
        door.end(reason)
        return True

    def end_all(self, reason: str) -> None:
        """Has the protocols end every session, the agents told `reason`."""
        for door in self._doors.values():
            door.end(reason)

    async def watch(self) -> None:
        """Ends the sessions that have been idle for too long, until it is cancelled."""
        while True:
            limit = self.config.limits.idle
            now = time.monotonic()
            for door in self._doors.values():
                if now - door.idle_since >= limit:
                    door.end(f"idle for {_duration(limit)}: nothing crossed in either direction ([limits] idle)")
            since = min(
                (door.idle_since for door in self._doors.values() if now - door.idle_since < limit), default=now
            )
            await asyncio.sleep(min(max(since + limit - now, _PAUSE_S), _LOOK_S))

    async def drain(self, grace: float) -> bool:
        """Refuses new sessions and waits `grace` seconds for the present ones; whether all have ended."""
        self._draining = True
        try:
            async with asyncio.timeout(grace):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True


def _duration(seconds: float) -> str:
    """As the configuration writes it: 90s, 5m, 1h."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"
