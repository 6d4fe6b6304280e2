"""An agent's connection until it has authenticated: what it proves, what it may cost, and why it is turned away.

It knows nothing of sessions: once the agent is known, `authenticated` goes on.
"""

import asyncio
import logging
from typing import cast

import asyncssh
from asyncssh.connection import SSHServerConnection
from asyncssh.constants import DISC_TOO_MANY_CONNECTIONS
from asyncssh.packet import SSHPacket

from recorder.model import Limits
from recorder.protocol import Front, Refused
from recorder.protocols.ssh.serve.attempts import Attempts
from recorder.protocols.ssh.serve.certificate import Grants, Proof, examine, is_certificate
from recorder.protocols.ssh.serve.crowd import Crowd, Stage
from recorder.protocols.ssh.serve.transport import Transport
from recorder.safe import quoted

_PACKET = 64 * 1024  # bytes of one packet before authentication
_RECEIVED = 256 * 1024  # bytes altogether before authentication: what is held, computed and answered stays small


class Entrance(Transport, SSHServerConnection):
    """A connection that authenticates; `proof` is what it has proved, `grants` what that permits."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        front: Front,
        limits: Limits,
        crowd: Crowd,
    ) -> None:
        super().__init__(loop, options)
        # asyncssh's own timer goes by its options, which are made once; a reload changes the limits.
        self._login_timer = loop.call_later(limits.login, self._login_timer_callback)
        self.proof: Proof | None = None  # whose signature was checked
        self._front = front
        self._limits = limits
        self._crowd = crowd
        self._attempts = Attempts()
        self._offered: Proof | None = None
        self._received = 0
        self._socket: asyncio.Transport | None = None
        self._expelled = False
        self._turned_away = ""  # with what reason
        self._packet_limit, self._max_recv_pktlen = self._max_recv_pktlen, _PACKET

    # What the session needs

    @property
    def client(self) -> str:
        """The agent's address."""
        host = f"[{self._peer_addr}]" if ":" in self._peer_addr else self._peer_addr
        return f"{host}:{self._peer_port}"

    @property
    def grants(self) -> Grants:
        """What the agent's credential permits."""
        return self.proof.grants if self.proof is not None else Grants(pty=False, forward=False)

    def authenticated(self, proof: Proof) -> None:
        """The agent has proved its key: the session begins."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    # Limits

    @property
    def source(self) -> str:
        """Where it comes from (Newcomer)."""
        return self._peer_addr

    @property
    def stage(self) -> Stage:
        """How far it has come (Newcomer)."""
        if self._transport is None:
            return Stage.GONE
        if self._auth_in_progress:
            return Stage.AUTHENTICATING
        if self._recv_encryption is not None or self._next_recv_encryption is not None:
            return Stage.KEYED
        if self._client_kexinit:
            return Stage.NEGOTIATING
        return Stage.GREETED if self._client_version else Stage.SILENT

    def expel(self) -> None:
        """Closes at once, without waiting for the peer (Newcomer)."""
        self._expelled = True
        if self._transport is not None:
            self._send_disconnect(DISC_TOO_MANY_CONNECTIONS, "too many connections wait to authenticate", "en")
            self._transport = None
            self._loop.call_soon(self._cleanup, None)
        if self._socket is None:
            return
        if self._socket.get_write_buffer_size():
            self._socket.abort()
        else:
            self._socket.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there (asyncio.Protocol)."""
        self._socket = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._crowd.enter(self, self._limits.unauthenticated)

    def connection_lost(self, exc: Exception | None = None) -> None:
        """The connection is lost (asyncio.Protocol), or asyncssh gives it up: its socket may then live on a little."""
        super().connection_lost(exc)
        if self._socket is not None and self._socket.is_closing():
            self._crowd.leave(self)

    def data_received(self, data: bytes, datatype: int | None = None) -> None:
        """Takes what the socket read (asyncio.Protocol)."""
        if not self._auth_complete:
            self._received += len(data)
            if self._received > _RECEIVED:
                self._turn_away(f"it sent more than {_RECEIVED // 1024} KiB before it had authenticated")
                return
        super().data_received(data, datatype)

    def _login_timer_callback(self) -> None:
        self._login_timer = None
        self._turn_away(f"{self._limits.login:g} s passed ([limits] login)")

    def _turn_away(self, reason: str) -> None:
        if self._transport is not None:
            self._turned_away = reason
            self.bow_out(reason)

    async def _finish_userauth(self, begin_auth: bool, method: bytes, packet: SSHPacket) -> None:
        # Nothing more is read meanwhile, so that each failure makes the next one slower.
        pause = self._attempts.begun(method)
        if self._attempts.exhausted:
            self._turn_away(self._attempts.exhausted)
            return
        if pause:
            await asyncio.sleep(pause)
        await super()._finish_userauth(begin_auth, method, packet)

    def send_userauth_failure(self, partial_success: bool) -> None:
        """Called by asyncssh when a request failed."""
        self._attempts.failed()
        if self._attempts.exhausted:
            self._turn_away(self._attempts.exhausted)
            return
        super().send_userauth_failure(partial_success)

    # Proofs

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Called by asyncssh for a key that is offered, and again (with `msg`) for its signature."""
        valid = await super().validate_public_key(username, key_data, msg, signature)
        offered, self._offered = self._offered, None
        if offered is not None:
            self._attempts.unproved(offered.key)
        elif not is_certificate(key_data):
            self._attempts.unknown(key_data)
        self.proof = offered if valid and msg else None
        return valid and offered is not None

    async def _validate_client_certificate(self, username: str, key_data: bytes) -> asyncssh.SSHKey | None:
        self._offered = None
        if not is_certificate(key_data):
            return None
        try:
            vouched = examine(key_data, self._peer_addr, self._front.agent_of_certificate)
        except Refused as refusal:
            self._attempts.certificate_refused()
            self._crowd.tell(logging.WARNING, "agent %s: %s", self.client, refusal)
            return None
        self._offered = vouched.proof
        # asyncssh compares the principals with the user's name, but here they name the agent: that is what it gets.
        return await self._validate_openssh_certificate(vouched.proof.agent.name, vouched.cert)

    def vouches(self, authority: bytes) -> bool:
        """Whether the certificate just offered was found to be this authority's."""
        certificate = self._offered.certificate if self._offered is not None else None
        return certificate is not None and certificate.authority == authority

    def knows(self, blob: bytes) -> bool:
        """Whether the key belongs to an agent."""
        agent = self._front.agent_of_key(blob)
        self._offered = Proof(agent, blob) if agent is not None else None
        return agent is not None

    def welcome(self) -> None:
        """Called once the agent has proved its key."""
        self._max_recv_pktlen = self._packet_limit
        if self.proof is not None and self._transport is not None:
            self._crowd.leave(self)
            self.authenticated(self.proof)

    def lost(self, exc: Exception | None) -> None:
        """Called once the connection is gone."""
        if not self._auth_complete and not self._expelled:
            self._crowd.tell(logging.INFO, "agent %s did not authenticate: %s", self.client, self._why(exc))
        self.ended()

    def _why(self, exc: Exception | None) -> str:
        left = exc is None or isinstance(exc, asyncssh.ConnectionLost | OSError)
        reason = self._turned_away or ("" if left else quoted(str(exc)))
        if self._auth_in_progress:
            tried = self._attempts.summary(self._username)
            return f"{reason}; {tried}" if reason else tried
        if self._client_version:
            return reason or "it left during the key exchange"
        return reason or ("it left before its version was whole" if self._received else "it left without a word")


class Owner(asyncssh.SSHServer):
    """asyncssh's callbacks for one connection."""

    _connection: Entrance

    def connection_made(self, conn: SSHServerConnection) -> None:
        if isinstance(conn, Entrance):
            self._connection = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost(exc)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._connection.knows(key.public_data)

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._connection.vouches(key.public_data)

    def auth_completed(self) -> None:
        self._connection.welcome()
