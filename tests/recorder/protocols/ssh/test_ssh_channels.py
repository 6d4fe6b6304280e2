"""Requests on channels: terminals and their sizes, signals, breaks, environment, subsystems, many channels at once."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
import threading
from pathlib import Path
from typing import IO

import asyncssh
import pytest

from recorder.catalogue.sqlite import Catalogue
from recorder.format.frame import Kind
from recorder.model import Source, State
from tests.servers import asyncssh_target
from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, Watch
from tests.servers.process import ServerError
from tests.servers.site import AGENT, Site

pytestmark = pytest.mark.service


def test_sizes_of_a_terminal(client: Client, gateway: Gateway) -> None:
    sizes = [(132, 43, 0, 0), (0, 0, 0, 0), (10_000, 10_000, 7, 9), (65_535, 1, 0, 0), (80, 24, 640, 480)]
    modes = {asyncssh.PTY_ECHO: 0, asyncssh.PTY_OP_OSPEED: 9600}

    async def talk() -> list[tuple[int, int]]:
        command = "while stty size; do read -r line || exit 0; done"
        async with client.connect() as connection:
            process = await connection.create_process(
                command, encoding=None, term_type="xterm-256color", term_size=(100, 30, 800, 600), term_modes=modes
            )
            seen = [await _size(process)]
            for size in sizes:
                process.change_terminal_size(*size)
                process.stdin.write(b"\n")
                seen.append(await _size(process))
            process.stdin.write(b"\x04")
            await process.wait()
            return seen

    watch = gateway.watch()
    assert run(talk()) == [(100, 30), *((columns, rows) for columns, rows, _, _ in sizes)]
    tape = watch.tape()
    (begun,) = tape.noted("pty")
    encoded = b"".join(bytes((mode,)) + value.to_bytes(4, "big") for mode, value in modes.items()) + b"\0"
    assert begun == {
        "term": "xterm-256color", "columns": 100, "rows": 30, "width": 800, "height": 600, "modes": encoded
    }  # fmt: skip
    noted = [tuple(facts[key] for key in ("columns", "rows", "width", "height")) for facts in tape.noted("resize")]
    assert noted == sizes


async def _size(process: asyncssh.SSHClientProcess[bytes]) -> tuple[int, int]:
    rows, columns = (await process.stdout.readline()).split()
    return int(columns), int(rows)


def test_resize_of_the_terminal_that_ssh_runs_in(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    ours, theirs = pty.openpty()
    try:
        _resize(theirs, 90, 20)
        command = "stty size; trap 'stty size' WINCH; echo up; while sleep 0.05; do :; done"
        with client.start("-tt", f"web1@{HOST}", command, stdin=theirs) as ssh:
            assert ssh.stdout is not None
            assert [ssh.stdout.readline(), ssh.stdout.readline()] == [b"20 90\r\n", b"up\r\n"]
            _resize(theirs, 91, 21)
            ssh.send_signal(signal.SIGWINCH)
            assert ssh.stdout.readline() == b"21 91\r\n"
            ssh.terminate()
            ssh.communicate()
        assert watch.tape().noted("resize")[0] == {"columns": 91, "rows": 21, "width": 0, "height": 0}
    finally:
        os.close(ours)
        os.close(theirs)


def _resize(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_signals_and_breaks_reach_the_target(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    made: list[asyncssh_target.Session] = []

    def session() -> asyncssh_target.Session:
        made.append(asyncssh_target.Session())
        return made[-1]

    async def talk() -> Watch:
        async with asyncssh_target.target(session) as entry:
            gateway = new_gateway(entry)
            watch = gateway.watch()
            client = site.client(tmp_path / "c", gateway, entry.name)
            async with (
                client.connect() as connection,
                connection.create_process("x", encoding=None, term_type="vt100") as process,
            ):
                for name in ("INT", "TERM", "USR1"):
                    process.send_signal(name)
                    assert await process.stdout.readline() == f"signal {name}\n".encode()
                process.send_break(250)
                process.stdin.write_eof()
                assert (await process.wait()).exit_status == 0
            return watch

    watch = run(talk())
    assert made[0].seen == ["INT", "TERM", "USR1", 250]
    tape = watch.tape()
    assert tape.noted("signal") == [{"signal": name} for name in ("INT", "TERM", "USR1")]
    assert tape.noted("break") == [{"milliseconds": 250}]


def test_break_of_the_client_s_escape_reaches_the_target(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    made: list[asyncssh_target.Session] = []

    def session() -> asyncssh_target.Session:
        made.append(asyncssh_target.Session())
        return made[-1]

    async def talk() -> Watch:
        async with asyncssh_target.target(session) as entry:
            gateway = new_gateway(entry)
            watch = gateway.watch()
            client = site.client(tmp_path / "c", gateway)
            with client.start("-tt", f"{entry.name}@{HOST}", "x") as ssh:
                await asyncio.to_thread(ssh.communicate, b"\r~B")
            assert ssh.returncode == 0
            return watch

    watch = run(talk())
    assert made[0].seen == [1000]
    assert watch.tape().noted("break") == [{"milliseconds": 1000}]


def test_what_the_agent_says_of_itself(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh(
        "-o", "SetEnv=TACHO_RUN=run-7 TACHO_REQUEST=https://r.example/1 TACHO_FOR=ana TEST_X=y LANG=C.UTF-8",
        f"web1@{HOST}", "echo $TACHO_RUN $TEST_X [$LANG]",
    )  # fmt: skip
    assert done.stdout == b"run-7 y []\n"
    tape = watch.tape()
    assert tape.noted("asserted", 1) == [
        {"run": "run-7"}, {"request": "https://r.example/1"}, {"on_behalf_of": "ana"}
    ]  # fmt: skip
    assert {"variable": "TEST_X", "value": "y"} in tape.noted("env", 1)
    row = gateway.row_when(tape.session, lambda row: row.state is State.CLOSED)
    who = row.attribution
    assert (who.run, who.request, who.on_behalf_of) == ("run-7", "https://r.example/1", "ana")
    assert {who.sources[name] for name in ("run", "request", "on_behalf_of")} == {Source.ASSERTED}


def test_the_first_run_names_the_session_and_each_is_found(client: Client, gateway: Gateway) -> None:
    async def talk() -> None:
        async with client.connect() as connection:
            for name in ("run-a", "run-b"):
                await connection.run("true", env={"TACHO_RUN": name}, encoding=None)

    watch = gateway.watch()
    run(talk())
    tape = watch.tape()
    assert [tape.noted("asserted", stream) for stream in (1, 2)] == [[{"run": "run-a"}], [{"run": "run-b"}]]
    row = gateway.row_when(tape.session, lambda row: row.state is State.CLOSED)
    assert row.attribution.run == "run-a"
    catalogue = Catalogue(gateway.data / "catalogue.db")
    assert [found.id for name in ("run-a", "run-b") for found in catalogue.of_run(name)] == [tape.session] * 2
    catalogue.close()


@pytest.mark.parametrize("value", [b"\xff\xfe", b"\xed\xa0\x80", b"", b"r" * 30_000])
def test_what_the_agent_says_of_itself_may_be_no_text(client: Client, gateway: Gateway, value: bytes) -> None:
    async def talk() -> None:
        async with client.connect() as connection:
            await connection.run("true", env={b"TACHO_RUN": value, b"TEST_X": value}, encoding=None)

    watch = gateway.watch()
    run(talk())
    tape = watch.tape()
    assert len(tape.noted("asserted", 1)) == 1
    row = gateway.row_when(tape.session, lambda row: row.state is State.CLOSED)
    assert row.attribution.agent == AGENT


def test_channels_of_one_connection_are_streams_of_one_session(client: Client, gateway: Gateway) -> None:
    async def talk() -> list[object]:
        async with client.connect() as connection:
            commands = (f"echo {number}; cat" for number in range(20))
            dones = await asyncio.gather(*(connection.run(command, input=b"in", encoding=None) for command in commands))
            return [done.stdout for done in dones]

    watch = gateway.watch()
    assert run(talk()) == [b"%d\nin" % number for number in range(20)]
    tape = watch.tape()
    for stream, command in tape.commands().items():
        number = int(command.split()[1].rstrip(b";"))
        assert tape.crossed(Kind.OUT, stream) == b"%d\nin" % number
        assert tape.noted("exit", stream) == [{"status": 0}]
    assert sorted(tape.commands()) == list(range(1, 21))


def test_refusal_of_a_channel_by_the_target_is_passed_on(site: Site, gateway: Gateway, tmp_path: Path) -> None:
    async def refusal(client: Client) -> tuple[int, str]:
        async with client.connect() as connection:
            processes = [await connection.create_process("cat", encoding=None) for _ in range(3)]
            with pytest.raises(asyncssh.ChannelOpenError) as refused:
                await connection.create_process("cat", encoding=None)
            for process in processes:
                process.stdin.write_eof()
                assert (await process.wait()).exit_status == 0
            return refused.value.code, refused.value.reason

    watch = gateway.watch()
    through = run(refusal(site.client(tmp_path / "c", gateway, "web-rekeying")))
    assert through == run(refusal(site.direct(tmp_path / "d", site.rekeying)))
    assert watch.tape().noted("channel-failed") == [{"code": through[0], "reason": through[1]}]


def test_unknown_subsystem_fails_as_it_does_directly(client: Client, direct: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    through = client.ssh("-s", f"web1@{HOST}", "nosuch")
    straight = direct.ssh("-s", f"{direct.user}@{HOST}", "nosuch")
    assert (through.returncode, through.stderr) == (straight.returncode, straight.stderr)
    assert b"subsystem request failed" in through.stderr
    tape = watch.tape()
    assert tape.noted("subsystem") == [{"subsystem": b"nosuch"}]
    assert tape.noted("answer") == [{"request": "subsystem", "ok": False}]


@pytest.mark.long
@pytest.mark.parametrize("command", ["cat /dev/zero", "sleep 60"])
def test_target_that_asks_is_answered_while_an_end_does_not_read(
    site: Site, client: Client, gateway: Gateway, command: str
) -> None:
    # It asks every second whether somebody is there, and gives up after two questions without an answer.
    watch, mark = gateway.watch(), site.rekeying.server.mark()
    with client.start(f"web-rekeying@{HOST}", command) as ssh:
        assert ssh.stdin is not None
        feeder = threading.Thread(target=_feed, args=(ssh.stdin, bytes(16 * 1024 * 1024)))
        feeder.start()
        with pytest.raises(ServerError):
            site.rekeying.server.line("Timeout, client not responding", mark, limit=8)
        ssh.kill()
        feeder.join()
        ssh.communicate()
    assert watch.tape().noted("request").count({"request": "keepalive@openssh.com", "side": "out"}) > 3


def _feed(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.write(data)


class _Asking(asyncssh_target.Session):
    """Asks whether the agent is there before it answers the agent's own request."""

    def exec_requested(self, command: str) -> bool:
        channel = self.channel
        assert channel is not None
        channel._request_waiters.append(asyncio.get_running_loop().create_future())
        channel._send_request(b"question@test.example", want_reply=True)
        return True


def test_requests_that_cross_do_not_wait_for_each_other(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    async def talk() -> int | None:
        async with asyncssh_target.target(_Asking) as entry:
            client = site.client(tmp_path / "c", new_gateway(entry), entry.name)
            async with client.connect() as connection:
                done = await connection.run("x", input=b"x", encoding=None)
                return done.exit_status

    assert run(talk(), 20) == 0
