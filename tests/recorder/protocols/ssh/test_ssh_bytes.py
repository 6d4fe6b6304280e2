"""Byte-exactness: what each end sent and saw is what the tape holds, in order, by channel and direction."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import asyncssh
import pytest

from recorder.format.frame import Kind
from tests.servers.client import HOST, Client, run
from tests.servers.gateway import Gateway

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
_LIMIT_S = 150.0


def _noise(size: int) -> bytes:
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed).randbytes(size)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _through_cat(client: Client, folder: Path, size: int, *options: str, user: str = "web1") -> tuple[str, bytes]:
    """Sends `size` random bytes through `cat`, to and from files; their digest, checked, and ssh's stderr."""
    sent, received = folder / "sent", folder / "received"
    sent.write_bytes(_noise(size))
    with sent.open("rb") as source, received.open("wb") as sink:
        done = subprocess.run(
            client.command("ssh", *options, f"{user}@{HOST}", "cat"),
            stdin=source,
            stdout=sink,
            stderr=subprocess.PIPE,
            env=client.env,
            timeout=_LIMIT_S,
        )
    assert done.returncode == 0, done.stderr
    digest = _digest_of(sent)
    assert _digest_of(received) == digest
    return digest, done.stderr


def test_64_mib_through_exec(client: Client, gateway: Gateway, tmp_path: Path) -> None:
    watch = gateway.watch()
    digest, _ = _through_cat(client, tmp_path, 64 * _MIB)
    tape = watch.tape()
    assert tape.digest(Kind.IN) == digest
    assert tape.digest(Kind.OUT) == digest
    assert (tape.ended["bytes_in"], tape.ended["bytes_out"]) == (64 * _MIB, 64 * _MIB)


def test_64_mib_through_a_raw_terminal(client: Client, gateway: Gateway) -> None:
    data = _noise(64 * _MIB)
    watch = gateway.watch()
    command = f"stty raw -echo; printf R; exec head -c {len(data)}"
    with client.start("-tt", "-e", "none", f"web1@{HOST}", command) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert os.read(ssh.stdout.fileno(), 1) == b"R"
        feeder = threading.Thread(target=ssh.stdin.write, args=(data,))
        feeder.start()
        received = hashlib.sha256()
        size = 0
        while size < len(data) and (piece := os.read(ssh.stdout.fileno(), _MIB)):
            received.update(piece)
            size += len(piece)
        feeder.join()
        _, stderr = ssh.communicate(timeout=_LIMIT_S)
        assert ssh.returncode == 0, stderr
    assert received.hexdigest() == _digest(data)
    tape = watch.tape()
    assert tape.digest(Kind.IN) == _digest(data)
    assert tape.crossed(Kind.OUT) == b"R" + data


def test_output_and_errors_at_once_in_bulk(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.exec("head -c 8388608 /dev/urandom & head -c 8388608 /dev/urandom >&2; wait")
    assert (len(done.stdout), len(done.stderr)) == (8 * _MIB, 8 * _MIB)
    tape = watch.tape()
    assert tape.digest(Kind.OUT) == _digest(done.stdout)
    assert tape.digest(Kind.ERR) == _digest(done.stderr)


def test_ten_thousand_small_writes_over_four_channels_at_once(client: Client, gateway: Gateway) -> None:
    data = _noise(400_000)

    async def write(process: asyncssh.SSHClientProcess[bytes], part: bytes, sizes: random.Random) -> None:
        position = 0
        for number in range(2500):
            end = len(part) if number == 2499 else min(position + sizes.randint(1, 40), len(part))
            process.stdin.write(part[position:end])
            position = end
            await process.stdin.drain()
        process.stdin.write_eof()

    async def channel(
        connection: asyncssh.SSHClientConnection, number: int
    ) -> tuple[str, bytes, bytes, asyncssh.SSHCompletedProcess]:
        part = data[number * 100_000 : (number + 1) * 100_000]
        command = f"cat; : {number}"
        async with connection.create_process(command, encoding=None) as process:
            sizes = random.Random(part[:8])
            _, received = await asyncio.gather(write(process, part, sizes), process.stdout.read())
            return command, part, received, await process.wait()

    async def all_channels() -> list[tuple[str, bytes, bytes, asyncssh.SSHCompletedProcess]]:
        async with client.connect() as connection:
            return await asyncio.gather(*(channel(connection, number) for number in range(4)))

    watch = gateway.watch()
    ends = run(all_channels(), _LIMIT_S)
    tape = watch.tape()
    streams = {command: stream for stream, command in tape.commands().items()}
    for command, sent, received, done in ends:
        assert done.exit_status == 0
        assert received == sent
        stream = streams[command.encode()]
        assert tape.crossed(Kind.IN, stream) == sent
        assert tape.crossed(Kind.OUT, stream) == received


@pytest.mark.parametrize("user", ["web1", "web-rekeying"])
def test_new_keys_during_a_transfer(client: Client, gateway: Gateway, tmp_path: Path, user: str) -> None:
    watch = gateway.watch()
    digest, said = _through_cat(client, tmp_path, 16 * _MIB, "-v", "-o", "RekeyLimit=1M", user=user)
    assert said.count(b"SSH2_MSG_NEWKEYS received") > 8
    tape = watch.tape()
    assert tape.digest(Kind.IN) == digest
    assert tape.digest(Kind.OUT) == digest


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr"])
def test_other_ciphers(client: Client, gateway: Gateway, tmp_path: Path, cipher: str) -> None:
    watch = gateway.watch()
    digest, _ = _through_cat(client, tmp_path, 2 * _MIB, "-c", cipher)
    tape = watch.tape()
    assert tape.digest(Kind.IN) == digest
    assert tape.digest(Kind.OUT) == digest


def test_cipher_that_the_gateway_does_not_offer_is_named_by_the_client(client: Client, gateway: Gateway) -> None:
    watch = gateway.watch()
    done = client.ssh("-c", "chacha20-poly1305@openssh.com", f"web1@{HOST}", "true")
    assert done.returncode == 255
    assert b"no matching cipher found. Their offer: aes128-gcm@openssh.com" in done.stderr
    watch.log(r"agent 127\.0\.0\.1:\d+ did not authenticate: ")


def test_echo_on_one_channel_while_another_is_full(client: Client, gateway: Gateway) -> None:
    async def echoes() -> list[float]:
        loop = asyncio.get_running_loop()
        async with (
            client.connect() as connection,
            connection.create_process("cat /dev/zero", encoding=None) as bulk,
            connection.create_process("stty raw -echo; printf R; cat", encoding=None, term_type="xterm") as echo,
        ):
            pouring = asyncio.create_task(_pour(bulk))
            assert await echo.stdout.readexactly(1) == b"R"
            times: list[float] = []
            for number in range(40):
                begun = loop.time()
                echo.stdin.write(bytes((number,)))
                assert await echo.stdout.readexactly(1) == bytes((number,))
                times.append(loop.time() - begun)
            assert not pouring.done()
            bulk.close()
            echo.close()
            assert await pouring > _MIB
            return times

    watch = gateway.watch()
    times = run(echoes(), _LIMIT_S)
    watch.tape()
    assert sorted(times)[len(times) // 2] < 1.0


async def _pour(process: asyncssh.SSHClientProcess[bytes]) -> int:
    size = 0
    while piece := await process.stdout.read(_MIB):
        size += len(piece)
    return size
