"""`tacho rec` as a person at a terminal uses it: all that is typed and shown is taped, the terminal is as before."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recorder.model import Source, State
from replay import recording
from replay.recording import Kind, Recording
from tests.recorder.cli.sitting import LIMIT_S, TACHO, Sitting, environment, tacho

pytestmark = pytest.mark.ui


def crossed(opened: Recording, kind: Kind) -> bytes:
    return b"".join(frame.data() for frame in opened.frames() if frame.kind == kind)


def notes(opened: Recording) -> list[dict[str, object]]:
    return [frame.facts() for frame in opened.frames() if frame.kind == Kind.NOTE]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_shell_is_recorded_as_it_was_typed_and_shown(tmp_path: Path) -> None:
    with Sitting(tmp_path, "rec", "-o", "work.tape", columns=90, rows=30) as terminal:
        terminal.sees(rb"\$ $")
        assert terminal.raw()
        terminal.type(b"stty size\r")
        terminal.sees(rb"30 90")
        terminal.resize(100, 40)
        terminal.type(
            b"stty size; stty -echo; printf 'pass\\167ord: '; read -r secret; stty echo; echo got ${#secret}\r"
        )
        terminal.sees(rb"40 100\r\npassword: ")
        terminal.type(b"hunter2\r")
        terminal.sees(rb"got 7")
        terminal.type(b"exit 7\r")
        status, messages = terminal.ends()
        assert terminal.as_before()
    assert status == 7
    assert "recording to work.tape until the shell ends" in messages
    assert "tacho play work.tape" in messages
    with recording.open(tmp_path / "work.tape") as opened:
        session = opened.session
        assert (session.state, session.protocol, session.login) == (State.CLOSED, "local", session.attribution.agent)
        assert session.attribution.sources["agent"] is Source.OBSERVED
        assert crossed(opened, Kind.OUT) == terminal.seen
        assert crossed(opened, Kind.IN).endswith(b"hunter2\rexit 7\r")
        assert (session.bytes_in, session.bytes_out) == (len(crossed(opened, Kind.IN)), len(terminal.seen))
        assert [(note["name"], note.get("columns")) for note in notes(opened)] == [
            ("channel", None), ("pty", 90), ("shell", None), ("resize", 100), ("exit", None), ("close", None)
        ]  # fmt: skip
        typed = next(frame.number for frame in opened.frames() if frame.kind == Kind.IN)
        assert typed < next(
            frame.number for frame in opened.frames() if frame.kind == Kind.OUT and b"s" in frame.data()
        )
    for form in ("cast", "jsonl", "txt"):
        exported = tacho(tmp_path, "export", "work.tape", "--as", form, "-o", "-")[1]
        assert b"got 7" in exported
        assert b"hunter2" not in exported


def test_the_verbs_read_the_tape(tmp_path: Path) -> None:
    status, output, messages = tacho(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", "echo 'a  b'; exit 3")
    assert (status, output) == (3, b"a  b\r\n"), messages
    shown = tacho(tmp_path, "show", "a.tape")[1].decode()
    assert "$ sh -c 'echo '\"'\"'a  b'\"'\"'; exit 3'" in shown
    assert "  | a  b" in shown
    (command,) = tacho(tmp_path, "cmds", "a.tape", "--json")[1].splitlines()
    assert (json.loads(command)["status"], json.loads(command)["bytes_out"]) == (3, 6)
    assert tacho(tmp_path, "export", "a.tape", "--as", "cast", "-o", "a.cast")[0] == 0
    key = tmp_path / "config/tachograph/rec_key"
    assert key.stat().st_mode & 0o777 == 0o600
    status, verified, _ = tacho(tmp_path, "verify", "a.tape", "--key", f"{key}.pub")
    assert (status, verified.splitlines()[0]) == (0, b"complete and unchanged")
    assert b"(the key that you named)" in verified
    (tmp_path / "other").mkdir()
    tacho(tmp_path / "other", "rec", "-o", "b.tape", "true")
    status, verified, _ = tacho(tmp_path, "verify", "other/b.tape", "--key", f"{key}.pub")
    assert status == 4
    assert (tmp_path / "a.tape").stat().st_mode & 0o777 == 0o600


def test_control_c_is_typed_to_the_program(tmp_path: Path) -> None:
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    with Sitting(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", script) as terminal:
        terminal.sees(b"ready")
        terminal.type(b"\x03")
        assert terminal.ends()[0] == 4
        assert terminal.seen.endswith(b"caught\r\n")
        assert terminal.as_before()
    with recording.open(tmp_path / "a.tape") as opened:
        assert crossed(opened, Kind.IN) == b"\x03"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal_and_tells_the_program(tmp_path: Path, number: signal.Signals) -> None:
    script = "trap 'echo bye; exit 0' HUP; echo ready; while :; do sleep 0.05; done"
    with Sitting(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", script) as terminal:
        terminal.sees(b"ready")
        assert terminal.raw()
        terminal.send(number)
        status, messages = terminal.ends()
        assert terminal.as_before()
    assert status == 128 + number
    assert number.name in messages
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.CLOSED
        assert crossed(opened, Kind.OUT).endswith(b"bye\r\n")
        assert {"name": "signal", "signal": "HUP"} in notes(opened)


@pytest.mark.long
def test_a_program_that_does_not_hear_is_left_without_its_terminal(tmp_path: Path) -> None:
    script = "trap '' HUP; echo $$ ready; while :; do sleep 0.05; done"
    with Sitting(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", script) as terminal:
        program = int(terminal.sees(rb"(\d+) ready").group(1))
        terminal.send(signal.SIGTERM)
        status, messages = terminal.ends()
    os.kill(program, signal.SIGKILL)
    assert status == 143
    assert "went on without its terminal" in messages
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.CLOSED


def test_a_terminal_is_raw_again_after_a_stop(tmp_path: Path) -> None:
    with Sitting(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", "echo ready; read x; echo bye") as terminal:
        terminal.sees(b"ready")
        terminal.send(signal.SIGSTOP)
        terminal.calm()
        terminal.send(signal.SIGCONT)
        until(terminal.raw)
        terminal.type(b"\r")
        assert terminal.ends()[0] == 0
        assert terminal.as_before()


def test_an_interrupt_from_outside_is_passed_on(tmp_path: Path) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    command = [*TACHO, "rec", "-o", "a.tape", "--", "sh", "-c", script]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\r\n"
        process.send_signal(signal.SIGINT)
    assert process.returncode == 9
    with recording.open(tmp_path / "a.tape") as opened:
        assert {"name": "signal", "signal": "INT"} in notes(opened)


def test_a_terminal_that_goes_away_ends_the_session(tmp_path: Path) -> None:
    with Sitting(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", "echo ready; sleep 60") as terminal:
        terminal.sees(b"ready")
        terminal.hang_up()
        assert terminal.ends()[0] == 129
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.CLOSED
        assert notes(opened)[-2]["signal"] == "HUP"


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -40 $$", 168)]
)
def test_the_exit_status_is_passed_on(tmp_path: Path, script: str, status: int) -> None:
    assert tacho(tmp_path, "rec", "-o", "a.tape", "sh", "-c", script)[0] == status


def test_a_program_that_is_not_there_leaves_no_tape(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for name, status in (("./nothing\x1b[2J", 127), ("./text", 126)):
        found, _, messages = tacho(tmp_path, "rec", "-o", "a.tape", "--", name)
        assert found == status
        assert messages.startswith("tacho: cannot start ")
        assert "\x1b" not in messages
    assert not (tmp_path / "a.tape").exists()


def test_what_is_piped_in_ends_where_it_ends(tmp_path: Path) -> None:
    given = b"one\n" * 500 + b"two"
    script = "stty -echo; cat >first; cat >second; echo done"
    status, output, _ = tacho(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", script, given=given)
    assert status == 0
    assert output.endswith(b"done\r\n")
    assert (tmp_path / "first").read_bytes() == given
    assert (tmp_path / "second").read_bytes() == b""
    with recording.open(tmp_path / "a.tape") as opened:
        assert crossed(opened, Kind.IN).startswith(given + b"\x04")
        assert notes(opened)[1]["columns"] == 80
        assert {"name": "eof", "side": "in"} in notes(opened)


def test_much_passes_both_ways_unchanged(tmp_path: Path) -> None:
    given = os.urandom(500_000)
    script = f"stty raw -echo; echo ready; head -c {len(given)} >copy; cat copy copy"
    with (tmp_path / "given").open("wb") as file:
        file.write(given)
    feed = "while ! grep -q ready shown; do sleep 0.02; done; cat given"
    command = f"({feed}) | {' '.join(TACHO)} rec -o a.tape -- sh -c '{script}' >shown"
    subprocess.run(
        ["sh", "-c", f": >shown; {command}"], cwd=tmp_path, env=environment(tmp_path), check=True, timeout=LIMIT_S
    )
    assert (tmp_path / "copy").read_bytes() == given
    shown = (tmp_path / "shown").read_bytes()
    assert shown.endswith(b"ready\n" + given + given)
    with recording.open(tmp_path / "a.tape") as opened:
        assert crossed(opened, Kind.IN).rstrip(b"\x04") == given.rstrip(b"\x04")
        assert crossed(opened, Kind.OUT) == shown


def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    command = [*TACHO, "rec", "-o", "a.tape", "--", "seq", "60000"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1000)
        until(lambda: (tmp_path / "a.tape").stat().st_size > 10_000)
        rest = process.stdout.read()
    assert (first + rest).split() == [str(number).encode() for number in range(1, 60_001)]
    assert process.returncode == 0


def test_a_reader_that_leaves_ends_the_session(tmp_path: Path) -> None:
    command = f"{' '.join(TACHO)} rec -o a.tape -- yes | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, timeout=LIMIT_S
    )
    assert done.stdout == b"y\r\n"
    assert b"Traceback" not in done.stderr
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.CLOSED
        assert "closed" in opened.session.reason


def test_a_tape_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.tape").write_bytes(b"mine")
    status, _, messages = tacho(tmp_path, "rec", "-o", "a.tape", "true")
    assert (status, messages) == (1, "tacho: a.tape exists already: name another file with -o, or remove it\n")
    assert (tmp_path / "a.tape").read_bytes() == b"mine"
    assert tacho(tmp_path, "rec", "-o", "-", "true")[0] == 2
    status, _, messages = tacho(tmp_path, "rec", "-o", "no/such/a.tape", "true")
    assert status == 1
    assert "name another file" in messages


def test_without_a_name_the_tape_is_named_after_its_session(tmp_path: Path) -> None:
    assert tacho(tmp_path, "rec", "true")[0] == 0
    (path,) = tmp_path.glob("*.tape")
    with recording.open(path) as opened:
        assert path.name == f"{opened.id}.tape"


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    assert tacho(tmp_path, "rec", "-o", "a.tape", "true")[0] == 0
    key = tmp_path / "config/tachograph/rec_key"
    key.chmod(0o644)
    status, _, messages = tacho(tmp_path, "rec", "-o", "b.tape", "true")
    assert status == 1
    assert f"chmod 600 {key}" in messages
    key.write_text("no key")
    key.chmod(0o600)
    assert "no Ed25519 key" in tacho(tmp_path, "rec", "-o", "b.tape", "true")[2]
    assert not (tmp_path / "b.tape").exists()


def test_live_while_it_runs_and_unclosed_after_a_kill(tmp_path: Path) -> None:
    with Sitting(
        tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", "echo $$; echo first; read x; echo second; sleep 60"
    ) as it:
        program = int(it.sees(rb"(\d+)\r\nfirst").group(1))
        path = tmp_path / "a.tape"
        until(path.exists)
        with recording.open(path) as opened:
            assert opened.live
            it.type(b"\r")
            it.sees(b"second")

            def grown() -> bool:
                opened.refresh()
                return b"second" in crossed(opened, Kind.OUT)

            until(grown)
            it.send(signal.SIGKILL)
            assert it.ends()[0] == -signal.SIGKILL
        with recording.open(path) as opened:
            assert opened.state is State.UNCLOSED
            assert b"second" in crossed(opened, Kind.OUT)
        until(lambda: not Path(f"/proc/{program}").exists())  # its terminal went away with tacho


def test_a_full_disk_ends_the_session_in_words(tmp_path: Path) -> None:
    script = "trap 'echo told >told; exit' HUP; head -c 400000 /dev/urandom | base64; while :; do sleep 0.05; done"
    limited = ["prlimit", "--fsize=150000:150000"]
    status, _, messages = tacho(tmp_path, "rec", "-o", "a.tape", "--", "sh", "-c", script, prefix=limited)
    assert status == 1
    assert messages.count("\n") == 1
    assert messages.startswith("tacho: cannot write a.tape, so the session ends: File too large")
    until((tmp_path / "told").exists)
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.UNCLOSED
        assert len(crossed(opened, Kind.OUT)) > 50_000


def test_closed_standard_streams_harm_nothing(tmp_path: Path) -> None:
    command = f"exec {' '.join(TACHO)} rec -o a.tape -- sh -c 'cat; echo hi; exit 5' <&- 2>&-"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment(tmp_path), timeout=LIMIT_S)
    assert done.returncode == 5
    with recording.open(tmp_path / "a.tape") as opened:
        assert opened.state is State.CLOSED
        assert crossed(opened, Kind.OUT) == b"hi\r\n"
