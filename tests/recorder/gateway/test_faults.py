"""Bad disks under a real gateway: no silent loss, clear words, other sessions unharmed."""

import errno
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.format import store
from recorder.format.frame import Kind
from recorder.format.spool import JOURNAL
from recorder.model import State
from replay.recording.verify import Report, verify
from tests.servers.client import HOST, Running, echo
from tests.servers.faults import Faults
from tests.servers.fixtures import NewGateway
from tests.servers.gateway import Gateway, refusal_to_start
from tests.servers.site import Site
from tests.servers.tapes import Taped, until

pytestmark = pytest.mark.service

_ANY = '[limits]\ndisk = { warn = "0%", refuse = "0%", end = "0%" }\n'
_MIB = 1024 * 1024


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    return Faults(tmp_path / "shim")


@pytest.fixture
def faulty(new_gateway: NewGateway, faults: Faults) -> Gateway:
    """A gateway whose disk obeys `faults`."""
    return new_gateway(environ=faults.environ, extra=_ANY)


def verified(gateway: Gateway, session: str) -> Report:
    return verify(store.segments(store.folder_of(gateway.tapes, session)))


def assert_complete(gateway: Gateway, session: str) -> Taped:
    report = verified(gateway, session)
    assert report.faults == (), report
    return Taped(gateway.tapes, session)


