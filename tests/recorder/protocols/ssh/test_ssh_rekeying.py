"""New keys in the middle of everything: whoever begins, by volume and by time; and a peer that never finishes."""

import asyncio
import hashlib
import random
from pathlib import Path

import asyncssh
import pytest
from asyncssh.constants import MSG_KEXINIT
from asyncssh.packet import SSHPacket

from recorder.format.frame import Kind
from tests.servers.client import HOST, Client, run
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, TargetEntry
from tests.servers.site import Site
from tests.servers.sshd import Sshd, public
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_MIB = 1024 * 1024
_BYTES, _SECONDS = "asyncssh.connection:_DEFAULT_REKEY_BYTES", "asyncssh.connection:_DEFAULT_REKEY_SECONDS"
_STEADY = "for n in $(seq 45); do head -c 400000 /dev/zero; sleep 0.05; done"
_NEWKEYS = "SSH2_MSG_NEWKEYS received"


def _through_cat(client: Client, size: int, *options: str, user: str = "web1") -> tuple[bytes, bytes]:
    """Bytes sent through `cat` both ways at once, and what ssh said."""
    sent = random.Random(size).randbytes(size)
    done = client.ssh("-v", *options, f"{user}@{HOST}", "cat", stdin=sent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == sent
    return sent, done.stderr


def _assert_taped(tape: Taped, sent: bytes) -> None:
    digest = hashlib.sha256(sent).hexdigest()
    assert (tape.digest(Kind.IN), tape.digest(Kind.OUT)) == (digest, digest)


def test_gateway_begins_by_volume_towards_both(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    sshd = Sshd.start(tmp_path / "sshd", [site.install.upstream, public(site.key)], ["LogLevel DEBUG1"])
    try:
        gateway = new_gateway(TargetEntry("web-verbose", sshd.address, sshd.host_key), altered={_BYTES: 500_000})
        watch = gateway.watch()
        sent, said = _through_cat(site.client(tmp_path / "c", gateway), 5 * _MIB, user="web-verbose")
        assert said.count(_NEWKEYS.encode()) > 8
        assert len(sshd.server.found(_NEWKEYS)) > 8
        _assert_taped(watch.tape(), sent)
    finally:
        sshd.stop()


def test_gateway_begins_by_time(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        async with (
            client.connect() as connection,
            connection.create_process("stty raw -echo; printf R; cat", encoding=None, term_type="xterm") as process,
        ):
            assert await process.stdout.readexactly(1) == b"R"
            first = connection._session_id, connection._send_encryption
            for number in range(60):
                process.stdin.write(bytes((number,)))
                assert await process.stdout.readexactly(1) == bytes((number,))
                await asyncio.sleep(0.01)
            assert connection._session_id == first[0]
            assert connection._send_encryption is not first[1]

    gateway = new_gateway(altered={_SECONDS: 0.2})
    watch = gateway.watch()
    run(talk(site.client(tmp_path / "c", gateway)))
    assert watch.tape().crossed(Kind.IN) == bytes(range(60))


@pytest.mark.parametrize("limit", ["256K", pytest.param("default 1", marks=pytest.mark.long)])
def test_client_begins_by_volume_or_time(client: Client, gateway: Gateway, limit: str) -> None:
    watch = gateway.watch()
    if limit == "256K":
        sent, said = _through_cat(client, 4 * _MIB, "-o", f"RekeyLimit={limit}")
        _assert_taped(watch.tape(), sent)
        assert said.count(_NEWKEYS.encode()) > 12
    else:
        done = client.ssh("-v", "-o", f"RekeyLimit={limit}", f"web1@{HOST}", _STEADY)
        assert done.stdout == bytes(45 * 400_000)
        assert watch.tape().digest(Kind.OUT) == hashlib.sha256(done.stdout).hexdigest()


def test_all_three_begin(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(altered={_BYTES: 400_000})
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    sent, said = _through_cat(client, 5 * _MIB, "-o", "RekeyLimit=500K", user="web-rekeying")
    assert said.count(_NEWKEYS.encode()) > 10
    _assert_taped(watch.tape(), sent)


def _resident(pid: int) -> int:
    """MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    raise AssertionError(pid)


def _ignore(_handler: object, _kind: int, _id: int, _packet: SSHPacket) -> None:
    """Takes a packet and does nothing."""


def test_peer_that_begins_and_never_finishes_holds_little(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)

    async def talk() -> int:
        async with client.connect() as connection:
            process = await connection.create_process("cat /dev/zero", encoding=None, window=256 * _MIB)
            await process.stdout.readexactly(_MIB)
            before = _resident(gateway.pid)
            connection._packet_handlers = {**connection._packet_handlers, MSG_KEXINIT: _ignore}
            connection._send_kexinit()
            await asyncio.sleep(1)
            grown = _resident(gateway.pid) - before
            connection.abort()
            return grown

    watch = gateway.watch()
    assert run(talk()) < 24
    assert watch.tape().ended["reason"] == "the agent disconnected"


def test_keys_are_renewed_while_requests_cross(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(altered={_BYTES: 20_000})

    async def one(connection: asyncssh.SSHClientConnection, number: int) -> None:
        done = await connection.run(f"cat; head -c 3000 /dev/zero; exit {number}", input=bytes(2000), encoding=None)
        assert (done.exit_status, done.stdout) == (number, bytes(5000))

    async def talk() -> None:
        async with site.client(tmp_path / "c", gateway).connect(rekey_bytes=30_000) as connection:
            for start in range(0, 60, 10):
                await asyncio.gather(*(one(connection, start + number) for number in range(10)))

    watch = gateway.watch()
    run(talk())
    assert len(watch.tape().noted("exit")) == 60
