"""Those who may not, targets that cannot, peers that vanish or talk nonsense: one sentence each, then the next."""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.packet import String

from recorder.format.frame import Kind
from recorder.model import State
from tests.servers import asyncssh_target
from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.site import Site
from tests.servers.sshd import LOGIN
from tests.servers.tapes import all_sessions

pytestmark = pytest.mark.service


@pytest.fixture(autouse=True)
def _serves_the_next(client: Client, gateway: Gateway) -> Iterator[None]:
    yield
    assert client.exec("echo next").stdout == b"next\n"


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        ("nosuch", 'there is no target "nosuch" here: name one as in ssh TARGET@GATEWAY or LOGIN@TARGET@GATEWAY'),
        ("@web-down", "cannot reach target web-down"),
        ("\u00fcser@web1", "is not among the logins of web1"),
        ("root2@web1", 'login "root2" is not among the logins of web1'),
        ("db1", "agent ci may not reach db1: add it to the agent's targets"),
        ("web-down", "see whether it is up and the address is right"),
        ("web-changed", "is not the configured one: somebody may stand in between"),
        ("web-unwelcome", f"does not accept the gateway's key for login \"{LOGIN}\": put the gateway's public key"),
    ],
)
def test_agent_is_told_why(client: Client, gateway: Gateway, user: str, sentence: str) -> None:
    watch = gateway.watch()
    done = client.ssh(f"{user}@{HOST}", "true")
    assert done.returncode == 255
    assert sentence in done.stderr.decode()
    assert sentence in watch.log(r"WARNING tacho\.ssh: ")


@pytest.mark.parametrize("user", ["web-down", "web-changed", "web-unwelcome"])
def test_session_with_a_target_that_cannot_be_used_is_on_the_tape(
    site: Site, gateway: Gateway, tmp_path: Path, user: str
) -> None:
    watch = gateway.watch()
    done = site.client(tmp_path / "c", gateway, user).exec("true")
    tape = watch.tape()
    assert tape.session.encode() in done.stderr
    assert str(tape.ended["reason"]).encode() in done.stderr
    assert gateway.row_when(tape.session, lambda row: row.state is State.CLOSED).reason == tape.ended["reason"]


def test_key_of_nobody(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    watch = gateway.watch()
    client = Client(tmp_path / "c", gateway.port, site.install.host_key, site.stranger, "web1")
    done = client.exec("true")
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")


def test_agent_without_targets(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    client = Client(tmp_path / "c", gateway.port, site.install.host_key, site.spare, "web1")
    assert b"agent spare may not reach web1" in client.exec("true").stderr


def test_password_is_not_asked_for(client: Client, gateway: Gateway) -> None:
    options = ("-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password,keyboard-interactive")
    done = client.ssh(*options, f"web1@{HOST}", "true")
    assert done.returncode == 255
    assert b"Permission denied (publickey)" in done.stderr


# Peers that vanish

Vanish = Callable[[socket.socket], None]


def _reset(ours: socket.socket) -> None:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ours.close()


def _close(ours: socket.socket) -> None:
    ours.close()


_VERSION = b"SSH-2.0-Test_1\r\n"


def _kexinit() -> bytes:
    names = [
        b"curve25519-sha256", b"ssh-ed25519", b"aes128-gcm@openssh.com", b"aes128-gcm@openssh.com",
        b"hmac-sha2-256", b"hmac-sha2-256", b"none", b"none", b"", b"",
    ]  # fmt: skip
    lists = b"".join(len(name).to_bytes(4, "big") + name for name in names)
    payload = bytes((20,)) + bytes(16) + lists + bytes(5)
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return (len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,)) + payload + bytes(padding)


@pytest.mark.parametrize("leave", [_close, _reset], ids=["close", "reset"])
@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-", _VERSION, _VERSION + _kexinit()[:9], _VERSION + _kexinit()],
    ids=["nothing", "half a version", "version", "half a kexinit", "kexinit"],
)
def test_client_that_vanishes_before_it_authenticates(gateway: Gateway, said: bytes, leave: Vanish) -> None:
    watch = gateway.watch()
    ours = socket.create_connection(("127.0.0.1", gateway.port))
    assert ours.recv(15) == b"SSH-2.0-OpenSSH"
    ours.sendall(said)
    leave(ours)
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")


def test_a_crowd_that_vanishes_at_once(gateway: Gateway) -> None:
    watch = gateway.watch()
    for _ in range(100):
        ours = socket.create_connection(("127.0.0.1", gateway.port))
        _reset(ours)
    gateway.server.lines("did not authenticate", 100, watch.after)


@pytest.mark.parametrize("seed", range(12))
def test_garbage(gateway: Gateway, seed: int) -> None:
    source = random.Random(seed)
    start = [b"", b"GET / HTTP/1.1\r\n", b"SSH-1.5-old\r\n", b"SSH-2.0-\xff\xfe\r\n", _VERSION, _VERSION + _kexinit()]
    watch = gateway.watch()
    with socket.create_connection(("127.0.0.1", gateway.port)) as ours:
        ours.settimeout(30)
        with contextlib.suppress(ConnectionError):
            ours.sendall(start[seed % len(start)] + source.randbytes(100_000) + b"\n")
            ours.shutdown(socket.SHUT_WR)
            while ours.recv(65536):
                pass
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")