def test_a_sync_that_fails_is_followed_by_a_new_segment_and_the_session_goes_on(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    with client.start(f"web1@{HOST}", "cat") as ssh:
        stdin, stdout = ssh.stdin, ssh.stdout
        assert stdin is not None
        assert stdout is not None
        sent = hashlib.sha256()
        got = hashlib.sha256()

        def through(count: int) -> None:
            for _ in range(count):
                piece = os.urandom(64 * 1024)
                stdin.write(piece)
                stdin.flush()
                sent.update(piece)
                got.update(stdout.read(len(piece)))

        through(20)
        faults.fail("sync", "/0.tape")
        through(40)
        watch.log("it goes on in a new segment")
        faults.mend()
        through(20)
        stdin.close()
        assert ssh.wait(20) == 0
    (session,) = watch.begun()
    watch.ended(session)
    assert got.digest() == sent.digest()
    tape = assert_complete(faulty, session)
    assert len(tape.paths) > 1
    assert tape.digest(Kind.OUT) == got.hexdigest()
    assert tape.digest(Kind.IN) == sent.hexdigest()
    row = faulty.row_when(session, lambda row: row.state is State.CLOSED)
    assert row.segments == len(tape.paths)


def test_writes_that_are_short_are_made_whole(site: Site, faulty: Gateway, faults: Faults, tmp_path: Path) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    faults.shorten("/tapes/", 4097)
    done = client.exec("head -c 600000 /dev/urandom")
    assert done.returncode == 0
    (session,) = watch.begun()
    watch.ended(session)
    assert assert_complete(faulty, session).crossed(Kind.OUT) == done.stdout


def test_a_disk_that_is_full_ends_sessions_with_a_sentence_and_their_tapes_are_whole_once_there_is_room(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    with client.start(f"web1@{HOST}", "echo up; while head -c 65536 /dev/urandom; do sleep 0.01; done") as ssh:
        assert ssh.stdout is not None
        received = ssh.stdout.read(3 + 20 * 65536)
        faults.fail_all(("write", "open"), "/tapes/", errno.ENOSPC)
        rest, said = ssh.communicate(timeout=30)
        assert ssh.returncode == 255
    assert b"is full; make room" in said
    faults.mend()
    (session,) = watch.begun()
    watch.ended(session)
    tape = assert_complete(faulty, session)
    assert tape.crossed(Kind.OUT).startswith(received + rest)
    assert "is full" in str(tape.ended["reason"])
    assert client.exec("echo again").stdout == b"again\n"


def test_a_tape_that_can_be_written_nowhere_is_recovered_by_the_next_start(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    with client.start(f"web1@{HOST}", "echo up; read line; echo $line; sleep 60") as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        (session,) = watch.begun()
        faults.fail_all(("write", "sync", "open"), f"{session}/")
        ssh.stdin.write(b"more\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"more\n"
        _, said = ssh.communicate(timeout=30)
        assert b"cannot be recorded any more and ends: cannot write the tape in " in said
    assert "cannot write the tape" in watch.ended(session)
    faulty.row_when(session, lambda row: row.state is State.UNCLOSED)
    faults.mend()
    assert client.exec("echo others").stdout == b"others\n"
    assert faulty.stop() == 0
    again = Gateway(faulty.folder)
    try:
        row = again.row_when(session, lambda row: row.state is State.RECOVERED)
        assert row.bytes_out == len(b"up\nmore\n")
        tape = assert_complete(again, session)
        assert tape.crossed(Kind.OUT) == b"up\nmore\n"
        assert tape.crossed(Kind.IN) == b"more\n"
    finally:
        again.stop()


def echo_times(ssh: Running, count: int) -> list[float]:
    """Seconds of `count` lines there and back."""
    return [echo(ssh, b"%d\n" % number) for number in range(count)]


def test_a_tape_whose_syncs_take_a_second_slows_no_other_session(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    with client.start(f"web1@{HOST}", "cat") as slow, client.start(f"web1@{HOST}", "cat") as quick:
        echo_times(slow, 1)
        echo_times(quick, 1)
        first = watch.begun(2)[0]
        faults.delay("sync", f"{first}/", 1000)
        assert slow.stdin is not None
        assert slow.stdout is not None
        for _ in range(16):  # some chunks, so that the slow tape is synced
            slow.stdin.write(os.urandom(64 * 1024))
            slow.stdin.flush()
            slow.stdout.read(64 * 1024)
        assert max(echo_times(quick, 30)) < 0.5
        faults.mend()
        for ssh in (slow, quick):
            ssh.communicate(timeout=30)
    for session in watch.begun(2):
        watch.ended(session)
        assert_complete(faulty, session)


def test_a_journal_that_is_slow_to_sync_delays_a_command_and_no_more(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    faults.delay("sync", JOURNAL, 700)
    began = time.monotonic()
    assert client.exec("echo later").stdout == b"later\n"
    assert time.monotonic() - began >= 0.7  # the command reached the target only when it was on disk
    assert watch.tape().crossed(Kind.OUT) == b"later\n"


def test_a_journal_whose_sync_fails_leaves_the_syncs_to_the_tapes(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    faults.fail("sync", JOURNAL)
    assert client.exec("echo one").stdout == b"one\n"
    watch.log("each tape is synced by itself from now on")
    assert client.exec("echo two").stdout == b"two\n"
    for tape in watch.tapes(2):
        assert_complete(faulty, tape.session)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB of its own (root only)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root to mount it; the shim's test covers ENOSPC")
def test_a_small_disk_that_fills_up(site: Site, small_disk: Path, tmp_path: Path) -> None:
    gateway = site.start(small_disk / "gateway", extra=_ANY)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(8 * _MIB))
    try:
        client = site.client(tmp_path / "c", gateway)
        watch = gateway.watch()
        done = client.exec("echo up; head -c 60000000 /dev/urandom", limit=60)
        assert done.returncode == 255
        assert b"is full; make room" in done.stderr
        filler.unlink()
        (session,) = watch.begun()
        watch.ended(session)
        until(lambda: True if verified(gateway, session).state is State.CLOSED else None, "the end of the tape")
        assert assert_complete(gateway, session).crossed(Kind.OUT).startswith(done.stdout)
    finally:
        gateway.stop()
    gateway.assert_sound()


def test_a_disk_with_little_room_refuses_new_sessions_and_ends_those_that_run(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    gateway = new_gateway(extra='[limits]\ndisk = { warn = "0%", refuse = "100%", end = "0%" }\n')
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    refused = client.exec("echo no")
    assert refused.returncode == 255
    assert b"MiB left: make room" in refused.stderr
    watch.log("agent .* refused")


def test_a_disk_that_is_nearly_full_ends_the_sessions_in_good_order(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    gateway = new_gateway(extra=_ANY)
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"x\n")
        path = gateway.folder / "tachograph.toml"
        path.write_text(path.read_text().replace('end = "0%"', 'end = "100%"'))
        gateway.server.send(signal.SIGHUP)
        watch.log("MiB left: make room; every session is ended")
        assert ssh.wait(30) == 255
        assert ssh.stderr is not None
        assert b"the disk of the gateway is nearly full" in ssh.stderr.read()
    assert watch.tape().crossed(Kind.OUT) == b"x\n"


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_that_is_stepped_an_hour_disturbs_no_session(
    site: Site, faulty: Gateway, faults: Faults, tmp_path: Path, seconds: int
) -> None:
    client = site.client(tmp_path / "c", faulty)
    watch = faulty.watch()
    began = time.monotonic()
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"before\n")
        faults.step_clock(seconds)
        echo(ssh, b"after\n")
        ssh.communicate(timeout=30)
    (session,) = watch.begun()
    watch.ended(session)
    lasted = time.monotonic() - began
    tape = assert_complete(faulty, session)
    times = [frame.t for frame in tape.frames]
    assert times == sorted(times)
    assert times[-1] <= lasted * 1e6
    row = faulty.row_when(session, lambda row: row.ended)
    assert row.ended is not None
    assert 0 <= row.ended - row.started <= lasted * 1e9
    assert client.exec("echo next").stdout == b"next\n"


def test_a_data_folder_that_was_moved_away_refuses_new_sessions_and_keeps_the_old_ones(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    away = gateway.folder / "away"
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo_times(ssh, 1)
        (session,) = watch.begun()
        gateway.data.rename(away)
        watch.log("was moved away under the gateway")
        refused = client.exec("echo no")
        assert refused.returncode == 255
        assert b"was moved away under the gateway: put it back" in refused.stderr
        echo_times(ssh, 3)
        away.rename(gateway.data)
        watch.log("has room again")
        output, _ = ssh.communicate(b"end\n", timeout=30)
        assert (ssh.returncode, output) == (0, b"end\n")
    watch.ended(session)
    assert assert_complete(gateway, session).crossed(Kind.OUT).endswith(b"end\n")
    assert client.exec("echo yes").stdout == b"yes\n"


def test_two_gateways_do_not_share_a_data_folder(site: Site, gateway: Gateway) -> None:
    status, said = refusal_to_start(gateway.folder)
    assert status == 1
    assert f"another gateway (process {gateway.pid}) works on the data folder" in said
    assert said.count("\n") == 1
