"""What the gateway offers to its protocols' servers: agents by key, admission, the end of a session."""

import asyncio
import hashlib
import logging
import platform
import time

from recorder import __version__, identity, policy
from recorder.config import Config
from recorder.format import store
from recorder.format.spool import Spool, TapeError
from recorder.gateway.clerk import Clerk
from recorder.gateway.secrets import SecretError, Secrets
from recorder.model import Agent, Session
from recorder.protocol import Admitted, Gate, Knock, Refused
from recorder.safe import quoted
from recorder.session import Door

log = logging.getLogger("tacho.gateway")


class GatewayFront:
    """Opens and closes sessions (`recorder.protocol.Front`)."""

    def __init__(self, config: Config, spool: Spool, clerk: Clerk, secrets: Secrets) -> None:
        """ValueError when agents' keys are malformed or shared."""
        self._config = config
        self._spool = spool
        self._clerk = clerk
        self._secrets = secrets
        self._keyring = identity.keyring(config.agents)
        self._rules = hashlib.sha256(policy.rules_text(config.agents).encode()).digest()
        self._doors: dict[str, Door] = {}
        self._draining = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    def agent_of_key(self, blob: bytes) -> Agent | None:
        """The agent that has this public key."""
        return self._keyring.get(blob)

    async def admit(self, knock: Knock) -> Admitted:
        """Opens a session; Refused with one sentence when the agent may not have what it asks for."""
        if self._draining:
            raise Refused("the gateway is stopping; connect again in a moment")
        try:
            target, login = identity.destination(knock.user, knock.listener_target, self._config.targets)
        except identity.Unknown as error:
            raise Refused(str(error)) from None
        if not policy.reaches(knock.agent, target):
            raise Refused(f"agent {knock.agent.name} may not reach {target.name}: add it to the agent's targets")
        if login not in target.logins:
            raise Refused(f"login {quoted(login, 64)} is not among the logins of {target.name}")
        try:
            secret = await self._secrets.resolve(target.key, f"target {target.name}")
        except SecretError as error:
            log.warning("%s", error)
            raise Refused(f"the gateway has no usable credential for {target.name}; its log says why") from None
        now = time.time_ns()
        who = identity.by_key(knock.agent, knock.credential, knock.client, store.new_session_id(now))
        session = Session(store.new_session_id(now), target.protocol, who, target.name, login, now)
        try:
            tape = self._spool.open(session.id, now)
        except TapeError as error:
            raise Refused(f"the gateway cannot record: {error}") from None
        door = Door(tape, self._clerk, session)
        door.open(
            {
                "agent": who.agent,
                "run": who.run,
                "credential": who.credential,
                "client": who.client,
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
        self._emptied.clear()
        log.info("session %s: %s from %s to %s@%s", session.id, who.agent, who.client, quoted(login, 64), target.name)
        return Admitted(door, target, login, secret)

    async def ended(self, gate: Gate, reason: str) -> None:
        """Closes the session's tape and row."""
        door = self._doors.pop(gate.id, None)
        if door is not None:
            session = await door.close(reason)
            log.info("session %s ended: %s", session.id, session.reason)
        if not self._doors:
            self._emptied.set()

    async def drain(self, grace: float) -> bool:
        """Refuses new sessions and waits `grace` seconds for the present ones; whether all have ended."""
        self._draining = True
        try:
            async with asyncio.timeout(grace):
                await self._emptied.wait()
        except TimeoutError:
            return False
        return True
