"""ssh in pipelines and scripts: tar through tar, here-documents, no input, half-close, statuses, errors in bulk."""

import hashlib
import os
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Entry, Outcome, Way, Ways, tree

pytestmark = pytest.mark.service

_MIB = 1024 * 1024


def _shell(way: Way, script: str, stdin: bytes = b"") -> Outcome:
    """Runs a script here, in which `target COMMAND` is ssh."""
    function = f'target() {{ ssh -F "{way.client.config}" "$@"; }}; cd "{way.folder}"; HOST="{way.host}"\n'
    return way.run(["bash", "-c", function + script], stdin)


def _some_files(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/n\u00e4me with space").write_bytes(bytes(range(256)))
    (folder / "empty").touch(0o604)
    (folder / "large").write_bytes(hashlib.shake_256(b"large").digest(3 * _MIB))
    (folder / "link").symlink_to("deep/er")
    (folder / "same").hardlink_to(folder / "large")
    for path in (folder / "large", folder / "empty", folder / "deep"):
        os.utime(path, ns=(1_700_000_000_000_000_000, 1_700_000_001_000_000_000))


def test_tar_into_tar_and_back(ways: Ways) -> None:
    def run(way: Way) -> tuple[Outcome, Outcome, dict[str, Entry], dict[str, Entry]]:
        for name in ("from", "to", "back"):
            (way.folder / name).mkdir()
        _some_files(way.folder / "from")
        up = _shell(way, "tar -C from -cf - . | target $HOST tar -C $PWD/to -xpf -; echo ${PIPESTATUS[@]}")
        down = _shell(way, "target $HOST tar -C $PWD/to -czf - . | tar -C back -xzpf -; echo ${PIPESTATUS[@]}")
        assert tree(way.folder / "from", times=True)["large"] == tree(way.folder / "to", times=True)["large"]
        return up, down, tree(way.folder / "to"), tree(way.folder / "back")

    (up, down, to, back), (first, second) = ways.same(run, sessions=2)
    assert up == down == Outcome(0, b"0 0\n", b"")
    assert to == back == tree(ways.through.folder / "from")
    assert hashlib.shake_256(b"large").digest(3 * _MIB) in first.crossed(Kind.IN)
    assert second.crossed(Kind.OUT).startswith(b"\x1f\x8b")


@pytest.mark.parametrize("command", ["", "sh -s one two", "python3 -"])
def test_here_document(ways: Ways, command: str) -> None:
    script = "print(6 * 7); raise SystemExit(4)" if command.startswith("python3") else "echo $0 $1 $((6 * 7)); exit 4"
    done, (tape,) = ways.same(lambda way: _shell(way, f"target -T $HOST {command} <<'EOF'\n{script}\nEOF\n"))
    assert done.status == 4
    assert done.stdout.endswith(b"42\n")
    assert tape.crossed(Kind.IN) == f"{script}\n".encode()


def test_no_input(ways: Ways) -> None:
    script = "printf 'for us\\n' | { target -n $HOST 'cat; echo over'; target $HOST 'wc -c' < /dev/null; cat; }"
    done, (first, second) = ways.same(lambda way: _shell(way, script), sessions=2)
    assert done == Outcome(0, b"over\n0\nfor us\n", b"")
    assert first.crossed(Kind.IN) == second.crossed(Kind.IN) == b""


def test_standard_input_that_is_closed(ways: Ways) -> None:
    done, (tape,) = ways.same(lambda way: _shell(way, "target $HOST 'cat; echo over' <&-"))
    assert done == Outcome(0, b"over\n", b"")
    assert {"side": "in"} in tape.noted("eof")


def test_input_that_ends_before_the_output(ways: Ways) -> None:
    script = "printf x | target $HOST 'cat; read -r more || echo ended; sleep 0.2; echo late; exit 6'"
    done, (tape,) = ways.same(lambda way: _shell(way, script))
    assert done == Outcome(6, b"xended\nlate\n", b"")
    assert (tape.crossed(Kind.IN), tape.crossed(Kind.OUT)) == (b"x", b"xended\nlate\n")


def test_reader_that_has_seen_enough(ways: Ways) -> None:
    script = "target $HOST 'yes 2>/dev/null' | head -c 100000 | sha256sum; echo ${PIPESTATUS[@]}"
    done, (tape,) = ways.same(lambda way: _shell(way, script))
    assert done.stdout.splitlines()[0].split()[0] == hashlib.sha256(b"y\n" * 50_000).hexdigest().encode()
    assert tape.crossed(Kind.OUT).startswith(b"y\n" * 50_000)
    assert {"request": "eow@openssh.com", "side": "in"} in tape.noted("request")


def test_command_that_has_read_enough(ways: Ways) -> None:
    script = "yes | target $HOST 'head -n 1; exec <&-; sleep 0.5; echo over; exit 4'; echo ${PIPESTATUS[@]}"
    done, (tape,) = ways.same(lambda way: _shell(way, script))
    assert done.stdout == b"y\nover\n141 4\n"
    assert tape.crossed(Kind.IN).startswith(b"y\n")
    assert {"request": "eow@openssh.com", "side": "out"} in tape.noted("request")


def test_exit_statuses(ways: Ways) -> None:
    statuses = [0, 1, 126, 128, 254, 255]
    script = "".join(f"target -n $HOST 'exit {status}'; echo $?\n" for status in statuses)
    done, tapes = ways.same(lambda way: _shell(way, script), sessions=len(statuses))
    assert done.stdout == b"".join(b"%d\n" % status for status in statuses)
    assert [tape.noted("exit") for tape in tapes] == [[{"status": status}] for status in statuses]


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV"])
def test_command_that_a_signal_kills(ways: Ways, name: str) -> None:
    command = f"echo before; ulimit -c 0; kill -{name} $$; sleep 60"
    done, (tape,) = ways.same(lambda way: way.ssh(way.host, command))
    assert (done.status, done.stdout) == (255, b"before\n")
    assert [facts["signal"] for facts in tape.noted("exit")] == [name]


def test_errors_in_bulk_beside_output_in_bulk(ways: Ways) -> None:
    command = f"yes error | head -c {10 * _MIB} >&2 & yes output | head -c {10 * _MIB}; wait"
    done, (tape,) = ways.same(lambda way: way.ssh(way.host, command))
    assert (done.status, len(done.stdout), len(done.stderr)) == (0, 10 * _MIB, 10 * _MIB)
    assert tape.digest(Kind.OUT) == hashlib.sha256(done.stdout).hexdigest()
    assert tape.digest(Kind.ERR) == hashlib.sha256(done.stderr).hexdigest()


@pytest.mark.parametrize("options", [("-R", "0:127.0.0.1:9"), ("-R", "0")])
def test_tunnels_without_a_command_are_refused(ways: Ways, options: tuple[str, ...]) -> None:
    watch = ways.gateway.watch()
    done = ways.through.ssh("-N", "-o", "ExitOnForwardFailure=yes", *options, ways.through.host)
    assert (done.status, done.stdout) == (255, b"")
    assert b"remote port forwarding failed" in done.stderr
    (verdict,) = watch.tape().verdicts("forward")
    assert verdict["effect"] == "deny"
