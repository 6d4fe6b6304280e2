"""`tacho watch` without a terminal: the transcript of a live session as it grows, and every way in which that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from recorder.model import State
from tests.replay.tapes import Library, Tape
from tests.servers.client import Client
from tests.servers.fixtures import NewGateway
from tests.servers.process import LIMIT_S
from tests.servers.site import Site
from tests.servers.tapes import until

ROOT = Path(__file__).parents[3]


class Watching:
    """A running `tacho watch`; what it prints goes to files."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._out, self._err = folder / "watch.out", folder / "watch.err"
        kept = {name: value for name, value in os.environ.items() if name != "TACHO_CONFIG"}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "replay", "watch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=kept | {"PYTHONPATH": str(ROOT)},
            )

    @property
    def shown(self) -> str:
        """What it printed so far."""
        return self._out.read_text()

    @property
    def said(self) -> str:
        """What it said beside."""
        return self._err.read_text()

    def sees(self, text: str) -> str:
        """Waits until `text` is printed; all that is."""
        until(lambda: text in self.shown or None, f"{text!r} in {self.shown}{self.said}")
        return self.shown

    def end(self) -> int:
        """Waits for its end; the exit code."""
        return self.process.wait(LIMIT_S)


@contextmanager
def watching(folder: Path, *arguments: str) -> Iterator[Watching]:
    started = Watching(folder, *arguments)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait(LIMIT_S)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


@pytest.fixture
def live(library: Library) -> Iterator[Tape]:
    """A live session with a command that goes on."""
    tape = library.tape().open().note(1, "channel", type="session").note(1, "exec", command=b"make").allow(1, "exec")
    tape.put(Kind.OUT, 1, b"first\n").flush()
    library.add(tape, State.LIVE)
    yield tape
    if tape.segment._fd >= 0:
        tape.close()


