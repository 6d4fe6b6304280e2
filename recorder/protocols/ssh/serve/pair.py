"""A channel through the gateway: the agent's leg and the target's, and what may pass between them.

Requests are forwarded as they came, one by one, and answered with the target's own answer. Whatever the gateway does
not know how to record is refused, and the refusal recorded.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial

from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_CONNECT_FAILED
from asyncssh.misc import ChannelOpenError
from asyncssh.packet import PacketDecodeError, SSHPacket

from recorder.model import Effect, Operation
from recorder.protocol import Direction, Gate
from recorder.protocols.ssh.serve.certificate import Grants, in_place_of, original_command
from recorder.protocols.ssh.serve.channel import Leg
from recorder.protocols.ssh.serve.forward import Forward, sealed
from recorder.protocols.ssh.serve.items import Data, Eof, Item, Opening, Reply, Request
from recorder.protocols.ssh.serve.transport import Transport
from recorder.protocols.ssh.sftp import Framing, is_sftp
from recorder.safe import printable

# Requests that change nothing a reviewer would ask for, passed on and noted by name.
_KEEPALIVE = "keepalive@openssh.com"
_PASSED = frozenset({"eow@openssh.com", "simple@openssh.com", "xon-xoff", _KEEPALIVE})
_ASKED = frozenset({"shell", "exec", "subsystem"})
_FORWARDS = {"x11-req": "x11-forwarding", "auth-agent-req@openssh.com": "agent-forwarding"}
_ASSERTED = {b"TACHO_RUN": "run", b"TACHO_REQUEST": "request", b"TACHO_FOR": "on_behalf_of"}
_CLOSE_LIMIT_S = 10.0
_OPEN_LIMIT_S = 30.0
_FORWARD_LIMIT_S = 150.0  # the target connects first, and a kernel tries for 127 s

Spawn = Callable[[Coroutine[object, object, None]], object]


class ChannelPair:
    """One channel, of a session or to a forwarded address; `stream` is its number on the tape."""

    def __init__(self, gate: Gate, stream: int, agent: Transport, spawn: Spawn, grants: Grants) -> None:
        self.gate = gate
        self.stream = stream
        self.agent = Leg(agent, self)
        self.target: Leg | None = None
        self.over = False
        self._opening: Opening | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._unanswered: list[str] = []
        self._is_sftp = False  # what was last asked for
        self._framing: tuple[Framing, Framing] | None = None  # the agent's and the target's packets, on sftp alone
        self._unrecognised = False  # whether the first bytes of a forwarded connection are still to come
        self._spawn = spawn
        self._grants = grants
        self._deadlines: dict[Leg, asyncio.TimerHandle] = {}
        self._unwanted = 0  # bytes that came for a side which had closed

    # Opening

    def open(self, opening: Opening, target: Transport) -> None:
        """Opens the target's leg; the agent's is confirmed, or failed, when the target has answered."""
        self._opening = opening
        self.gate.note("channel", self.stream, type=opening.kind)
        self._ask_target(opening, target, _OPEN_LIMIT_S)

    def forward(self, opening: Opening, forward: Forward, target: Transport) -> None:
        """Opens the target's leg to `forward`, when that is allowed."""
        self._opening = opening
        self.gate.note("channel", self.stream, type=opening.kind, **forward.facts())
        if self._grants.forward:
            self._spawn(self._decide_forward(opening, forward, target))
            return
        why = "the certificate has no permit-port-forwarding"
        self.gate.note("refused", self.stream, request=opening.kind, why=why)
        self._fail(OPEN_ADMINISTRATIVELY_PROHIBITED, f"{printable(forward.address, limit=128)} is refused: {why}", "en")

    async def _decide_forward(self, opening: Opening, forward: Forward, target: Transport) -> None:
        verdict = await self.gate.ask(Operation("forward", forward.address, self.stream), settle=True)
        if verdict.effect is not Effect.ALLOW:
            self._fail(OPEN_ADMINISTRATIVELY_PROHIBITED, verdict.reason, "en")
            return
        self.gate.note("forward", self.stream, host=_text(forward.host), port=forward.port, content="not parsed")
        self._unrecognised = True
        try:
            self._ask_target(opening, target, _FORWARD_LIMIT_S)
        except ChannelOpenError as error:
            self._not_opened(OPEN_CONNECT_FAILED, error.reason, "en")

    def _ask_target(self, opening: Opening, target: Transport, limit: float) -> None:
        self.target = Leg(target, self)
        self.target.request_open(opening.kind, opening.arguments)
        self._patience = asyncio.get_running_loop().call_later(limit, self._unopened, limit)

    def _unopened(self, limit: float) -> None:
        self._not_opened(OPEN_CONNECT_FAILED, f"the target did not open the channel within {limit:g} s", "en")

    def opened(self, leg: Leg, failure: tuple[int, str, str] | None) -> None:
        """The target confirmed or failed the opening (Pair)."""
        if self._patience is not None:
            self._patience.cancel()
        if self._opening is None or self.over:
            leg.send_close()  # it comes too late
        elif failure is None:
            self.agent.accept(self._opening.remote, self._opening.window, self._opening.packet_size)
        else:
            self._not_opened(*failure)

    def _not_opened(self, code: int, reason: str, lang: str) -> None:
        self.gate.note("channel-failed", self.stream, code=code, reason=reason)
        self._fail(code, reason, lang)

    def _fail(self, code: int, reason: str, lang: str) -> None:
        """Tells the agent that its channel was not opened."""
        if self._opening is None:
            return
        self.agent.connection.send_channel_open_failure(self._opening.remote, code, reason, lang)
        self.agent.forget()
        self.agent.close_received = self.agent.close_sent = True
        self.over = True

    # Flow

    def _other(self, leg: Leg) -> Leg | None:
        return self.target if leg is self.agent else self.agent

    def must_wait(self, leg: Leg) -> bool:
        """Whether the way from `leg` on is blocked (Pair)."""
        other = self.target if leg is self.agent else self.agent
        if other is None or other.remote is None:
            return not self.over
        return bool(other.outbound) or other.connection.congested or not self.gate.clear

    def drained(self, leg: Leg) -> None:
        """The window of `leg`'s peer opened (Pair)."""
        other = self._other(leg)
        if other is not None:
            other.pump()

    def steps(self) -> list[Callable[[], bool]]:
        """One for each direction: passes one item on, and says whether more could follow."""
        legs = [self.agent] if self.target is None else [self.agent, self.target]
        return [partial(leg.pump, 1) for leg in legs]

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be delivered in either direction."""
        return self.agent.idle and (self.target is None or self.target.idle)

    @property
    def finished(self) -> bool:
        """Whether the channel is over and nothing of it is left to do."""
        return self.over and self.idle

    def lost(self, leg: Leg) -> None:
        """The connection under `leg` is gone: its answers will not come (Pair)."""
        if self._patience is not None:
            self._patience.cancel()
        if leg is self.target:
            self.agent.waiting = False
        elif self.target is not None:
            self.target.waiting = False

    def data(self, leg: Leg, data: bytes) -> None:
        """Passes bytes on, recorded (Pair)."""
        other = self._other(leg)
        if other is None or other.close_received:
            self._unwanted += len(data)
            return
        if self._unrecognised:
            self._recognise(data)
        if leg is self.agent:
            left = 0 if self._framing is None else self._framing[0].cross(data)
            settling = self.gate.cross(Direction.IN, self.stream, data, other.send_data, left)
            if settling is not None:
                self.agent.waiting = True
                settling.add_done_callback(self._settled)
        else:
            left = 0 if self._framing is None else self._framing[1].cross(data)
            self.gate.cross(Direction.OUT, self.stream, data, other.send_data, left)

    def _recognise(self, data: bytes) -> None:
        """Notes what is carried but cannot be read: an encrypted connection inside a forwarded one."""
        self._unrecognised = False
        what = sealed(data)
        if what is not None:
            self.gate.note("not-captured", self.stream, what=what, why="it is encrypted from end to end")

    def _settled(self, settling: "asyncio.Future[None]") -> None:
        """What the agent sent is on disk and released: the next may come (durable mode)."""
        if not settling.cancelled() and settling.exception() is None:  # else the session ends, and was told why
            self.agent.waiting = False
            self.agent.pump()

    def deliver(self, leg: Leg, item: Item) -> None:
        """Passes one item on, recorded (Pair)."""
        other = self._other(leg)
        if other is None:
            return
        if isinstance(item, Data):
            if item.stderr and leg is self.target and not other.close_received:
                self.gate.cross(Direction.ERR, self.stream, item.data, other.send_stderr)
            else:
                self.data(leg, item.data)
        elif isinstance(item, Request):
            if leg is self.agent:
                self._agent_request(item)
            else:
                self._target_request(item)
        elif isinstance(item, Reply):
            self._reply(leg, other, item)
        elif isinstance(item, Eof):
            self.gate.note("eof", self.stream, side="in" if leg is self.agent else "out")
            other.send_eof()
        else:
            self._close(leg, other)

    def _reply(self, leg: Leg, other: Leg, item: Reply) -> None:
        if leg is self.target and self._unanswered:
            asked = self._unanswered.pop(0)
            self.gate.note("answer", self.stream, request=asked, ok=item.ok)
            if asked in _ASKED and item.ok:
                self._begin()
        other.send_reply(item.ok)
        other.waiting = False
        asyncio.get_running_loop().call_soon(other.pump)

    def _close(self, leg: Leg, other: Leg) -> None:
        """Passes a close on. Who closed first hears the other's own close, behind its last words: an exit status."""
        if leg in self._deadlines:
            self._deadlines.pop(leg).cancel()
        if not leg.close_sent:
            self.gate.note("close", self.stream, side="in" if leg is self.agent else "out")
            other.send_close()
            other.pump()
            return
        self.over = True
        if self._unwanted:
            self.gate.note("discarded", self.stream, bytes=self._unwanted, why="the channel was closed by then")
        other.send_close()
        leg.send_close()

    def closing(self, leg: Leg) -> None:
        """A Close arrived on `leg` behind items that wait: they get a limited time (Pair)."""
        if leg not in self._deadlines:
            self._deadlines[leg] = asyncio.get_running_loop().call_later(_CLOSE_LIMIT_S, self._give_up, leg)

    def _give_up(self, leg: Leg) -> None:
        self.gate.note(
            "discarded", self.stream, bytes=leg.discard(), why="the channel closed before they could be sent"
        )
        other = self._other(leg)
        if other is not None:
            self._close(leg, other)

    # Requests

    def _agent_request(self, request: Request) -> None:
        name = request.name
        try:
            if self._opening is not None and self._opening.kind != "session":
                self._hold(self._refuse(request, "request"))  # none is defined for the other types
            elif name == "pty-req" and not self._grants.pty:
                self._turn_down(request, "the certificate has no permit-pty")
            elif name in _ASKED:
                self._ask(request)
            elif name in _FORWARDS:
                self._hold(self._refuse(request, _FORWARDS[name]))
            elif name in _NOTED:
                _NOTED[name](self, SSHPacket(request.payload))
                self._pass(request)
            elif name in _PASSED:
                self.gate.note("request", self.stream, request=name, side="in")
                self._pass(request)
            else:
                self._hold(self._refuse(request, "request"))
        except PacketDecodeError:
            self._turn_down(request, "malformed")

    def _turn_down(self, request: Request, why: str) -> None:
        self.gate.note("refused", self.stream, request=request.name, why=why)
        if request.want_reply:
            self.agent.send_reply(False)

    def _ask(self, request: Request) -> None:
        packet = SSHPacket(request.payload)
        text = b"" if request.name == "shell" else packet.get_string()
        packet.check_end()
        facts: dict[str, object] = {}
        if self._grants.forced is not None:
            self._note_text("asked", "text", text, {"request": request.name})
            if request.name == "exec" and len(text) <= _VARIABLE_LIMIT:
                self._forward(original_command(text))
            request, text = in_place_of(request, self._grants.forced)
            facts = {"forced": True}
        operation = Operation(request.name, text, self.stream)
        self._is_sftp = is_sftp(request.name, text)
        if request.name == "shell":
            self.gate.note("shell", self.stream)
        else:
            self._note_text(request.name, "command" if request.name == "exec" else "subsystem", text, facts)
        self._hold(self._decide(request, operation))

    def _note_text(self, name: str, key: str, text: bytes, facts: Mapping[str, object]) -> None:
        for offset in range(0, max(len(text), 1), _PIECE):
            more = {"more": True} if offset + _PIECE < len(text) else {}
            self.gate.note(name, self.stream, **{key: text[offset : offset + _PIECE]}, **facts, **more)

    def _hold(self, decision: Coroutine[object, object, None]) -> None:
        self.agent.waiting = True
        self._spawn(decision)

    async def _decide(self, request: Request, operation: Operation) -> None:
        verdict = await self.gate.ask(operation, settle=True)
        self.agent.waiting = False
        if verdict.effect is Effect.ALLOW:
            self._forward(request)
        elif request.want_reply:
            self.agent.send_reply(False)
        self.agent.pump()

    async def _refuse(self, request: Request, kind: str) -> None:
        await self.gate.ask(Operation(kind, request.name.encode(), self.stream), settle=False)
        if request.want_reply:
            self.agent.send_reply(False)
        self.agent.waiting = False
        self.agent.pump()

    def _pass(self, request: Request) -> None:
        """Forwards a request that needs no decision; in durable mode once it is on disk."""
        if self.gate.durable:
            self._hold(self._forward_settled(request))
        else:
            self._forward(request)

    async def _forward_settled(self, request: Request) -> None:
        await self.gate.settle()
        self.agent.waiting = False
        self._forward(request)
        self.agent.pump()

    def _forward(self, request: Request) -> None:
        if self.target is None:
            return
        if request.want_reply:
            self.agent.waiting = True
            self._unanswered.append(request.name)
        elif request.name in _ASKED:
            self._begin()
        self.target.send_request(request)

    def _begin(self) -> None:
        """What was asked for runs."""
        if self._is_sftp and self._framing is None:
            self._framing = Framing(), Framing()

    def at_once(self, leg: Leg, request: Request) -> bool:
        """Answers a target's keepalive: behind data that an end does not read, the agent's answer would be too late."""
        if leg is self.agent or request.name != _KEEPALIVE or leg.waiting:
            return False
        self.gate.note("request", self.stream, request=request.name, side="out")
        if request.want_reply:
            leg.send_reply(False)
        return True

    def _target_request(self, request: Request) -> None:
        packet = SSHPacket(request.payload)
        if request.name == "exit-status":
            self.gate.note("exit", self.stream, status=packet.get_uint32())
        elif request.name == "exit-signal":
            signal, core, message = packet.get_string(), packet.get_boolean(), packet.get_string()
            self.gate.note("exit", self.stream, signal=_text(signal), core=core, message=_text(message))
        else:
            self.gate.note("request", self.stream, request=request.name, side="out")
        if request.want_reply and self.target is not None:
            self.target.waiting = True
        self.agent.send_request(request)

    def _note_terminal(self, packet: SSHPacket) -> None:
        term = packet.get_string()
        columns, rows, width, height = (packet.get_uint32() for _ in range(4))
        modes = packet.get_string()
        self.gate.terminal()
        size = {"columns": columns, "rows": rows, "width": width, "height": height}
        self.gate.note("pty", self.stream, term=_text(term), modes=modes, **size)

    def _note_resize(self, packet: SSHPacket) -> None:
        columns, rows, width, height = (packet.get_uint32() for _ in range(4))
        self.gate.note("resize", self.stream, columns=columns, rows=rows, width=width, height=height)

    def _note_environment(self, packet: SSHPacket) -> None:
        name, value = packet.get_string(), packet.get_string()
        if name in _ASSERTED:
            # It also goes to the catalogue, which takes no lone surrogates.
            self.gate.note("asserted", self.stream, **{_ASSERTED[name]: value.decode("utf-8", "backslashreplace")})
        else:
            self.gate.note("env", self.stream, variable=_text(name), value=_text(value))

    def _note_signal(self, packet: SSHPacket) -> None:
        self.gate.note("signal", self.stream, signal=_text(packet.get_string()))

    def _note_break(self, packet: SSHPacket) -> None:
        self.gate.note("break", self.stream, milliseconds=packet.get_uint32())


_PIECE = 24 * 1024  # bytes of a long command in one note
_VARIABLE_LIMIT = 32 * 1024  # bytes of a command that is handed on as a variable
_NOTED: dict[str, Callable[[ChannelPair, SSHPacket], None]] = {
    "pty-req": ChannelPair._note_terminal,
    "window-change": ChannelPair._note_resize,
    "env": ChannelPair._note_environment,
    "signal": ChannelPair._note_signal,
    "break": ChannelPair._note_break,
}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
