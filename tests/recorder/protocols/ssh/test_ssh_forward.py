"""direct-tcpip to the addresses of a target's forward list: what crosses, what is recorded, what is refused."""

import asyncio
import hashlib
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import String, UInt32

from recorder.format.frame import Kind
from recorder.model import State
from tests.servers import asyncssh_target
from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.site import Site
from tests.servers.sshd import LOGIN
from tests.servers.tapes import Facts, Taped

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
_BYE = b" and goodbye"


class _Echo(socketserver.BaseRequestHandler):
    """Gives back what it reads, and after its end some more."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            while data := self.request.recv(65536):
                self.request.sendall(data)
            self.request.sendall(_BYE)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


@dataclass(frozen=True)
class Behind:
    """A gateway, and what lies behind its target: `port` echoes, `closed` refuses connections."""

    gateway: Gateway
    port: int
    closed: int


@pytest.fixture(scope="module")
def behind(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with _Server(("127.0.0.1", 0), _Echo) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        port, refusing = server.server_address[1], closed.getsockname()[1]
        listed = (f"127.0.0.1:{port}", f"LocalHost:{port}", f"127.0.0.1:{refusing}", site.sshd.address)
        entry = TargetEntry("web-bastion", site.sshd.address, site.sshd.host_key, forward=listed)
        gateway = site.start(tmp_path_factory.mktemp("forward") / "g", entry)
        yield Behind(gateway, port, refusing)
        gateway.stop()
        gateway.assert_sound()
        server.shutdown()


@pytest.fixture
def agent(site: Site, behind: Behind, tmp_path: Path) -> Client:
    return site.client(tmp_path / "agent", behind.gateway, "web-bastion")


def _opened(tape: Taped, stream: int = 1) -> Facts:
    (facts,) = tape.noted("channel", stream)
    assert facts["type"] == "direct-tcpip"
    return facts


def test_port_of_ssh_leads_to_an_address_behind_the_target(behind: Behind, agent: Client, short_path: Path) -> None:
    watch = behind.gateway.watch()
    entry = short_path / "entry"
    with agent.start("-L", f"{entry}:127.0.0.1:{behind.port}", f"web-bastion@{HOST}", "echo up; cat; exit 3") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(str(entry))
            ours.sendall(b"hello")
            ours.shutdown(socket.SHUT_WR)
            assert ours.makefile("rb").read() == b"hello" + _BYE
        ssh.communicate()
    assert ssh.returncode == 3
    tape = watch.tape()
    (stream,) = (frame.stream for frame in tape.frames if frame.facts().get("type") == "direct-tcpip")
    assert tape.crossed(Kind.IN, stream) == b"hello"
    assert tape.crossed(Kind.OUT, stream) == b"hello" + _BYE
    assert (_opened(tape, stream)["host"], _opened(tape, stream)["port"]) == ("127.0.0.1", behind.port)
    assert tape.noted("forward", stream) == [{"host": "127.0.0.1", "port": behind.port, "content": "not parsed"}]
    assert [facts["side"] for facts in tape.noted("eof", stream)] == ["in", "out"]
    (verdict,) = tape.verdicts("forward")
    assert (verdict["effect"], verdict["rule"]) == ("allow", "forward")
    row = behind.gateway.row_when(tape.session, lambda row: row.state is State.CLOSED)
    assert row.verdicts == {"allowed": 2}


def test_standard_input_leads_to_an_address_behind_the_target(behind: Behind, agent: Client) -> None:
    watch = behind.gateway.watch()
    done = agent.ssh("-W", f"localhost:{behind.port}", f"web-bastion@{HOST}", stdin=b"through")
    assert (done.returncode, done.stdout) == (0, b"through" + _BYE), done.stderr
    assert watch.tape().crossed(Kind.IN) == b"through"


def test_jump_through_the_gateway_to_another_sshd(site: Site, behind: Behind, agent: Client) -> None:
    with agent.known_hosts.open("a") as known:
        known.write(f"[127.0.0.1]:{site.sshd.port} {site.sshd.host_key}\n")
    watch = behind.gateway.watch()
    jump = f"ProxyCommand=ssh -F {agent.config} -W %h:%p web-bastion@{HOST}"
    done = agent.ssh("-o", jump, "-p", str(site.sshd.port), f"{LOGIN}@127.0.0.1", "echo $MARK; exit 5")
    assert (done.returncode, done.stdout) == (5, b"target\n"), done.stderr
    tape = watch.tape()
    assert tape.crossed(Kind.IN).startswith(b"SSH-2.0-OpenSSH")
    assert tape.crossed(Kind.OUT).startswith(b"SSH-2.0-OpenSSH")
    assert tape.noted("not-captured") == [{"what": "ssh", "why": "it is encrypted from end to end"}]
    assert behind.gateway.row_when(tape.session, lambda row: row.ended).not_captured == ("ssh",)


@pytest.mark.parametrize(
    ("said", "what"),
    [(b"\x16\x03\x01\x02\x00\x01\x00", ["tls"]), (b"plain text", []), (b"\x16", []), (b"\x16\x03\x01\x02\x00\x09", [])],
)
def test_what_is_encrypted_inside_is_listed_as_not_captured(
    behind: Behind, agent: Client, said: bytes, what: list[str]
) -> None:
    watch = behind.gateway.watch()
    done = agent.ssh("-W", f"127.0.0.1:{behind.port}", f"web-bastion@{HOST}", stdin=said)
    assert done.stdout == said + _BYE
    assert [facts["what"] for facts in watch.tape().noted("not-captured")] == what


def test_names_are_compared_without_case_and_reach_the_target_as_written(behind: Behind, agent: Client) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            for host in ("LOCALHOST", "localhost"):
                reader, writer = await connection.open_connection(host, behind.port, encoding=None)
                writer.write_eof()
                assert await reader.read() == _BYE

    watch = behind.gateway.watch()
    run(talk())
    tape = watch.tape()
    assert [_opened(tape, stream)["host"] for stream in (1, 2)] == ["LOCALHOST", "localhost"]


def test_originator_is_noted(behind: Behind, agent: Client) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            _, writer = await connection.open_connection(
                "127.0.0.1", behind.port, orig_host="fe80::7", orig_port=4711, encoding=None
            )
            writer.close()
            await writer.wait_closed()

    watch = behind.gateway.watch()
    run(talk())
    assert _opened(watch.tape())["originator"] == "[fe80::7]:4711"


def test_bulk_both_ways_at_once_over_several_channels(behind: Behind, agent: Client) -> None:
    contents = [random.Random(seed).randbytes(3 * _MIB + seed) for seed in range(3)]

    async def through(connection: asyncssh.SSHClientConnection, content: bytes) -> bytes:
        reader, writer = await connection.open_connection("127.0.0.1", behind.port, encoding=None)
        back = asyncio.create_task(reader.read())
        writer.write(content)
        writer.write_eof()
        echoed: bytes = await back
        return echoed

    async def talk() -> list[bytes]:
        async with agent.connect() as connection:
            return list(await asyncio.gather(*(through(connection, content) for content in contents)))

    watch = behind.gateway.watch()
    assert run(talk(), 60) == [content + _BYE for content in contents]
    tape = watch.tape()
    for stream in (1, 2, 3):
        assert tape.digest(Kind.IN, stream) in {hashlib.sha256(content).hexdigest() for content in contents}
        assert tape.crossed(Kind.OUT, stream) == tape.crossed(Kind.IN, stream) + _BYE


def test_reader_that_stops_stops_its_own_channel_alone(behind: Behind, agent: Client) -> None:
    async def talk() -> bytes:
        async with agent.connect() as connection:
            reader, writer = await connection.open_connection("127.0.0.1", behind.port, encoding=None)
            content = bytes(12 * _MIB)
            writer.write(content)  # more than all windows and buffers on the way: it cannot all come back unread
            for number in range(5):
                done = await connection.run(f"echo {number}", encoding=None)
                assert done.stdout == b"%d\n" % number
            writer.write_eof()
            echoed: bytes = await reader.read()
            return echoed

    assert run(talk(), 60) == bytes(12 * _MIB) + _BYE


def test_address_that_is_not_listed_is_named_and_the_session_goes_on(behind: Behind, agent: Client) -> None:
    async def talk() -> asyncssh.ChannelOpenError:
        async with agent.connect() as connection:
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await connection.open_connection("127.0.0.1", 22)
            assert (await connection.run("echo on", encoding=None)).stdout == b"on\n"
            return refused.value

    watch = behind.gateway.watch()
    refusal = run(talk())
    assert refusal.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
    assert refusal.reason == "127.0.0.1:22 is not in the target's forward list and therefore refused"
    tape = watch.tape()
    (verdict,) = tape.verdicts("forward")
    assert (verdict["effect"], verdict["text"]) == ("deny", b"127.0.0.1:22")
    assert tape.noted("forward") == []
    assert (_opened(tape)["host"], _opened(tape)["port"]) == ("127.0.0.1", 22)


def test_address_that_the_target_cannot_reach_fails_as_it_does_directly(
    site: Site, behind: Behind, agent: Client, direct: Client
) -> None:
    async def failure(client: Client) -> tuple[int, str]:
        async with client.connect() as connection:
            with pytest.raises(asyncssh.ChannelOpenError) as failed:
                await connection.open_connection("127.0.0.1", behind.closed)
            return failed.value.code, failed.value.reason

    watch = behind.gateway.watch()
    through = run(failure(agent))
    assert through == run(failure(direct))
    assert watch.tape().noted("channel-failed") == [{"code": through[0], "reason": through[1]}]


@pytest.mark.parametrize("request_name", [b"exec", b"shell", b"pty-req", b"x11-req", b"anything@test.example"])
def test_requests_of_sessions_are_refused_on_forwarded_channels(
    behind: Behind, agent: Client, request_name: bytes
) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            reader, writer = await connection.open_connection("127.0.0.1", behind.port, encoding=None)
            assert await writer.channel._make_request(request_name, String("touch x")) is False
            writer.write(b"still there")
            writer.write_eof()
            assert await reader.read() == b"still there" + _BYE

    watch = behind.gateway.watch()
    run(talk())
    tape = watch.tape()
    assert tape.noted(request_name.decode()) == []
    (verdict,) = tape.verdicts("request")
    assert (verdict["effect"], verdict["text"]) == ("deny", request_name)


@pytest.mark.parametrize("fields", [b"", String("host"), String("h") + UInt32(1) + String("o") + UInt32(2) + b"more"])
def test_malformed_opening_ends_the_connection(behind: Behind, agent: Client, fields: bytes) -> None:
    async def talk() -> None:
        async with agent.connect() as connection:
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.DisconnectError)):
                await connection.create_tcp_channel(encoding=None)._open(b"direct-tcpip", fields)

    watch = behind.gateway.watch()
    run(talk())
    assert watch.tape().verdicts("forward") == []


def test_target_that_does_not_forward_says_so_itself(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    async def talk() -> Taped:
        async with asyncssh_target.target() as entry:
            listed = TargetEntry(entry.name, entry.address, entry.host_key, forward=("db.example:5432",))
            gateway = new_gateway(listed)
            watch = gateway.watch()
            async with site.client(tmp_path / "c", gateway, entry.name).connect() as connection:
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.open_connection("db.example", 5432)
            return await asyncio.to_thread(watch.tape)

    tape = run(talk())
    assert len(tape.noted("channel-failed")) == 1
    assert tape.verdicts("forward")[0]["effect"] == "allow"


def test_many_connections_come_and_go(behind: Behind, agent: Client) -> None:
    async def one(connection: asyncssh.SSHClientConnection, number: int) -> None:
        reader, writer = await connection.open_connection("127.0.0.1", behind.port, encoding=None)
        writer.write(b"%d" % number)
        writer.write_eof()
        assert await reader.read() == b"%d" % number + _BYE

    async def talk() -> None:
        async with agent.connect() as connection:
            for round_ in range(10):
                await asyncio.gather(*(one(connection, round_ * 30 + number) for number in range(30)))

    watch = behind.gateway.watch()
    run(talk(), 60)
    tape = watch.tape()
    assert {tape.crossed(Kind.IN, stream) for stream in range(1, 301)} == {b"%d" % number for number in range(300)}
