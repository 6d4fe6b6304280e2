"""What strict, durable and best-effort promise of the disk before bytes go on, seen from both ends of a session."""

import errno
import time
from pathlib import Path

import pytest

from recorder.format import store
from recorder.format.frame import Kind
from recorder.format.spool import JOURNAL
from recorder.model import State
from replay.recording import Recording
from replay.recording.verify import verify
from tests.servers.client import HOST, echo
from tests.servers.faults import Faults
from tests.servers.fixtures import NewGateway
from tests.servers.site import Site
from tests.servers.tapes import Taped, until

pytestmark = pytest.mark.service


def _mode(mode: str) -> str:
    return f'[record]\nmode = "{mode}"\n'


def test_durable_holds_every_request_until_it_is_on_disk(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    faults = Faults(tmp_path / "shim")
    gateway = new_gateway(environ=faults.environ, extra=_mode("durable"))
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"first\n")
        faults.delay("sync", JOURNAL, 600)
        assert echo(ssh, b"second\n") >= 0.6
        faults.mend()
        output, _ = ssh.communicate(b"third\n" * 20_000, timeout=60)
        assert (ssh.returncode, output) == (0, b"third\n" * 20_000)
    tape = watch.tape()
    assert tape.crossed(Kind.IN) == b"first\nsecond\n" + b"third\n" * 20_000
    assert tape.crossed(Kind.OUT) == tape.crossed(Kind.IN)


def test_durable_carries_terminals_and_file_transfers(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway(extra=_mode("durable"))
    client = site.client(tmp_path / "c", gateway)
    sent = tmp_path / "sent"
    sent.write_bytes(bytes(range(256)) * 8000)
    done = client.run(client.command("scp", str(sent), f"web1@{HOST}:{tmp_path / 'got'}"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == sent.read_bytes()
    done = client.ssh("-tt", f"web1@{HOST}", "stty size; exec head -n 2", stdin=b"a\nb\n")
    assert done.returncode == 0
    assert done.stdout.endswith(b"a\r\nb\r\n")


def test_strict_lets_bytes_pass_while_a_sync_takes_long_but_not_beyond_250_ms(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "shim")
    gateway = new_gateway(environ=faults.environ)
    client = site.client(tmp_path / "c", gateway)
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"x\n")
        faults.delay("sync", "/", 1500)
        times = []
        began = time.monotonic()
        while time.monotonic() - began < 1.2:
            times.append(echo(ssh, b"x\n"))
            time.sleep(0.005)
        assert times[0] < 0.25  # nothing is unsynced yet
        assert max(times) > 0.5  # what would be older than 250 ms waits
        faults.mend()
        ssh.communicate(timeout=60)
        assert ssh.returncode == 0


def test_best_effort_goes_on_without_its_tape_and_a_gap_says_what_is_missing(
    site: Site, new_gateway: NewGateway, tmp_path: Path
) -> None:
    faults = Faults(tmp_path / "shim")
    gateway = new_gateway(environ=faults.environ, extra=_mode("best-effort"))
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    with client.start(f"web1@{HOST}", "cat") as ssh:
        echo(ssh, b"recorded\n")
        (session,) = watch.begun()
        until(lambda: True if Taped(gateway.tapes, session).crossed(Kind.OUT) else None, "the first line on the tape")
        faults.fail_all(("write", "open"), "/tapes/", errno.ENOSPC)
        echo(ssh, b"lost\n")
        watch.log("goes on unrecorded")
        echo(ssh, b"lost too\n")
        faults.mend()
        following = store.folder_of(gateway.tapes, session) / "1.tape"
        until(lambda: (following.exists() and following.stat().st_size) or None, "the next segment")
        echo(ssh, b"recorded again\n")
        output, _ = ssh.communicate(timeout=60)
        assert (ssh.returncode, output) == (0, b"")
    watch.ended(session)
    tape = Taped(gateway.tapes, session)
    assert tape.crossed(Kind.IN) == b"recorded\nrecorded again\n"
    (gap,) = (frame.facts() for frame in tape.frames if frame.kind == Kind.GAP)
    assert gap["bytes_in"] == gap["bytes_out"] == len(b"lost\nlost too\n")
    assert gap["why"] == "the tape could not be written"
    report = verify(tape.paths)
    assert report.faults == ()
    assert report.gaps == 1
    row = gateway.row_when(session, lambda row: row.state is State.CLOSED)
    assert row.gaps == 1
    with Recording(tape.paths) as recording:
        assert sum(frame.kind == Kind.GAP for frame in recording.frames()) == 1


def test_best_effort_waits_for_no_disk(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    faults = Faults(tmp_path / "shim")
    gateway = new_gateway(environ=faults.environ, extra=_mode("best-effort"))
    client = site.client(tmp_path / "c", gateway)
    watch = gateway.watch()
    faults.delay("sync", "/", 2000)
    with client.start(f"web1@{HOST}", "echo at once; cat") as ssh:
        assert ssh.stdout is not None
        began = time.monotonic()
        assert ssh.stdout.readline() == b"at once\n"
        assert time.monotonic() - began < 1.8
        faults.mend()
        ssh.communicate(timeout=60)
    assert watch.tape().crossed(Kind.OUT) == b"at once\n"
