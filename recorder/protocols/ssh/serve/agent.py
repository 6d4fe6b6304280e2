"""An agent's connection: authentication, the session, and the pairing of its channels with the target's."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

import asyncssh
from asyncssh.connection import SSHConnection, SSHServerConnection
from asyncssh.constants import (
    MSG_CHANNEL_OPEN,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    OPEN_CONNECT_FAILED,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.misc import ChannelOpenError
from asyncssh.packet import SSHPacket

from recorder.identity import fingerprint
from recorder.model import Listener, Operation
from recorder.protocol import Broken, Front, Gate, Knock, Refused
from recorder.protocols.ssh.serve.pair import ChannelPair, Spawn
from recorder.protocols.ssh.serve.target import TargetConnection, TargetUnavailable, closed, connect
from recorder.protocols.ssh.serve.transport import Transport
from recorder.safe import quoted

_CHANNELS = 256  # on one connection
_EARLY = 64  # requests that may come before the target is connected
_FLUSH_LIMIT_S = 2.0

log = logging.getLogger("tacho.ssh")


class AgentConnection(Transport, SSHServerConnection):
    """An agent's connection: one session. Its channels are streams, numbered from 1 in the order of their opening."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        listener: Listener,
        front: Front,
        spawn: Spawn,
    ) -> None:
        super().__init__(loop, options)
        self.proved: bytes | None = None  # the public key whose signature was checked
        self._listener = listener
        self._front = front
        self._spawn = spawn
        self._early: list[Callable[[], None]] = []
        self._pairs: dict[int, ChannelPair] = {}
        self._streams = 0
        self._turn = 0
        self._gate: Gate | None = None
        self._target: TargetConnection | None = None
        self._decide: Spawn = spawn
        self._over: asyncio.Future[str] = loop.create_future()

    # Who

    @property
    def client(self) -> str:
        """The agent's address."""
        host = f"[{self._peer_addr}]" if ":" in self._peer_addr else self._peer_addr
        return f"{host}:{self._peer_port}"

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Called by asyncssh for a key that is offered, and again (with `msg`) for its signature."""
        valid = await super().validate_public_key(username, key_data, msg, signature)
        if valid and msg:
            self.proved = key_data
        return valid

    def knows(self, blob: bytes) -> bool:
        """Whether the key belongs to an agent."""
        return self._front.agent_of_key(blob) is not None

    def authenticated(self) -> None:
        """Called once the agent has proved its key."""
        self._spawn(self._session())

    def lost(self, exc: Exception | None) -> None:
        """Called once the connection is gone."""
        if not self._auth_complete:
            why = quoted(str(exc)) if exc is not None else "closed"
            log.info("agent %s did not authenticate: %s", self.client, why)
        self.end("the agent disconnected")

    def end(self, reason: str) -> None:
        """Ends the session; the first reason counts."""
        if not self._over.done():
            self._over.set_result(reason)

    # The session

    async def _session(self) -> None:
        agent = self._front.agent_of_key(self.proved or b"")
        if agent is None:
            self.bow_out("authentication did not name an agent")
            return
        knock = Knock(
            agent=agent,
            credential=fingerprint(self.proved or b""),
            client=self.client,
            user=self._username,
            listener_target=self._listener.target,
            client_version=str(self.get_extra_info("client_version", "")),
        )
        try:
            admitted = await self._front.admit(knock)
        except Refused as refusal:
            log.warning("agent %s from %s refused: %s", quoted(agent.name), self.client, refusal)
            self.bow_out(str(refusal))
            return
        gate = self._gate = admitted.gate
        gate.on_clear(self._pump)
        gate.on_broken(lambda broken: self.end(str(broken)))
        reason = "the gateway stopped"
        try:
            refused = partial(gate.note, "refused", why="the target may open nothing")
            self._target = await self._unless_over(
                connect(
                    admitted.target,
                    admitted.login,
                    admitted.secret,
                    on_lost=lambda: self.end("the target closed the connection"),
                    on_refused=lambda kind: refused(request=kind, side="out"),
                    feeders=lambda: [partial(pair.agent.pump, 1) for pair in self._pairs.values()],
                )
            )
            reason = await self._serve(gate, self._target)
        except TargetUnavailable as error:
            reason = str(error)
            log.warning("session %s: %s", gate.id, reason)
        finally:
            if self._target is not None:
                self._target.bow_out("the session ended")
            self.bow_out(f"{reason} (session {gate.id})")
            await self._front.ended(gate, reason)
            await closed(self._target)

    async def _unless_over(self, connecting: Coroutine[object, object, TargetConnection]) -> TargetConnection:
        """The connection that `connecting` makes; TargetUnavailable when the session is over before."""
        attempt = asyncio.ensure_future(connecting)
        await asyncio.wait((attempt, self._over), return_when=asyncio.FIRST_COMPLETED)
        if not attempt.done():
            attempt.cancel()
            await asyncio.wait((attempt,))
            if not attempt.cancelled() and attempt.exception() is None:
                attempt.result().bow_out("the session ended")
            raise TargetUnavailable(self._over.result())
        return attempt.result()

    async def _serve(self, gate: Gate, target: TargetConnection) -> str:
        gate.note(
            "upstream",
            server_version=str(target.get_extra_info("server_version", "")),
            host_key=_fingerprint(target),
            encryption=str(target.get_extra_info("send_cipher", "")),
        )
        try:
            async with asyncio.TaskGroup() as decisions:
                self._decide = decisions.create_task
                for begin in self._early:
                    begin()
                self._early.clear()
                reason = await self._over
                await self._flush()
        except* Broken as broken:
            reason = str(broken.exceptions[0])
        finally:
            # What still asks after the end has nobody to decide it, and nothing it asks for can be had.
            self._decide = lambda work: work.close()
        return reason

    async def _flush(self) -> None:
        """Gives what has arrived a limited time to be passed on to the side that is still there."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + _FLUSH_LIMIT_S
        while loop.time() < limit and not all(pair.idle for pair in self._pairs.values()):
            self._pump()
            await asyncio.sleep(0.01)

    def _pump(self) -> None:
        """Goes on, one item each in turn; another begins each time, because one bulk item may use up what may pass."""
        streams = deque(self._pairs)
        streams.rotate(-self._turn)
        self._turn += 1
        waiting = [step for stream in streams for step in self._pairs[stream].steps()]
        while waiting:
            waiting = [step for step in waiting if step()]

    def feeders(self) -> Sequence[Callable[[], bool]]:
        """The target's legs (Transport)."""
        return [partial(pair.target.pump, 1) for pair in self._pairs.values() if pair.target is not None]

    # What the agent asks of the connection

    def _when_ready(self, begin: Callable[[], None]) -> None:
        if self._target is not None and self._gate is not None and not self._early:
            begin()
        elif len(self._early) < _EARLY:
            self._early.append(begin)
        else:
            self.bow_out("too many requests before the target was connected")

    def _process_channel_open(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        kind = packet.get_string()
        remote, window, size = packet.get_uint32(), packet.get_uint32(), packet.get_uint32()
        if kind == b"session" and size > 0:
            self._when_ready(lambda: self._open_pair(remote, window, size))
        else:
            self._when_ready(lambda: self._refuse_channel(remote, kind))

    def _open_pair(self, remote: int, window: int, size: int) -> None:
        for stream in [stream for stream, pair in self._pairs.items() if pair.finished]:
            del self._pairs[stream]
        if self._gate is None or self._target is None or len(self._pairs) >= _CHANNELS:
            self.send_channel_open_failure(remote, OPEN_RESOURCE_SHORTAGE, f"more than {_CHANNELS} channels", "en")
            return
        self._streams += 1
        try:
            pair = ChannelPair(self._gate, self._streams, self, self._decide)
            self._pairs[self._streams] = pair
            pair.open(remote, window, size, self._target)
        except ChannelOpenError as error:
            self.send_channel_open_failure(remote, OPEN_CONNECT_FAILED, error.reason, "en")

    def _refuse_channel(self, remote: int, kind: bytes) -> None:
        name = kind.decode("utf-8", "backslashreplace")[:64]
        self._decide(self._record_refusal(name))
        reason = f"{name} is not recorded and therefore refused"
        self.send_channel_open_failure(remote, OPEN_ADMINISTRATIVELY_PROHIBITED, reason, "en")

    def _refuse_request(self, name: str) -> None:
        self._decide(self._record_refusal(name))
        self._report_global_response(False)

    async def _record_refusal(self, name: str) -> None:
        if self._gate is not None:
            await self._gate.ask(Operation("forward", name.encode()), settle=False)

    def _process_tcpip_forward_global_request(self, _packet: SSHPacket) -> None:
        self._when_ready(lambda: self._refuse_request("tcpip-forward"))

    def _process_streamlocal_forward_at_openssh_dot_com_global_request(self, _packet: SSHPacket) -> None:
        self._when_ready(lambda: self._refuse_request("streamlocal-forward"))

    _packet_handlers = {**SSHConnection._packet_handlers, MSG_CHANNEL_OPEN: _process_channel_open}  # noqa: RUF012 - asyncssh declares it so


class Owner(asyncssh.SSHServer):
    """asyncssh's callbacks for one connection."""

    _connection: AgentConnection

    def connection_made(self, conn: SSHServerConnection) -> None:
        if isinstance(conn, AgentConnection):
            self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost(exc)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._connection.knows(key.public_data)

    def auth_completed(self) -> None:
        self._connection.authenticated()


def _fingerprint(connection: TargetConnection) -> str:
    key = connection.get_server_host_key()
    return key.get_fingerprint() if key is not None else ""
