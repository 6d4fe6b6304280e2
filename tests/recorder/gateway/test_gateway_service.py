"""A whole gateway from its start to its end: what it refuses to start with, drain, a full disk, sudden death."""

import os
import signal
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh
import pytest

from recorder.format.frame import Kind
from recorder.model import State
from tests.servers.client import HOST, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, refusal_to_start
from tests.servers.site import Site
from tests.servers.tapes import Taped, all_sessions, until

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
RESTORE = "restore it from a backup, or see `tacho doctor` for how to make another"


# Start


def test_folder_of_tapes_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    folder = site.prepare(tmp_path / "g")
    (folder / "var/tapes").rmdir()
    (folder / "var/tapes").write_text("a file in its place")
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said.startswith(f"tacho: cannot write tapes in {folder}/var/tapes: ")
    assert said.endswith("mend its rights or set [gateway] data\n")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("keys/gateway", "cannot read the gateway's key"),
        ("keys/ssh_host", "cannot read the SSH host key"),
    ],
)
def test_key_that_is_missing(site: Site, tmp_path: Path, missing: str, sentence: str) -> None:
    folder = site.prepare(tmp_path / "g")
    (folder / "var" / missing).unlink()
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said == f"tacho: {sentence} {folder}/var/{missing}: No such file or directory; {RESTORE}\n"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_host_key_that_is_none(site: Site, tmp_path: Path, content: bytes) -> None:
    folder = site.prepare(tmp_path / "g")
    (folder / "var/keys/ssh_host").write_bytes(content)
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said.startswith("tacho: ")
    assert f"{folder}/var/keys/ssh_host" in said
    assert len(said.splitlines()) == 1


def test_catalogue_that_is_none(site: Site, tmp_path: Path) -> None:
    folder = site.prepare(tmp_path / "g")
    (folder / "var/catalogue.db").write_bytes(b"this is no database, and long enough to be sure of it" * 20)
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said.startswith(f"tacho: cannot open the catalogue {folder}/var/catalogue.db: ")
    assert len(said.splitlines()) == 1


def test_address_that_is_taken(site: Site, tmp_path: Path) -> None:
    folder = site.prepare(tmp_path / "g")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = folder / "tachograph.toml"
        config.write_text(config.read_text().replace("127.0.0.1:0", address))
        taken.listen()
        status, said = refusal_to_start(folder)
    assert status == 1
    assert said.startswith(f"tacho: cannot listen on {address}: ")
    assert said.endswith("; choose another address\n")
    assert len(said.splitlines()) == 1


# End


def test_sigterm_lets_a_running_command_finish(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "echo up; cat; echo done; exit 9") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        gateway.server.send(signal.SIGTERM)
        until(lambda: True if _refuses(gateway.port) else None, "the end of listening")
        refused = client.exec("true")
        assert refused.returncode == 255
        assert b"Connection refused" in refused.stderr
        output, said = ssh.communicate(b"still here\n")
        assert (ssh.returncode, output, said) == (9, b"still here\ndone\n", b"")
    assert gateway.server.wait() == 0
    tape = watch.tape()
    assert tape.crossed(Kind.IN) == b"still here\n"
    assert tape.noted("exit") == [{"status": 9}]
    _is_settled(gateway, tape)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        return False  # it was accepted, and the listener closed at that moment
    return False


def _is_settled(gateway: Gateway, tape: Taped) -> None:
    """The catalogue's row is closed, and the catalogue one file."""
    row = gateway.row(tape.session)
    assert row is not None
    assert row.state is State.CLOSED
    assert row.reason == tape.ended["reason"]
    assert row.ended is not None
    assert sorted(path.name for path in gateway.data.glob("catalogue*")) == ["catalogue.db"]