class _Leaving(asyncssh.SSHClient):
    """Leaves when it is asked for its key."""

    _connection: asyncssh.SSHClientConnection

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    def public_key_auth_requested(self) -> None:
        self._connection.abort()


def test_client_that_vanishes_while_it_authenticates(client: Client, gateway: Gateway) -> None:
    async def talk() -> None:
        with contextlib.suppress(OSError, asyncssh.Error):
            async with client.connect(client_factory=_Leaving, client_keys=[]):
                pass

    watch = gateway.watch()
    run(talk())
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")


async def _after_authentication(_connection: asyncssh.SSHClientConnection) -> None:
    """Does nothing."""


async def _after_opening(connection: asyncssh.SSHClientConnection) -> None:
    await connection.create_process("cat", encoding=None)


async def _while_sending(connection: asyncssh.SSHClientConnection) -> None:
    process = await connection.create_process("cat > /dev/null", encoding=None)
    process.stdin.write(bytes(8 * 1024 * 1024))
    await process.stdin.drain()


async def _while_receiving(connection: asyncssh.SSHClientConnection) -> None:
    process = await connection.create_process("cat /dev/zero", encoding=None)
    await process.stdout.readexactly(4 * 1024 * 1024)


async def _with_open_requests(connection: asyncssh.SSHClientConnection) -> None:
    for _ in range(20):
        connection.create_task(_alone(connection.create_process("cat", encoding=None)))
    await asyncio.sleep(0)


async def _alone(work: Awaitable[object]) -> None:
    try:
        await work
    except (OSError, asyncssh.Error):
        return


@pytest.mark.parametrize(
    "stage", [_after_authentication, _after_opening, _while_sending, _while_receiving, _with_open_requests]
)
def test_client_that_vanishes_in_its_session(
    client: Client, gateway: Gateway, stage: Callable[[asyncssh.SSHClientConnection], Awaitable[None]]
) -> None:
    async def talk() -> None:
        async with client.connect() as connection:
            await stage(connection)
            connection.abort()

    watch = gateway.watch()
    run(talk())
    tape = watch.tape()
    assert tape.ended["reason"] == "the agent disconnected"


def test_killed_ssh(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        ssh.kill()
    tape = watch.tape()
    assert tape.crossed(Kind.OUT) == b"up\n"
    assert tape.ended["reason"] == "the agent disconnected"


def test_target_that_vanishes_in_a_session(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    # The command kills the sshd of its own connection: the parent of its shell.
    with client.start(f"web1@{HOST}", "echo out; read -r line; kill -KILL $PPID; sleep 60") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"out\n"
        rest, said = ssh.communicate(b"\n")
    assert (ssh.returncode, rest) == (255, b"")
    tape = watch.tape()
    assert f"the target closed the connection (session {tape.session})".encode() in said
    assert tape.crossed(Kind.OUT) == b"out\n"


@pytest.fixture
def silent() -> Iterator[TargetEntry]:
    """A target that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQ2ALYV2x1nRCZyN0Q8DXF2kHI6kCXNMXbFVzCiG7nh"
        yield TargetEntry("web-silent", f"127.0.0.1:{listening.getsockname()[1]}", host_key)


def test_agent_that_does_not_wait_for_a_silent_target(
    site: Site, new_gateway: NewGateway, silent: TargetEntry, tmp_path: Path
) -> None:
    gateway = new_gateway(silent)
    watch = gateway.watch()
    with site.client(tmp_path / "c", gateway).start(f"web-silent@{HOST}", "true") as ssh:
        (session,) = watch.begun()
        ssh.kill()
    gateway.server.line(f"session {session} ended: the agent disconnected", watch.after, limit=15)
    (tape,) = all_sessions(gateway.tapes)
    assert tape.closed


@pytest.mark.parametrize("side", ["agent", "target"])
def test_packets_larger_than_was_agreed(
    site: Site, new_gateway: NewGateway, client: Client, tmp_path: Path, side: str
) -> None:
    class Oversized(asyncssh_target.Session):
        def eof_received(self) -> bool:
            if side == "target" and self.channel is not None:
                self.channel.send_packet(MSG_CHANNEL_DATA, String(bytes(150_000)))
            return super().eof_received()

    async def talk() -> Gateway:
        async with asyncssh_target.target(Oversized) as entry:
            gateway = new_gateway(entry)
            with contextlib.suppress(OSError, asyncssh.Error):
                async with site.client(tmp_path / "c", gateway, entry.name).connect() as connection:
                    process = await connection.create_process("x", encoding=None)
                    if side == "agent":
                        process.channel.send_packet(MSG_CHANNEL_DATA, String(bytes(150_000)))
                    process.stdin.write_eof()
                    await process.wait()
                    await connection.wait_closed()
            return gateway

    gateway = run(talk(), 20)
    watch = gateway.watch()
    watch.after = 0
    watch.tape()
    done = site.client(tmp_path / "next", gateway).exec("echo next")
    assert (done.returncode, done.stdout) == (0, b"next\n"), done.stderr
