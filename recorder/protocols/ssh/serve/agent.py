"""An agent's connection once it has authenticated: the session, and the pairing of its channels with the target's."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

import asyncssh
from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_CHANNEL_OPEN,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
    OPEN_CONNECT_FAILED,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.misc import ChannelOpenError
from asyncssh.packet import SSHPacket

from recorder.identity import fingerprint
from recorder.model import Limits, Listener, Operation
from recorder.protocol import Broken, Front, Gate, Knock, Refused
from recorder.protocols.ssh.serve import forward
from recorder.protocols.ssh.serve.certificate import Proof
from recorder.protocols.ssh.serve.crowd import Crowd
from recorder.protocols.ssh.serve.entrance import Entrance
from recorder.protocols.ssh.serve.forward import Forward
from recorder.protocols.ssh.serve.items import Opening
from recorder.protocols.ssh.serve.pair import ChannelPair, Spawn
from recorder.protocols.ssh.serve.target import TargetConnection, TargetUnavailable, closed, connect
from recorder.safe import quoted

_CHANNELS = 256  # on one connection
_FORWARDS = frozenset({b"direct-tcpip", b"direct-streamlocal@openssh.com", b"tun@openssh.com"})
_NAME_LIMIT = 64  # bytes of a channel type that are shown
_FLUSH_LIMIT_S = 2.0

log = logging.getLogger("tacho.ssh")


class AgentConnection(Entrance):
    """An agent's connection: one session. Its channels are streams, numbered from 1 in the order of their opening."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        listener: Listener,
        front: Front,
        spawn: Spawn,
        limits: Limits,
        crowd: Crowd,
    ) -> None:
        super().__init__(loop, options, front, limits, crowd)
        self._listener = listener
        self._spawn = spawn
        self._early: list[tuple[Opening, Forward | None]] = []  # asked for before the target was connected
        self._unrecorded: list[Operation] = []  # refused before there was a session
        self._pairs: dict[int, ChannelPair] = {}
        self._streams = 0
        self._turn = 0
        self._gate: Gate | None = None
        self._target: TargetConnection | None = None
        self._decide: Spawn = spawn
        self._over: asyncio.Future[str] = loop.create_future()
        self._at_once = False

    # Its beginning and end

    def authenticated(self, proof: Proof) -> None:
        """The agent has proved its key: the session begins (Entrance)."""
        self._spawn(self._session(proof))

    def ended(self) -> None:
        """The connection is gone (Entrance)."""
        self.end("the agent disconnected")

    def end(self, reason: str) -> None:
        """Ends the session; the first reason counts."""
        if not self._over.done():
            self._over.set_result(reason)

    def _cut(self, broken: Broken) -> None:
        """The session is to end at once, killed for example: what has arrived by now is not passed on."""
        self._at_once = True
        self.end(str(broken))

    def vanished(self, what: str) -> None:
        """The agent is gone without a word (Transport)."""
        self.end(f"the agent {what}")

    # The session

    async def _session(self, proof: Proof) -> None:
        knock = Knock(
            agent=proof.agent,
            credential=fingerprint(proof.key),
            client=self.client,
            user=self._username,
            listener_target=self._listener.target,
            client_version=str(self.get_extra_info("client_version", "")),
            certificate=proof.certificate,
        )
        try:
            admitted = await self._front.admit(knock)
        except Refused as refusal:
            log.warning("agent %s from %s refused: %s", quoted(proof.agent.name), self.client, refusal)
            self.bow_out(str(refusal))
            return
        gate = self._gate = admitted.gate
        gate.on_clear(self._pump)
        gate.on_broken(self._cut)
        for operation in self._unrecorded:
            self._record(operation)
        reason = "the gateway stopped"
        try:
            refused = partial(gate.note, "refused", why="the target may open nothing")
            self._target = await self._unless_over(
                connect(
                    admitted.target,
                    admitted.login,
                    admitted.secret,
                    on_lost=self.end,
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
                for opening, asked in self._early:
                    self._open(gate, target, opening, asked)
                self._early.clear()
                reason = await self._over
                if not self._at_once:
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

    def held_back(self) -> bool:
        """Whether refusals cannot be recorded now (Transport)."""
        return self._gate is not None and not self._gate.clear

    # What the agent asks of the connection

    def _process_channel_open(self, _kind: int, _id: int, packet: SSHPacket) -> None:
        kind = packet.get_string()
        remote, window, size = packet.get_uint32(), packet.get_uint32(), packet.get_uint32()
        if kind == b"session" and size > 0:
            self._open_when_ready(Opening("session", remote, window, size))
        elif kind == forward.KIND and size > 0:
            asked = forward.read(packet)
            self._open_when_ready(Opening(kind.decode(), remote, window, size, asked.arguments), asked)
        else:
            self._refuse_channel(remote, kind[:_NAME_LIMIT])

    def _open_when_ready(self, opening: Opening, asked: Forward | None = None) -> None:
        if self._gate is not None and self._target is not None and not self._early:
            self._open(self._gate, self._target, opening, asked)
        elif len(self._early) < _CHANNELS:
            self._early.append((opening, asked))
        else:
            self._no_room(opening)

    def _open(self, gate: Gate, target: TargetConnection, opening: Opening, asked: Forward | None) -> None:
        for stream in [stream for stream, pair in self._pairs.items() if pair.finished]:
            del self._pairs[stream]
        if max(len(self._pairs), target.channels) >= _CHANNELS:
            self._no_room(opening)
            return
        self._streams += 1
        try:
            pair = ChannelPair(gate, self._streams, self, self._decide, self.grants)
            self._pairs[self._streams] = pair
            if asked is None:
                pair.open(opening, target)
            else:
                pair.forward(opening, asked, target)
        except ChannelOpenError as error:
            self.send_channel_open_failure(opening.remote, OPEN_CONNECT_FAILED, error.reason, "en")

    def _no_room(self, opening: Opening) -> None:
        reason = f"this connection has {_CHANNELS} channels, the most that it may have"
        self.send_channel_open_failure(opening.remote, OPEN_RESOURCE_SHORTAGE, reason, "en")

    def _refuse_channel(self, remote: int, kind: bytes) -> None:
        name = kind.decode("utf-8", "backslashreplace")
        self._record(Operation("forward" if kind in _FORWARDS else "channel", name.encode()))
        reason = f"{name} is not recorded and therefore refused"
        self.send_channel_open_failure(remote, OPEN_ADMINISTRATIVELY_PROHIBITED, reason, "en")

    def _refuse_request(self, name: str) -> None:
        self._record(Operation("forward", name.encode()))
        self._report_global_response(False)

    def _record(self, refused: Operation) -> None:
        if self._gate is not None:
            self._decide(self._ask(self._gate, refused))
        elif len(self._unrecorded) < _CHANNELS:
            self._unrecorded.append(refused)
        else:
            self.bow_out("too many requests before there was a session")

    async def _ask(self, gate: Gate, refused: Operation) -> None:
        await gate.ask(refused, settle=False)

    def _process_tcpip_forward_global_request(self, _packet: SSHPacket) -> None:
        self._refuse_request("tcpip-forward")

    def _process_streamlocal_forward_at_openssh_dot_com_global_request(self, _packet: SSHPacket) -> None:
        self._refuse_request("streamlocal-forward")

    _packet_handlers = {**SSHConnection._packet_handlers, MSG_CHANNEL_OPEN: _process_channel_open}  # noqa: RUF012 - asyncssh declares it so


def _fingerprint(connection: TargetConnection) -> str:
    key = connection.get_server_host_key()
    return key.get_fingerprint() if key is not None else ""
