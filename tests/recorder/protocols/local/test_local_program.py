"""A program on a pseudo-terminal has it as its own: size, keys, signals; and leaves nothing behind."""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.protocols.local import Program, Size

LIMIT_S = 20.0
ENV = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


@contextmanager
def running(*command: str, size: Size = Size()) -> Iterator[Program]:  # noqa: B008 # frozen
    program = Program(command, size, env=ENV)
    try:
        yield program
    finally:
        if program.ended() is None:
            os.kill(program.pid, signal.SIGKILL)
            status(program)
        program.close()


def status(program: Program) -> int:
    deadline = time.monotonic() + LIMIT_S
    while program.ended() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return program.ended() or 0


def output(program: Program, until: bytes = b"") -> bytes:
    """What it writes, up to `until`, else all of it."""
    deadline, data = time.monotonic() + LIMIT_S, b""
    while until not in data if until else program.ended() is None:
        assert time.monotonic() < deadline, data
        select.select([program.master], [], [], 0.02)
        data += program.read(65536)
    return data + program.read(65536)


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_the_terminal_is_its_own_and_has_the_size() -> None:
    with running(
        "sh", "-c", "stty size </dev/tty; cut -d' ' -f5-8 /proc/$$/stat; echo $$", size=Size(91, 33)
    ) as program:
        size, stat, pid = output(program).decode().splitlines()
    assert size == "33 91"
    group, session, terminal, foreground = stat.split()  # proc(5)
    assert {group, session, foreground} == {pid}
    assert int(terminal) != 0


def test_a_new_size_is_told() -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; done"
    with running("sh", "-c", script) as program:
        output(program, b"ready")
        program.resize(Size(100, 50))
        assert output(program).strip() == b"50 100"


def test_how_it_ended() -> None:
    for script, ended in (("exit 3", 3), ("kill -KILL $$", -9)):
        with running("sh", "-c", script) as program:
            assert status(program) == ended
            assert program.ended() == ended
            program.signal(signal.SIGHUP)  # nobody is there to hear it


def test_all_that_it_wrote_can_be_read_after_its_end() -> None:
    with running(sys.executable, "-c", "import os; os.write(1, b'x' * 3000)") as program:
        status(program)
        assert program.read(65536) == b"x" * 3000
        assert program.read(65536) == b""


def test_signals_are_as_a_log_in_has_them() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        with running("grep", "SigIgn", "/proc/self/status") as program:
            assert int(output(program).split()[1], 16) & 0x7FFFFFFF == 0  # 32 and 33 are the C library's own
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_reaches_the_job_in_the_foreground() -> None:
    script = "set -m; (trap 'echo caught; exit' INT; echo ready; while :; do sleep 0.02; done); echo shell"
    with running("sh", "-c", script) as program:
        output(program, b"ready")
        program.signal(signal.SIGINT)
        assert output(program).replace(b"\r", b"").split()[-2:] == [b"caught", b"shell"]


def test_hanging_up_wakes_what_is_stopped() -> None:
    with running("sh", "-c", "echo ready; kill -STOP $$") as program:
        output(program, b"ready")
        program.signal(signal.SIGHUP)
        assert status(program) == -signal.SIGHUP


def test_what_was_typed_is_known_to_be_read() -> None:
    with running("sh", "-c", "stty -echo; echo ready; read -r a; echo got; sleep 60") as program:
        output(program, b"ready")
        assert program.wants_input()
        assert program.write(memoryview(b"one\ntwo\n")) == 8
        output(program, b"got")
        assert not program.wants_input()  # "two" waits
        assert program.end_of_file == b"\x04"


def test_typing_more_than_is_read_does_not_block() -> None:
    with running("sh", "-c", "stty raw -echo; echo ready; sleep 60") as program:
        output(program, b"ready")
        data, taken = memoryview(bytes(1 << 20)), 0
        while written := program.write(data[taken:]):
            taken += written
        assert 0 < taken < len(data)


@pytest.mark.parametrize(("name", "error"), [("./nothing", FileNotFoundError), ("./text", OSError)])
def test_what_cannot_be_started_leaves_nothing_open(
    name: str, error: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("no program")
    before = descriptors()
    with pytest.raises(error):
        Program([name], Size(), env=ENV)
    assert descriptors() == before


def test_nothing_but_the_terminal_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"), running("sh", "-c", "ls -l /proc/$$/fd") as program:
        listed = output(program)
    assert b" 0 -> /dev/pts/" in listed
    assert b"/dev/ptmx" not in listed
    assert b"/open" not in listed
