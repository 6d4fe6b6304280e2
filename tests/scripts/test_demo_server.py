"""The demo's embedded SSH server: what a client sees of shells, commands, terminals and files."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/demo.d"))

from tour.server import Account, Server

pytestmark = pytest.mark.service

Talk = Callable[[asyncssh.SSHClientConnection], Awaitable[None]]
_KEY = asyncssh.generate_private_key("ssh-ed25519")


@asynccontextmanager
async def _connected(home: Path, key: asyncssh.SSHKey = _KEY) -> AsyncIterator[asyncssh.SSHClientConnection]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "HISTFILE": ""}
    server = Server(Account("someone", _KEY.export_public_key().decode(), home, environment))
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    port = await server.start(host_key.export_private_key())
    try:
        async with asyncssh.connect(
            "127.0.0.1",
            port,
            config=[],
            username="someone",
            client_keys=[key],
            known_hosts=([host_key.convert_to_public()], [], []),
            agent_path=None,
        ) as connection:
            yield connection
    finally:
        await server.close()


def _talk(home: Path, talk: Talk) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), _connected(home) as connection:
            await talk(connection)

    asyncio.run(run())


def test_exit_status_and_both_outputs_come_back(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        done = await connection.run('pwd; echo "$TACHO_RUN-$SECRET"; echo no >&2; exit 3', env={"TACHO_RUN": "r1"})
        assert (done.stdout, done.stderr, done.exit_status) == (f"{tmp_path}\nr1-\n", "no\n", 3)
        assert (await connection.run("true")).exit_status == 0

    _talk(tmp_path, talk)


def test_environment_outside_the_accepted_names_is_dropped(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        done = await connection.run('echo "$LC_TEST-$SECRET"', env={"LC_TEST": "x", "SECRET": "y"})
        assert done.stdout == "x-\n"

    _talk(tmp_path, talk)


def test_death_by_a_signal_is_reported_as_one(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        done = await connection.run("kill -TERM $$")
        assert done.exit_signal is not None
        assert done.exit_signal[0] == "TERM"

    _talk(tmp_path, talk)


def test_input_reaches_a_command_until_its_end(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        text = "0123456789abcdef" * 20_000
        done = await connection.run("cat", input=text)
        assert done.stdout == text

    _talk(tmp_path, talk)


async def _until(process: "asyncssh.SSHClientProcess[str]", text: str) -> str:
    seen = ""
    while text not in seen:
        data = await process.stdout.read(4096)
        assert data, f"the terminal ended before {text!r}: {seen!r}"
        seen += data
    return seen


def test_terminal_has_its_size_and_follows_a_resize(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        process = await connection.create_process(term_type="xterm", term_size=(100, 30))
        process.stdin.write("stty size; tty; echo first done\n")
        assert "30 100\r\n" in await _until(process, "\nfirst done")
        process.change_terminal_size(120, 34)
        process.stdin.write("stty size; echo second done\n")
        assert "34 120\r\n" in await _until(process, "\nsecond done")
        process.stdin.write("exit 7\n")
        await process.wait_closed()
        assert process.exit_status == 7

    _talk(tmp_path, talk)


def test_ctrl_c_ends_the_program_in_front_and_not_the_shell(tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background would ignore it
    (tmp_path / ".profile").write_text("PS1='ready> '\n")

    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        process = await connection.create_process(term_type="dumb", term_size=(80, 24))
        process.stdin.write("sh -c 'echo started; exec sleep 60'\n")
        await _until(process, "\nstarted")
        process.stdin.write("\x03")
        await _until(process, "ready> ")
        process.stdin.write("echo still here $?\n")
        await _until(process, "still here 130")
        process.stdin.write("exit\n")
        await process.wait_closed()

    _talk(tmp_path, talk)


def test_large_output_of_a_terminal_arrives_whole(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        done = await connection.run("seq 1 60000", term_type="dumb")
        assert str(done.stdout).split() == [str(number) for number in range(1, 60001)]

    _talk(tmp_path, talk)


def test_files_are_copied_from_and_to_the_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "there.txt").write_text("theirs")
    (tmp_path / "here.txt").write_text("ours")

    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        async with connection.start_sftp_client() as sftp:
            await sftp.get("there.txt", str(tmp_path / "got.txt"))
            await sftp.put(str(tmp_path / "here.txt"), "put.txt")
            await sftp.rename("put.txt", str(home / "renamed.txt"))
            assert await sftp.getcwd() == str(home)

    _talk(home, talk)
    assert (tmp_path / "got.txt").read_text() == "theirs"
    assert (home / "renamed.txt").read_text() == "ours"


def test_forwarding_another_key_and_other_subsystems_are_refused(tmp_path: Path) -> None:
    async def talk(connection: asyncssh.SSHClientConnection) -> None:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 9)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 9)
        process = await connection.create_process(subsystem="netconf")
        await process.wait_closed()
        assert process.exit_status == 1

    async def stranger() -> None:
        async with _connected(tmp_path, asyncssh.generate_private_key("ssh-ed25519")):
            pass

    _talk(tmp_path, talk)
    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(stranger())


def test_what_a_lost_client_left_running_is_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    async def run() -> None:
        async with _connected(tmp_path) as connection:
            for term in ("xterm", None):
                process = await connection.create_process(f"echo $$ >{pid_file}; exec sleep 60", term_type=term)
                while not (pid_file.exists() and pid_file.read_text().strip()):
                    await asyncio.sleep(0.01)
                process.close()
                await _gone(int(pid_file.read_text()))
                pid_file.unlink()
            await connection.create_process(f"echo $$ >{pid_file}; exec sleep 60")
            while not (pid_file.exists() and pid_file.read_text().strip()):
                await asyncio.sleep(0.01)
            connection.abort()
            await _gone(int(pid_file.read_text()))

    async def _gone(pid: int) -> None:
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await run()

    asyncio.run(bounded())
