"""paramiko as Debian has it: commands, channels, a shell, files, new keys, a tunnel."""

import hashlib
import json
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Outcome, Way, Ways, tree, verified
from tests.servers.site import Site
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_PROGRAM = Path(__file__).with_name("paramiko_client.py")
_MIB = 1024 * 1024


def _paramiko(way: Way, what: str, **env: str) -> Outcome:
    # The packages of the tests' own interpreter are not for Debian's; its cryptography warns of what paramiko imports.
    python = ["/usr/bin/python3", "-I", "-W", "ignore", str(_PROGRAM)]
    client = way.client
    command = [
        *python, what, str(client.port), client.user, str(client.key), str(client.known_hosts), str(way.folder)
    ]  # fmt: skip
    return way.run(command, env=env)


def _same(ways: Ways, what: str) -> tuple[dict[str, object], Taped]:
    done, (tape,) = ways.same(lambda way: _paramiko(way, what))
    assert (done.status, done.stderr) == (0, b"")
    assert str(tape.opened["client_version"]).startswith("SSH-2.0-paramiko")
    seen: dict[str, object] = json.loads(done.stdout)
    return seen, tape


def test_commands(ways: Ways) -> None:
    seen, tape = _same(ways, "exec")
    assert seen == {"both": ["out\n", "err\n", 3], "environment": ["y\n", "", 0], "input": ["given", "", 255]}
    assert tape.commands()[1] == b"echo out; echo err >&2; exit 3"
    assert (tape.crossed(Kind.OUT), tape.crossed(Kind.ERR)) == (b"out\n", b"err\n")
    assert tape.noted("env", 2) == [{"variable": "TEST_X", "value": "y"}]
    assert (tape.crossed(Kind.IN, 3), tape.noted("exit", 3)) == (b"given", [{"status": 255}])


def test_ten_channels_at_once(ways: Ways) -> None:
    seen, tape = _same(ways, "channels")
    assert seen == {str(number): [True, number * 10_000, number] for number in range(10)}
    for stream, command in tape.commands().items():
        number = int(command.split()[-1])
        sent = hashlib.shake_256(str(number).encode()).digest(200_000 + number)
        assert tape.crossed(Kind.IN, stream) == tape.crossed(Kind.OUT, stream) == sent
        assert tape.crossed(Kind.ERR, stream) == bytes(number * 10_000)


def test_shell_that_changes_its_size(ways: Ways) -> None:
    seen, tape = _same(ways, "shell")
    assert seen["sizes"] == ["30 100\r\nend\r\n", "43 132\r\nend\r\n", "24 80\r\nend\r\n"]
    assert (seen["rest"], seen["status"]) == ("vt100\r\n", 5)
    assert [(facts["columns"], facts["rows"]) for facts in tape.noted("resize")] == [(100, 30), (132, 43), (80, 24)]
    assert b"43 132\r\n" in tape.crossed(Kind.OUT)


def test_files(ways: Ways) -> None:
    seen, tape = _same(ways, "sftp")
    assert (seen["put"], seen["small"]) == ([8 * _MIB, 8 * _MIB], ["0o100604", 8, 1_700_000_000])
    assert [seen[name] for name in ("back", "prefetched", "middle")] == [True] * 3
    assert seen["refusals"] == ["FileNotFoundError 2: [Errno 2] No such file", "OSError None: Failure"]
    assert tree(ways.through.folder / "at") == tree(ways.straight.folder / "at")
    sent = (ways.through.folder / "sent").read_bytes()
    assert (ways.through.folder / "at/large").read_bytes() == sent
    assert tape.noted("subsystem") == [{"subsystem": b"sftp"}]
    assert all(sent[offset : offset + 8192] in tape.crossed(Kind.IN) for offset in (0, 4 * _MIB, 8 * _MIB - 8192))
    assert len(tape.crossed(Kind.OUT)) > 2 * len(sent)


def test_new_keys_amid_a_transfer(ways: Ways) -> None:
    seen, tape = _same(ways, "rekey")
    assert seen == {"echo": True, "status": 0, "after": "after\n"}
    sent = hashlib.shake_256(b"rekey").digest(4 * _MIB)
    assert tape.crossed(Kind.IN) == tape.crossed(Kind.OUT) == sent


def test_tunnel_is_refused_and_the_connection_goes_on(ways: Ways, site: Site) -> None:
    watch = ways.gateway.watch()
    through, straight = (
        _paramiko(way, "forward", FORWARD_TO=str(site.sshd.port)) for way in (ways.through, ways.straight)
    )
    assert json.loads(straight.stdout) == {"opened": "SSH-", "after": "on\n"}
    assert json.loads(through.stdout) == {"opened": [1, "Administratively prohibited"], "after": "on\n"}
    tape = watch.tape()
    (verdict,) = tape.verdicts("forward")
    assert (verdict["effect"], verdict["text"]) == ("deny", f"127.0.0.1:{site.sshd.port}".encode())
    verified(ways.gateway, tape)
