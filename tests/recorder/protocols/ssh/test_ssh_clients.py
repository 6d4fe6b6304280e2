"""The clients that agents use, old and new: scp, sftp, rsync, git, a shared connection."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.servers.client import HOST, Client, Done, Running
from tests.servers.gateway import Gateway
from tests.servers.sshd import LOGIN
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_LONG_USER = f"{LOGIN}@web1@{HOST}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with files of several sizes, an empty one among them."""
    folder = tmp_path / "tree"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "empty").touch()
    (folder / "small").write_bytes(b"small\n")
    (folder / "deep/large").write_bytes(os.urandom(1_000_003))
    (folder / "deep/er/n\u00e4me with space").write_bytes(bytes(range(256)))
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _well(done: Done) -> None:
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["-O", "-s"])
@pytest.mark.parametrize("user", [f"web1@{HOST}", _LONG_USER])
def test_scp_both_ways(client: Client, gateway: Gateway, tree: Path, tmp_path: Path, form: str, user: str) -> None:
    watch = gateway.watch()
    _well(client.run(client.command("scp", form, "-r", "-p", str(tree), f"{user}:{tmp_path}/up")))
    _well(client.run(client.command("scp", form, "-r", "-p", f"{user}:{tmp_path}/up", str(tmp_path / "down"))))
    assert _contents(tmp_path / "up") == _contents(tmp_path / "down") == _contents(tree)
    upload, download = watch.tapes(2)
    large = (tree / "deep/large").read_bytes()
    if form == "-O":
        assert upload.commands()[1].startswith(b"scp ")
        assert large in upload.crossed(Kind.IN)
        assert large in download.crossed(Kind.OUT)
    else:
        assert upload.noted("subsystem") == [{"subsystem": b"sftp"}]
        assert large[:8192] in upload.crossed(Kind.IN)
        assert large[:8192] in download.crossed(Kind.OUT)


def test_sftp_batch(client: Client, gateway: Gateway, tree: Path, tmp_path: Path) -> None:
    batch = [
        f"put {tree}/deep/large {tmp_path}/large",
        f"put {tree}/empty {tmp_path}/empty",
        f"get {tmp_path}/large {tmp_path}/back",
        f"mkdir {tmp_path}/new",
        f"rename {tmp_path}/large {tmp_path}/new/large",
        f"ls -l {tmp_path}/new",
        f"rm {tmp_path}/empty",
    ]
    watch = gateway.watch()
    done = client.run(client.command("sftp", "-b", "-", _LONG_USER), "\n".join(batch).encode())
    _well(done)
    large = (tree / "deep/large").read_bytes()
    assert (tmp_path / "back").read_bytes() == (tmp_path / "new/large").read_bytes() == large
    assert not (tmp_path / "empty").exists()
    tape = watch.tape()
    assert f"{tmp_path}/new/large".encode() in tape.crossed(Kind.IN)
    assert len(tape.crossed(Kind.IN)) > len(large)
    assert len(tape.crossed(Kind.OUT)) > len(large)


def test_sftp_error_ends_the_batch_as_directly(client: Client, direct: Client, tmp_path: Path) -> None:
    def failing(of: Client, user: str) -> Done:
        return of.run(of.command("sftp", "-b", "-", f"{user}@{HOST}"), f"get {tmp_path}/none\n".encode())

    through, straight = failing(client, "web1"), failing(direct, LOGIN)
    assert (through.returncode, through.stderr) == (straight.returncode, straight.stderr)
    assert through.returncode != 0


def test_rsync_both_ways(client: Client, gateway: Gateway, tree: Path, tmp_path: Path) -> None:
    rsync = ["rsync", "-a", "--protect-args", "-e", f"ssh -F {client.config}"]
    watch = gateway.watch()
    _well(client.run([*rsync, f"{tree}/", f"{_LONG_USER}:{tmp_path}/up"]))
    (tree / "deep/large").write_bytes((tree / "deep/large").read_bytes()[:-1] + b"!")
    _well(client.run([*rsync, "--checksum", f"{tree}/", f"{_LONG_USER}:{tmp_path}/up"]))
    _well(client.run([*rsync, f"{_LONG_USER}:{tmp_path}/up/", str(tmp_path / "down")]))
    assert _contents(tmp_path / "up") == _contents(tmp_path / "down") == _contents(tree)
    first, second, third = watch.tapes(3)
    assert all(tape.commands()[1].startswith(b"rsync --server") for tape in (first, second, third))
    assert len(first.crossed(Kind.IN)) > 1_000_000 > len(second.crossed(Kind.IN))
    assert len(third.crossed(Kind.OUT)) > 1_000_000


def test_git_clone_and_push(client: Client, gateway: Gateway, tree: Path, tmp_path: Path) -> None:
    def git(*arguments: str, at: Path = tmp_path) -> str:
        done = client.run(["git", "-C", str(at), "-c", "init.defaultBranch=main", *arguments])
        _well(done)
        return done.stdout.decode().strip()

    url = f"{_LONG_USER}:{tmp_path}/bare.git"
    git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    git("init", "-q", at=tree)
    git("add", "-A", at=tree)
    git("commit", "-q", "-m", "one", at=tree)
    watch = gateway.watch()
    git("push", "-q", url, "HEAD:refs/heads/main", at=tree)
    git("clone", "-q", "-b", "main", url, str(tmp_path / "clone"))
    assert _contents(tmp_path / "clone") == _contents(tree)
    assert git("rev-parse", "HEAD", at=tmp_path / "clone") == git("rev-parse", "HEAD", at=tree)
    push, clone = watch.tapes(2)
    assert push.commands() == {1: f"git-receive-pack '{tmp_path}/bare.git'".encode()}
    assert clone.commands() == {1: f"git-upload-pack '{tmp_path}/bare.git'".encode()}
    assert b"PACK" in push.crossed(Kind.IN)
    assert b"PACK" in clone.crossed(Kind.OUT)


@pytest.fixture
def master(client: Client, short_path: Path) -> Iterator[Running]:
    """A connection of ssh's that others share, at `short_path`/s; it ends when its stdin is closed."""
    with client.start("-M", "-S", str(short_path / "s"), f"web1@{HOST}", "echo up; cat") as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        yield ssh


def test_sessions_of_a_shared_connection_are_streams_of_one_tape(
    client: Client, gateway: Gateway, master: Running, short_path: Path
) -> None:
    watch = gateway.watch()
    shared = ["-S", str(short_path / "s"), f"web1@{HOST}"]
    with ExitStack() as stack:
        running = [
            stack.enter_context(client.start(*shared, f"cat; echo {number} >&2; exit {number}")) for number in range(3)
        ]
        for number, ssh in enumerate(running):
            output = ssh.communicate(b"to %d" % number)
            assert (ssh.returncode, *output) == (number, b"to %d" % number, b"%d\n" % number)
    assert client.ssh("-tt", *shared, "tty").stdout.startswith(b"/dev/pts/")
    master.communicate()
    assert master.returncode == 0
    watch.after = 0
    session = gateway.server.found(r"session (\S+): ci from ")[-1][1]
    watch.ended(session)
    tape = Taped(gateway.tapes, session)
    by_command = {command: stream for stream, command in tape.commands().items()}
    assert len(by_command) == 5
    for number in range(3):
        stream = by_command[b"cat; echo %d >&2; exit %d" % (number, number)]
        assert tape.crossed(Kind.IN, stream) == tape.crossed(Kind.OUT, stream) == b"to %d" % number
        assert tape.crossed(Kind.ERR, stream) == b"%d\n" % number
        assert tape.noted("exit", stream) == [{"status": number}]