def test_agent_that_authenticates_after_sigterm_is_refused(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    late = _Late(gateway, site.key)

    async def talk() -> None:
        async with client.connect() as running:
            process = await running.create_process("cat", encoding=None)
            async with client.connect(client_keys=[], client_factory=lambda: late) as refused:
                await refused.wait_closed()
            process.stdin.write(b"on")
            process.stdin.write_eof()
            assert await process.stdout.read() == b"on"

    run(talk())
    assert gateway.server.found('agent "ci" from .* refused: the gateway is stopping; connect again in a moment')
    assert gateway.server.wait() == 0


class _Late(asyncssh.SSHClient):
    """Shows its key only once the gateway has begun to stop."""

    def __init__(self, gateway: Gateway, key: Path) -> None:
        self._gateway = gateway
        self._keys = [asyncssh.read_private_key(str(key))]

    def public_key_auth_requested(self) -> asyncssh.SSHKey | None:
        if not self._keys:
            return None
        self._gateway.server.send(signal.SIGTERM)
        until(lambda: True if _refuses(self._gateway.port) else None, "the end of listening")
        return self._keys.pop()


def test_session_that_outlasts_the_grace_is_ended_with_a_word(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    gateway = new_gateway(grace=0.3)
    watch = gateway.watch()
    client = site.client(tmp_path / "c", gateway)
    with client.start(f"web1@{HOST}", "echo up; sleep 60") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        begun = time.monotonic()
        gateway.server.send(signal.SIGTERM)
        _, said = ssh.communicate()
    assert ssh.returncode == 255
    assert gateway.server.wait() == 0
    assert time.monotonic() - begun < 20
    tape = watch.tape()
    assert f"the gateway stopped (session {tape.session})".encode() in said
    assert tape.crossed(Kind.OUT) == b"up\n"
    _is_settled(gateway, tape)


def test_many_sessions_are_all_settled_at_the_end(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(grace=0.0)
    client = site.client(tmp_path / "c", gateway)

    async def talk() -> None:
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(client.connect()) for _ in range(8)]
            for connection in connections:
                for _ in range(3):
                    process = await connection.create_process("echo up; cat /dev/zero", encoding=None)
                    assert await process.stdout.readexactly(3) == b"up\n"
            gateway.server.send(signal.SIGTERM)
            for connection in connections:
                await connection.wait_closed()

    run(talk())
    assert gateway.server.wait() == 0
    tapes = list(all_sessions(gateway.tapes))
    assert len(tapes) == 8
    for tape in tapes:
        assert tape.closed
        assert sorted(tape.commands()) == [1, 2, 3]
        _is_settled(gateway, tape)


# Faults


def test_tapes_that_become_unwritable(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        gateway.tapes.rename(gateway.data / "away")
        gateway.tapes.write_text("a file in its place")
        try:
            done = client.exec("echo no")
            assert done.returncode == 255
            assert done.stdout == b""
            assert b"this session cannot be recorded any more and ends: cannot write the tape in " in done.stderr
            assert b"make room or mend the folder's rights" in done.stderr
        finally:
            gateway.tapes.unlink()
            (gateway.data / "away").rename(gateway.tapes)
        first, second = watch.begun(2)
        output, _ = ssh.communicate(b"goes on\n")
        assert (ssh.returncode, output) == (0, b"goes on\n")
    watch.ended(first)
    assert Taped(gateway.tapes, first).crossed(Kind.OUT) == b"up\ngoes on\n"
    assert gateway.row_when(second, lambda row: row.state is State.UNCLOSED).reason.startswith("cannot write the tape")
    done = client.exec("echo next")
    assert (done.returncode, done.stdout) == (0, b"next\n")


def test_killed_gateway_leaves_a_tape_that_reads(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    received: list[bytes] = []
    with client.start(f"web1@{HOST}", "i=0; while echo line $i; do i=$((i+1)); sleep 0.01; done") as ssh:
        assert ssh.stdout is not None
        while len(received) < 60:
            received.append(ssh.stdout.readline())
        gateway.server.send(signal.SIGKILL)
        received.extend(ssh.stdout)
        ssh.communicate()
    assert gateway.server.wait() == -signal.SIGKILL
    (session,) = watch.begun()
    # The next gateway on the same folder waits for the scribe, recovers the session, and serves.
    again = Gateway(gateway.folder)
    try:
        row = again.row_when(session, lambda row: row.state is State.RECOVERED)
        tape = Taped(again.tapes, session)
        assert tape.crossed(Kind.OUT).startswith(b"".join(received))
        assert row.bytes_out == len(tape.crossed(Kind.OUT))
        assert site.client(tmp_path / "again", again).exec("echo again").stdout == b"again\n"
    finally:
        assert again.stop() == 0


def test_gateway_without_its_scribe_ends(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(debug=False)
    client = site.client(tmp_path / "c", gateway)
    with client.start(f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        os.kill(gateway.scribe, signal.SIGKILL)
        assert ssh.stderr is not None
        said = ssh.stderr.read()
        ssh.wait()
    assert ssh.returncode == 255
    assert b"the process that writes the tapes has ended" in said
    assert gateway.server.wait() == 1
    again = Gateway(gateway.folder)
    assert again.stop() == 0
    (tape,) = all_sessions(gateway.tapes)
    assert tape.closed
    assert tape.commands() == {1: b"echo up; cat"}
    assert tape.crossed(Kind.OUT) == b"up\n"
    assert again.row_when(tape.session, lambda row: row.state is State.RECOVERED).bytes_out == 3
