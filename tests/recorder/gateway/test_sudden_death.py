"""`kill -9` at random moments: every byte that either end received is on the recovered session, which verifies."""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from recorder.format import store
from recorder.format.frame import Kind
from recorder.model import State
from replay.recording.verify import verify
from tests.servers.client import HOST, Client
from tests.servers.gateway import Gateway
from tests.servers.site import Site
from tests.servers.tapes import Taped, all_sessions

pytestmark = pytest.mark.service

_KILLS = 10  # of one test; five of them make fifty
_LIMIT_S = 30


@dataclass
class Transfer:
    """A client's command through the gateway: what it received, and the file of what the target did."""

    marker: str
    client: "subprocess.Popen[bytes]"
    target_file: Path
    received: bytearray = field(default_factory=bytearray)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, sent: random.Random, *, typed: bool) -> None:
        """Reads and writes in threads until the other end is gone."""
        self.threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._write, args=(sent, typed), daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _read(self) -> None:
        assert self.client.stdout is not None
        while piece := os.read(self.client.stdout.fileno(), 1 << 16):
            self.received += piece

    def _write(self, sent: random.Random, typed: bool) -> None:
        assert self.client.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while self.client.poll() is None:
                piece = b"%d typed\n" % sent.randrange(10**9) if typed else sent.randbytes(sent.randrange(1, 60_000))
                os.write(self.client.stdin.fileno(), piece)
                time.sleep(sent.random() * 0.004)

    def end(self) -> None:
        self.client.wait(_LIMIT_S)
        for thread in self.threads:
            thread.join(_LIMIT_S)
            assert not thread.is_alive()
        for pipe in (self.client.stdin, self.client.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def transfers(client: Client, folder: Path, number: int, seed: random.Random) -> list[Transfer]:
    """A download, an upload, and a terminal."""
    made: list[Transfer] = []
    forms = (
        ("down", (), "head -c 40000000 /dev/urandom"),
        ("up", (), "exec cat > {file}"),
        ("pty", ("-tt",), "exec tee {file}"),
    )
    for name, options, command in forms:
        marker = f"{name}-{number}-{seed.randrange(10**9)}"
        file = folder / marker
        arguments = client.command("ssh", *options, f"web1@{HOST}", f": {marker}; {command.format(file=file)}")
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            arguments, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0, env=client.env
        )
        transfer = Transfer(marker, process, file)
        transfer.begin(random.Random(seed.random()), typed=name == "pty")
        made.append(transfer)
    return made


def settled(file: Path) -> bytes:
    """The target's file once nobody writes it any more."""
    limit = time.monotonic() + _LIMIT_S
    while _is_open(file):
        assert time.monotonic() < limit, file
        time.sleep(0.01)
    return file.read_bytes() if file.exists() else b""


def _is_open(file: Path) -> bool:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if link.readlink() == file:
                return True
    return False


def _kills(site: Site, tmp_path: Path, first: int, count: int) -> None:
    folder = site.prepare(tmp_path / "gateway")
    done: list[Transfer] = []
    for number in range(first, first + count):
        print(f"seed {number}")  # noqa: T201 - shown when it fails, so that it can be repeated
        seed = random.Random(number)
        gateway = Gateway(folder, debug=False)
        client = site.client(tmp_path / f"c{number}", gateway)
        running = transfers(client, tmp_path, number, seed)
        # From before the first session begins until they are all in full course.
        time.sleep(seed.uniform(0.05, 1.0))
        victims = [gateway.pid]
        if seed.random() < 0.5:
            victims.insert(seed.randrange(2), gateway.scribe)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        assert gateway.server.wait() == -signal.SIGKILL
        for transfer in running:
            transfer.end()
        done += running
    last = Gateway(folder, debug=False)
    assert last.stop() == 0
    last.assert_sound()
    tapes = {_marker(tape): tape for tape in all_sessions(folder / "var/tapes")}
    for transfer in done:
        tape = tapes.get(transfer.marker)
        at_target = settled(transfer.target_file)
        if tape is None:
            assert not transfer.received, transfer.marker
            assert not at_target, transfer.marker
            continue
        assert tape.crossed(Kind.OUT).startswith(transfer.received), transfer.marker
        assert tape.crossed(Kind.IN).startswith(at_target), transfer.marker
    for tape in tapes.values():
        report = verify(store.segments(store.folder_of(folder / "var/tapes", tape.session)))
        assert report.faults == (), report
        row = last.row(tape.session)
        assert row is not None
        assert row.state in (State.RECOVERED, State.CLOSED)
        assert row.bytes_out == len(tape.crossed(Kind.OUT)) + len(tape.crossed(Kind.ERR))
    assert sum(len(transfer.received) for transfer in done) > 0


def _marker(tape: Taped) -> str:
    for command in tape.commands().values():
        return command.decode().split(";")[0].removeprefix(": ")
    return tape.session  # killed before it asked for anything


@pytest.mark.parametrize("first", range(0, 50, _KILLS))
def test_a_gateway_that_is_killed_loses_no_byte_that_either_end_received(
    site: Site, tmp_path: Path, first: int
) -> None:
    _kills(site, tmp_path, first, _KILLS)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_a_thousand_kills(site: Site, tmp_path: Path, first: int) -> None:
    _kills(site, tmp_path, first, 50)