def told(library: Library, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "replay", *arguments, "--config", str(library.file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT_S)


def test_it_prints_what_comes_until_the_session_ends(library: Library, live: Tape, tmp_path: Path) -> None:
    with watching(tmp_path, live.session[-8:], "--config", str(library.file)) as watch:
        watch.sees("    first")
        live.put(Kind.OUT, 1, b"second\nnot yet").flush()
        assert "not yet" not in watch.sees("    second")
        live.put(Kind.ERR, 1, b"\x1b]0;owned\x07bad\x1b[2J\n").chunk().flush()
        watch.sees("  ! bad")
        live.note(1, "exit", status=2).note(1, "close").close()
        assert watch.end() == 0
        assert watch.said == ""
        assert all(line.isprintable() for line in watch.shown.split("\n"))
        lines = watch.shown.splitlines()
    whole = told(library, "show", live.session).stdout.splitlines()
    # The line that had no end by then comes where it ends.
    assert sorted(lines[lines.index("") :]) == sorted(whole[whole.index("") :])


def test_a_terminal_s_lines_are_told_once_they_stand(library: Library, live: Tape, tmp_path: Path) -> None:
    live.shell(2).put(Kind.OUT, 2, b"$ make\r\ndone\r\n$ ").flush()
    with watching(tmp_path, live.session, "--config", str(library.file)) as watch:
        watch.sees("  | done")
        live.put(Kind.OUT, 2, b"exit\r\nbye\r\n").note(2, "close").close()
        assert watch.end() == 0
        shown = [line for line in watch.shown.splitlines() if line.startswith("  | ")]
        assert shown == ["  | $ make", "  | done", "  | $ exit", "  | bye"]


def test_latest_is_the_newest_session_that_is_live(library: Library, live: Tape, tmp_path: Path) -> None:
    closed, gone = library.tape(5).open(), library.tape(6).open()
    closed.close()
    library.add(closed)
    gone.flush()
    library.add(gone, State.LIVE)
    gone.abandon()
    for name in ("latest", "-"):
        with watching(tmp_path, name, "--config", str(library.file)) as watch:
            assert watch.sees("first").startswith(f"session {live.session}\n")


@pytest.mark.parametrize("ended", [True, False])
def test_a_session_that_is_not_live_is_not_watched(library: Library, ended: bool) -> None:
    tape = library.tape().open()
    state = "closed" if ended else "unclosed"
    if ended:
        tape.close()
    library.add(tape, State.CLOSED if ended else State.LIVE)
    if not ended:
        tape.abandon()
    for what, name in ((tape.session, tape.session), ("latest", tape.session), (str(tape.path), str(tape.path))):
        result = told(library, "watch", what)
        assert (result.returncode, result.stdout) == (3, "")
        assert result.stderr == f"tacho: {name} is not live but {state}: see it with `tacho play {name}`\n"
    assert told(library, "watch", "ffff").returncode == 3


def test_an_interrupt_ends_it_quietly(library: Library, live: Tape, tmp_path: Path) -> None:
    with watching(tmp_path, live.session, "--config", str(library.file)) as watch:
        watch.sees("first")
        watch.process.send_signal(signal.SIGINT)
        assert (watch.end(), watch.said) == (130, "")


def test_a_gateway_that_dies_is_said(library: Library, live: Tape, tmp_path: Path) -> None:
    with watching(tmp_path, live.session, "--config", str(library.file)) as watch:
        watch.sees("first")
        live.put(Kind.OUT, 1, b"the last").abandon()
        assert watch.end() == 1
        assert "    the last" in watch.shown
        assert watch.said == (
            f"tacho: nobody writes session {live.session} any more, and it was not closed: "
            f"see `tacho verify {live.session}`\n"
        )


def again(tape: Tape) -> Tape:
    return tape.put(Kind.OUT, 1, b"second\n", 8)


def lost(tape: Tape) -> Tape:
    return tape.put(Kind.GAP, 0, {"why": "the disk was full"}, 8)


@pytest.mark.parametrize("goes_on", [again, lost])
def test_it_goes_on_in_a_new_segment(
    library: Library, live: Tape, tmp_path: Path, goes_on: Callable[[Tape], Tape]
) -> None:
    confirmed = live.confirmed()
    with watching(tmp_path, live.session, "--config", str(library.file)) as watch:
        live.put(Kind.OUT, 1, b"second\n", 8).flush()
        watch.sees("second")
        live.fail(confirmed)
        live.next_segment()
        goes_on(live).put(Kind.OUT, 1, b"third\n", 9).flush()
        watch.sees("third")
        live.note(1, "close", 10).close()
        assert watch.end() == 0
        assert watch.shown.count("second") == 1
        assert ("the disk was full" in watch.shown) == (goes_on is lost)


def test_a_reader_that_goes_away_ends_it(library: Library, live: Tape) -> None:
    command = (
        f"{sys.executable} -m replay watch {live.session} --config {library.file} | head -1; echo ${{PIPESTATUS[0]}}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=LIMIT_S)
    assert done.stdout.splitlines() == [f"session {live.session}", "0"]
    assert done.stderr == ""


def test_a_local_recording_is_watched_by_its_path(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tapes").open().put(Kind.OUT, 1, b"here\n").flush()
    local = tmp_path / f"{tape.session}.tape"
    local.hardlink_to(tape.path)
    with watching(tmp_path, str(local)) as watch:
        watch.sees("    here")
        tape.put(Kind.OUT, 1, b"there\n").flush()
        watch.sees("    there")
        tape.close()
        assert watch.end() == 0


def test_a_session_that_is_in_the_catalogue_before_its_tape(library: Library, tmp_path: Path) -> None:
    tape = library.tape().open().put(Kind.OUT, 1, b"at last\n").flush()
    folder = tape.folder.rename(tmp_path / "aside")
    library.add(tape, State.LIVE)
    with watching(tmp_path, "latest", "--config", str(library.file)) as watch:
        time.sleep(0.5)  # it has begun to wait; a slower start only makes this test weaker
        folder.rename(tape.folder)
        watch.sees("at last")
    tape.close()


@pytest.mark.service
def test_a_live_ssh_session(site: Site, client: Client, tmp_path: Path) -> None:
    config = str(site.gateway.folder / "tachograph.toml")
    with client.start(f"{client.user}@gateway", "echo begun; read line; echo got $line; exit 3") as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"begun\n"
        with watching(tmp_path, "latest", "--config", config) as watch:
            watch.sees("    begun")
            ssh.stdin.write(b"over\n")
            ssh.stdin.close()
            watch.sees("    got over")
            assert watch.end() == 0
    assert "  < over" in watch.shown
    assert "= exit 3" in watch.shown
    assert watch.said == ""


@pytest.mark.service
def test_a_gateway_that_is_killed_under_a_session(site: Site, new_gateway: NewGateway, tmp_path: Path) -> None:
    gateway = new_gateway()
    client = site.client(tmp_path / "client", gateway)
    config = str(gateway.folder / "tachograph.toml")
    with client.start(f"{client.user}@gateway", "echo begun; sleep 600") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"begun\n"
        with watching(tmp_path, "latest", "--config", config) as watch:
            watch.sees("    begun")
            gateway.server.send(signal.SIGKILL)
            assert watch.end() == 1
            assert "was not closed" in watch.said
