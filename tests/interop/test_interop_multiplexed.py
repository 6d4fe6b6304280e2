"""One connection and many sessions, as editors and builds use it: a long-lived bash, and ssh's shared masters."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Outcome, Way, Ways
from tests.servers.client import Running

pytestmark = pytest.mark.service

_AT_ONCE = 30  # below sshd's MaxSessions
_END = "--end of the script--"
_PID = re.compile(rb"pid=\d+")


@contextmanager
def _bash(way: Way) -> Iterator[Running]:
    with way.client.start("-T", way.host, "bash") as ssh:
        yield ssh


def _scripted(ssh: Running, script: str) -> bytes:
    """What the bash says to one script."""
    assert ssh.stdin is not None
    assert ssh.stdout is not None
    ssh.stdin.write(f"{script}\necho '{_END}' $?\n".encode())
    ssh.stdin.flush()
    said: list[bytes] = []
    while not said or not said[-1].startswith(_END.encode()):
        said.append(ssh.stdout.readline())
        assert said[-1], said[-10:]
    return b"".join(said)


def test_scripts_piped_into_one_bash(ways: Ways) -> None:
    scripts = [
        "uname -s; echo $MARK",
        "set -e; f() { echo $(( $1 * 2 )); }; f 21; set +e",
        "cat <<'HERE'\n'quotes' \"and\" $dollars `ticks`\nHERE",
        "kept=1; (exit 7)",
        "echo kept $kept; no-such-program 2>&1 | sed 's/.*: no/no/'",
        "seq 100000",
        f": {'x' * 100_000}",
        "for n in $(seq 50); do (echo job $n) & wait; done",
    ]

    def talk(way: Way) -> tuple[list[bytes], int]:
        with _bash(way) as ssh:
            said = [_scripted(ssh, script) for script in scripts * 2]
            ssh.communicate(b"exit 9\n")
            return said, ssh.returncode

    (said, status), (tape,) = ways.same(talk)
    assert (said[0], said[3], status) == (b"Linux\ntarget\n" + _ends(0), _ends(7), 9)
    assert said[4] == b"kept 1\nno-such-program: command not found\n" + _ends(0)
    assert tape.commands() == {1: b"bash"}
    assert tape.crossed(Kind.OUT) == b"".join(said)
    assert all(script.encode() in tape.crossed(Kind.IN) for script in scripts)


def _ends(status: int) -> bytes:
    return f"{_END} {status}\n".encode()


class _Shared:
    """ssh with ControlMaster=auto; the master stays until it is told to go."""

    def __init__(self, way: Way, folder: Path) -> None:
        folder.mkdir()
        self._way = way
        self._folder = str(folder).encode()
        persist = ("ControlMaster=auto", "ControlPersist=60", f"ControlPath={folder}/s")
        self._options = [part for option in persist for part in ("-o", option)]

    def ssh(self, command: str, stdin: bytes = b"", *options: str) -> Outcome:
        return self._way.ssh(*self._options, *options, self._way.host, command, stdin=stdin)

    def control(self, word: str) -> Outcome:
        """`ssh -O WORD`, without the master's own names."""
        done = self._way.ssh(*self._options, "-O", word, self._way.host)
        return done._replace(stderr=_PID.sub(b"pid=N", done.stderr).replace(self._folder, b"SHARED"))


@contextmanager
def _shared(way: Way, folder: Path) -> Iterator[_Shared]:
    shared = _Shared(way, folder / way.folder.name)
    try:
        yield shared
    finally:
        shared.control("exit")


def test_thirty_commands_at_once_on_one_master(ways: Ways, short_path: Path) -> None:
    def command(number: int) -> str:
        both = f"yes 'out {number}' | head -c 300000 & yes 'err {number}' | head -c 100000 >&2"
        return f"cat; {both}; wait; exit {number}"

    def run(way: Way) -> list[Outcome]:
        with _shared(way, short_path) as shared, ThreadPoolExecutor(_AT_ONCE) as pool:
            assert shared.ssh("true").status == 0
            return list(pool.map(lambda number: shared.ssh(command(number), b"in %d\n" % number), range(_AT_ONCE)))

    dones, (tape,) = ways.same(run)
    streams = {text: stream for stream, text in tape.commands().items()}
    assert len(streams) == _AT_ONCE + 1
    for number, done in enumerate(dones):
        stream = streams[command(number).encode()]
        assert (done.status, len(done.stdout), len(done.stderr)) == (
            number,
            300_000 + len(b"in %d\n" % number),
            100_000,
        )
        assert tape.crossed(Kind.IN, stream) == b"in %d\n" % number
        assert tape.crossed(Kind.OUT, stream) == done.stdout
        assert tape.crossed(Kind.ERR, stream) == done.stderr
        assert tape.noted("exit", stream) == [{"status": number}]


def test_words_to_the_master(ways: Ways, short_path: Path) -> None:
    def talk(way: Way) -> list[Outcome]:
        with _shared(way, short_path) as shared:
            said = [shared.control("check"), shared.ssh("echo first; exit 4"), shared.control("check")]
            said += [shared.control("stop"), shared.control("check"), shared.ssh("echo second")]
            return [*said, shared.control("exit"), shared.control("check")]

    said, tapes = ways.same(talk, sessions=2)
    assert [done.status for done in said] == [255, 4, 0, 0, 255, 0, 0, 255]
    assert said[2].stderr == b"Master running (pid=N)\r\n"
    assert [tape.commands() for tape in tapes] == [{1: b"echo first; exit 4"}, {1: b"echo second"}]


def test_stopped_master_lets_its_session_finish(ways: Ways, short_path: Path) -> None:
    def talk(way: Way) -> tuple[Outcome, bytes, int]:
        socket = short_path / way.folder.name
        with way.client.start("-M", "-S", str(socket), way.host, "echo up; cat; exit 3") as ssh:
            assert ssh.stdout is not None
            assert ssh.stdout.readline() == b"up\n"
            stopped = way.ssh("-S", str(socket), "-O", "stop", way.host)
            said, _ = ssh.communicate(b"still here")
            return stopped, said, ssh.returncode

    (stopped, said, status), (tape,) = ways.same(talk)
    assert (stopped.status, said, status) == (0, b"still here", 3)
    assert tape.crossed(Kind.IN) == b"still here"


def test_master_without_a_session_of_its_own(ways: Ways, short_path: Path) -> None:
    def talk(way: Way) -> list[Outcome]:
        shared = ("-S", str(short_path / way.folder.name), way.host)
        said = [way.ssh("-M", "-N", "-f", *shared), way.ssh(*shared, "echo one"), way.ssh(*shared, "cat", stdin=b"two")]
        return [*said, way.ssh("-O", "exit", *shared)]

    said, (tape,) = ways.same(talk)
    assert [done.stdout for done in said] == [b"", b"one\n", b"two", b""]
    assert tape.commands() == {1: b"echo one", 2: b"cat"}
