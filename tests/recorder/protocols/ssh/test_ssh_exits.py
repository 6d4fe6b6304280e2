"""How commands end: statuses, signals, streams, half-close; each as it is without the gateway."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from recorder.format.frame import Kind
from tests.servers.client import HOST, Client, run
from tests.servers.gateway import Gateway

pytestmark = pytest.mark.service

_AT_ONCE = 8  # below sshd's MaxSessions


def test_every_exit_status(client: Client, gateway: Gateway) -> None:
    async def statuses() -> list[int | None]:
        turns = asyncio.Semaphore(_AT_ONCE)
        async with client.connect() as connection:

            async def status(number: int) -> int | None:
                async with turns:
                    return (await connection.run(f"exec sh -c 'exit {number}'", encoding=None)).exit_status

            return await asyncio.gather(*(status(number) for number in range(256)))

    watch = gateway.watch()
    assert run(statuses()) == list(range(256))
    tape = watch.tape()
    exits = {command: tape.noted("exit", stream) for stream, command in tape.commands().items()}
    assert exits == {f"exec sh -c 'exit {number}'".encode(): [{"status": number}] for number in range(256)}


def test_ssh_itself_ends_with_the_status(client: Client, direct: Client) -> None:
    assert client.exec("exit 255").returncode == direct.ssh(f"{direct.user}@{HOST}", "exit 255").returncode == 255
    assert client.exec("exit 42").returncode == 42


@pytest.mark.parametrize("name", ["TERM", "KILL", "HUP", "USR1", "ABRT", "SEGV", "PIPE"])
def test_exit_by_signal_is_passed_on_as_it_came(client: Client, direct: Client, gateway: Gateway, name: str) -> None:
    async def ending(of: Client) -> tuple[int | None, object]:
        async with of.connect() as connection:
            done = await connection.run(f"ulimit -c 0; kill -{name} $$; sleep 60", encoding=None)
            return done.exit_status, done.exit_signal

    watch = gateway.watch()
    through, straight = run(ending(client)), run(ending(direct))
    assert through == straight
    signal = through[1]
    assert isinstance(signal, tuple)
    assert signal[0] == name
    assert watch.tape().noted("exit") == [{"signal": name, "core": signal[1], "message": signal[2]}]


@pytest.mark.parametrize("data", [b"", b"\n", b"no newline", b"\0", b"\r\n\xff\xfe\x1b[31m"])
def test_output_as_it_is(client: Client, gateway: Gateway, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    watch = gateway.watch()
    done = client.exec(f"cat {tmp_path}/data")
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    tape = watch.tape()
    assert tape.crossed(Kind.OUT) == data
    assert tape.crossed(Kind.IN) == b""


def test_command_of_100_kib(client: Client, gateway: Gateway) -> None:
    command = f"printf ok; : {'x' * 102_400}"
    watch = gateway.watch()
    done = client.exec(command)
    assert (done.returncode, done.stdout) == (0, b"ok")
    assert watch.tape().commands() == {1: command.encode()}


@pytest.mark.parametrize("command", [b"printf %s '\xff\xfe\x80'", b"printf %s '\xed\xa0\x80\xc0\xaf'", b" "])
def test_commands_that_are_no_text(client: Client, direct: Client, gateway: Gateway, command: bytes) -> None:
    async def outcome(of: Client) -> tuple[int | None, object]:
        async with of.connect() as connection:
            ending = _Ending()
            channel, _ = await connection.create_session(lambda: ending, command, encoding=None)  # type: ignore[arg-type] # bytes do
            await channel.wait_closed()
            return channel.get_exit_status(), bytes(ending.output)

    watch = gateway.watch()
    through = run(outcome(client))
    assert through == run(outcome(direct))
    assert watch.tape().commands() == {1: command}


class _Ending(asyncssh.SSHClientSession[bytes]):
    def __init__(self) -> None:
        self.output = bytearray()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.output += data


def test_errors_apart_from_output(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.exec("printf out; printf err >&2")
    assert (done.stdout, done.stderr) == (b"out", b"err")
    tape = watch.tape()
    assert tape.crossed(Kind.OUT) == b"out"
    assert tape.crossed(Kind.ERR) == b"err"


def test_end_of_input_while_output_goes_on(client: Client, gateway: Gateway) -> None:
    data = b"".join(b"%d\n" % (number * 7919 % 50_021) for number in range(50_000))
    watch = gateway.watch()
    done = client.exec("LC_ALL=C sort", stdin=data)
    assert done.stdout == b"".join(sorted(data.splitlines(keepends=True)))
    tape = watch.tape()
    assert tape.crossed(Kind.IN) == data
    assert tape.crossed(Kind.OUT) == done.stdout
    assert {"side": "in"} in tape.noted("eof")


def test_end_of_output_while_input_goes_on(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    async def talk() -> int | None:
        async with (
            client.connect() as connection,
            connection.create_process(f"exec >&- 2>&-; cat > {tmp_path}/late; exit 4", encoding=None) as process,
        ):
            assert await process.stdout.read() == b""
            process.stdin.write(b"late " * 10_000)
            process.stdin.write_eof()
            return (await process.wait()).exit_status

    watch = gateway.watch()
    assert run(talk()) == 4
    assert (tmp_path / "late").read_bytes() == b"late " * 10_000
    tape = watch.tape()
    assert tape.crossed(Kind.IN) == b"late " * 10_000
    assert [facts["side"] for facts in tape.noted("eof")] == ["out", "in"]


def test_target_that_ends_without_reading(client: Client, direct: Client) -> None:
    data = bytes(4 * 1024 * 1024)
    assert client.exec("exit 6", stdin=data).returncode == direct.exec("exit 6", stdin=data).returncode == 6


def test_agent_that_closes_its_channel_ends_the_command(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    async def talk() -> None:
        async with client.connect() as connection:
            process = await connection.create_process(
                f"trap 'echo > {tmp_path}/hup; exit' HUP; echo up; while sleep 0.05; do :; done",
                encoding=None,
                term_type="xterm",
            )
            assert await process.stdout.readline() == b"up\r\n"
            process.channel.close()
            await process.wait_closed()
            done = await connection.run("echo again", encoding=None)
            assert done.stdout == b"again\n"

    watch = gateway.watch()
    run(talk())
    assert {"side": "in"} in watch.tape().noted("close", 1)


@pytest.mark.parametrize("through", [True, False], ids=["gateway", "direct"])
def test_status_that_comes_after_the_agent_closed(
    client: Client, direct: Client, gateway: Gateway, short_path: Path, through: bool
) -> None:
    # A shared connection of ssh's closes a channel once both directions have ended; the status comes after that.
    of, command = client if through else direct, "exec >&- 2>&-; sleep 0.3; exit 7"
    shared = ("-S", str(short_path / "s"), f"{of.user}@{HOST}")
    watch = gateway.watch()
    with of.start("-M", *shared, "echo up; cat") as master:
        assert master.stdout is not None
        assert master.stdout.readline() == b"up\n"
        assert of.ssh(*shared, command).returncode == 7
        master.communicate()
    if through:
        tape = watch.tape()
        assert [tape.noted(name, 2) for name in ("exit", "close")] == [[{"status": 7}], [{"side": "in"}]]


def test_agent_that_closes_amid_output_is_heard_at_once(client: Client, gateway: Gateway) -> None:
    async def talk() -> float:
        loop = asyncio.get_running_loop()
        async with client.connect() as connection:
            process = await connection.create_process("cat /dev/zero", encoding=None)
            assert await process.stdout.readexactly(3) == bytes(3)
            begun = loop.time()
            process.close()
            await process.wait_closed()
            return loop.time() - begun

    watch = gateway.watch()
    assert run(talk()) < 5
    assert watch.tape().noted("close") == [{"side": "in"}]
