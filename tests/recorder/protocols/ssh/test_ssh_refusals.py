"""What the gateway does not record is refused, with a verdict; what it holds for the agent stays hidden."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest

from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, Watch
from tests.servers.process import Server, environment
from tests.servers.site import Site
from tests.servers.tapes import Taped, all_sessions

pytestmark = pytest.mark.service

_WHY = "is not recorded and therefore refused"
_NOT_LISTED = "is not in the target's forward list and therefore refused"


def _verdict(tape: Taped, operation: str, text: bytes, rule: str = "not-recorded") -> None:
    (facts,) = tape.verdicts(operation)
    assert (facts["effect"], facts["rule"], facts["text"]) == ("deny", rule, text)
    assert facts["reason"]


def _local_forwarding(client: Client, watch: Watch, short_path: Path, to: str, why: str) -> Taped:
    entry = short_path / "entry"
    option = ("-L", f"{entry}:{to}")
    with client.start(*option, f"web1@{HOST}", "echo up; cat; exit 3") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(str(entry))
            assert ours.recv(1) == b""
        _, said = ssh.communicate()
    assert ssh.returncode == 3
    assert b"open failed: administratively prohibited: " in said
    assert why.encode() in said
    return watch.tape()


def test_local_forwarding(site: Site, client: Client, gateway: Gateway, short_path: Path) -> None:
    tape = _local_forwarding(
        client, gateway.watch(), short_path, site.sshd.address, f"{site.sshd.address} {_NOT_LISTED}"
    )
    _verdict(tape, "forward", site.sshd.address.encode(), "forward")


def test_local_forwarding_to_a_socket(client: Client, gateway: Gateway, short_path: Path) -> None:
    tape = _local_forwarding(client, gateway.watch(), short_path, f"{short_path}/target", _WHY)
    _verdict(tape, "forward", b"direct-streamlocal@openssh.com")


def test_dynamic_forwarding(site: Site, client: Client, gateway: Gateway) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    watch = gateway.watch()
    options = ("-o", "ExitOnForwardFailure=yes", "-D", f"127.0.0.1:{port}")
    with client.start(*options, f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        with socket.create_connection(("127.0.0.1", port)) as ours:
            # SOCKS 4: connect to the sshd.
            ours.sendall(b"\x04\x01" + site.sshd.port.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + b"\0")
            assert ours.recv(64) == b""
        _, said = ssh.communicate()
    assert f"{site.sshd.address} {_NOT_LISTED}".encode() in said
    _verdict(watch.tape(), "forward", site.sshd.address.encode(), "forward")


def test_forwarding_of_standard_input(site: Site, client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh("-W", site.sshd.address, f"web1@{HOST}")
    assert done.returncode == 255
    assert f"{site.sshd.address} {_NOT_LISTED}".encode() in done.stderr
    _verdict(watch.tape(), "forward", site.sshd.address.encode(), "forward")


@pytest.mark.parametrize(
    ("entry", "request_name"), [("0", "tcpip-forward"), ("/nonexistent/socket", "streamlocal-forward")]
)
def test_remote_forwarding(client: Client, gateway: Gateway, entry: str, request_name: str) -> None:
    watch = gateway.watch()
    option = f"{entry}:127.0.0.1:9"
    done = client.ssh("-o", "ExitOnForwardFailure=yes", "-R", option, f"web1@{HOST}", "true")
    assert done.returncode == 255
    assert b"remote port forwarding failed" in done.stderr
    _verdict(watch.tape(), "forward", request_name.encode())


def test_agent_forwarding(client: Client, gateway: Gateway, short_path: Path) -> None:
    keys = short_path / "keys"
    with Server(["ssh-agent", "-D", "-a", str(keys)], short_path / "agent.log", environment()) as agent:
        agent.line("SSH_AUTH_SOCK")
        watch = gateway.watch()
        options = ("-A", "-o", "IdentityAgent=SSH_AUTH_SOCK")
        done = client.ssh(*options, f"web1@{HOST}", "echo [$SSH_AUTH_SOCK]", SSH_AUTH_SOCK=str(keys))
        assert (done.returncode, done.stdout) == (0, b"[]\n")
        _verdict(watch.tape(), "agent-forwarding", b"auth-agent-req@openssh.com")


def test_x11_forwarding(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh("-Y", f"web1@{HOST}", "echo [$DISPLAY]", DISPLAY="127.0.0.1:99")
    assert (done.returncode, done.stdout) == (0, b"[]\n")
    assert b"X11 forwarding request failed" in done.stderr
    _verdict(watch.tape(), "x11-forwarding", b"x11-req")


async def _unknown_channel(connection: asyncssh.SSHClientConnection) -> None:
    await connection.create_tcp_channel(encoding=None)._open(b"db:5432")


@pytest.mark.parametrize(
    ("operation", "kind", "opening"),
    [
        ("forward", b"tun@openssh.com", lambda connection: connection.open_tun()),
        ("channel", b"db:5432", _unknown_channel),
    ],
    ids=["tun", "unknown"],
)
def test_other_channels(
    client: Client,
    gateway: Gateway,
    operation: str,
    kind: bytes,
    opening: Callable[[asyncssh.SSHClientConnection], Awaitable[object]],
) -> None:
    async def talk() -> str:
        async with client.connect() as connection:
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await opening(connection)
            assert (await connection.run("echo on", encoding=None)).stdout == b"on\n"
            assert refused.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            return refused.value.reason

    watch = gateway.watch()
    assert run(talk()) == f"{kind.decode()} {_WHY}"
    _verdict(watch.tape(), operation, kind)


def test_request_that_nobody_knows(client: Client, gateway: Gateway) -> None:
    async def talk() -> None:
        async with client.connect() as connection:
            process = await connection.create_process("cat", encoding=None)
            channel = process.channel
            assert await channel._make_request(b"x@test.example", b"anything") is False
            process.stdin.write(b"on")
            process.stdin.write_eof()
            assert await process.stdout.read() == b"on"

    watch = gateway.watch()
    run(talk())
    _verdict(watch.tape(), "request", b"x@test.example")


def test_the_credential_upstream_is_nowhere(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "env; cat /proc/self/environ; echo; echo up; cat") as ssh:
        assert ssh.stdout is not None
        seen = b""
        while not seen.endswith(b"\nup\n"):
            seen += os.read(ssh.stdout.fileno(), 65536)
        seen += _every_process()
        ssh.communicate()
    for user in ("web1", "web-changed", "web-down", "db1"):
        client.ssh("-tt", f"{user}@{HOST}", "exit 1")
    watch.tapes(4)
    key = gateway.data / "keys/upstream"
    for path in (path for path in gateway.folder.rglob("*") if path.is_file() and key.parent not in path.parents):
        seen += path.read_bytes() + b"\n"
    for tape in all_sessions(gateway.tapes):
        seen += tape.everything()
    assert str(gateway.pid).encode() in seen
    lines = key.read_bytes().splitlines()[1:-1]
    assert len(lines) > 2
    for line in lines:
        # The last line holds the comment and padding, so that only its beginning is the key's.
        assert line[:40] not in seen
    private = asyncssh.read_private_key(str(key))
    for secret in (_seed(private), private.export_private_key("pkcs8-der")):
        assert secret not in seen


def _seed(key: asyncssh.SSHKey) -> bytes:
    return key.export_private_key("pkcs8-der")[-32:]


def _every_process() -> bytes:
    """The command lines and environments of all processes that may be read."""
    seen = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            for name in ("cmdline", "environ"):
                try:
                    seen.append(f"{folder.name} ".encode() + (folder / name).read_bytes())
                except OSError:
                    continue  # it ended, or belongs to somebody else
    return b"\n".join(seen)
