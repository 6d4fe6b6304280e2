"""git with its repository at the target: 300 commits pushed, cloned, fetched; tags, force, a hook's refusal."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Outcome, Way, Ways

pytestmark = pytest.mark.service

_COMMITS = 300
_NOBODY = "a <a@a.example>"
_HOOK = """#!/bin/sh
while read -r old new name; do
  case $name in refs/heads/locked) echo "no pushes to $name" >&2; exit 1 ;; esac
done
"""


def _history() -> bytes:
    """A stream for `git fast-import`: a file that grows and another in a folder, commit by commit."""
    parts: list[bytes] = []
    grown = b""
    for number in range(_COMMITS):
        grown += hashlib.sha256(b"%d" % number).hexdigest().encode() + b"\n"
        message = b"commit %d" % number
        parts.append(b"commit refs/heads/main\ncommitter %s %d +0000\n" % (_NOBODY.encode(), 1_700_000_000 + number))
        parts.append(b"data %d\n%s\n" % (len(message), message))
        for name, data in ((b"grown", grown), (b"deep/f%d" % (number % 20), message)):
            parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(data), data))
    return b"".join(parts)


class _Git:
    """git in one clone, with its dates fixed so that both ways make the same commits."""

    def __init__(self, way: Way, at: Path, ssh: str | None = None) -> None:
        self.way = way
        self.at = at
        self.env = {f"GIT_{whose}_DATE": "1700001000 +0000" for whose in ("AUTHOR", "COMMITTER")}
        if ssh is not None:
            self.env["GIT_SSH_COMMAND"] = ssh

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        command = ["git", "-C", str(self.at), "-c", "init.defaultBranch=main", "-c", "advice.detachedHead=false"]
        return self.way.run([*command, *arguments], stdin, env=self.env)


def _origin(way: Way, *, ssh: str | None = None) -> tuple[_Git, _Git, str]:
    """A repository with a history, a bare and empty one at the target, and the address of that."""
    work, bare = way.folder / "work", way.folder / "bare.git"
    here = _Git(way, work, ssh)
    for folder, options in ((work, []), (bare, ["--bare"])):
        subprocess.run(
            ["git", "-c", "init.defaultBranch=main", "init", "-q", *options, str(folder)],
            check=True,
            env=way.client.env,
        )
    (bare / "hooks").mkdir(exist_ok=True)
    (bare / "hooks/pre-receive").write_text(_HOOK)
    (bare / "hooks/pre-receive").chmod(0o755)
    assert here("fast-import", "--quiet", stdin=_history()).status == 0
    assert here("reset", "-q", "--hard").status == 0
    return here, _Git(way, bare), f"{way.host}:{bare}"


def _all(git: _Git) -> tuple[bytes, bytes]:
    """Every name and every object of a repository; git itself finds nothing wrong."""
    assert git("fsck", "--strict").status == 0
    return git("for-each-ref").stdout, git("rev-list", "--objects", "--all").stdout


def test_push_clone_fetch(ways: Ways) -> None:
    def work(way: Way) -> tuple[list[Outcome], tuple[bytes, bytes], tuple[bytes, bytes], bytes]:
        here, bare, url = _origin(way)
        clone = _Git(way, way.folder / "clone")
        said = [here("push", "-u", url, "main")]
        said.append(here("clone", "-q", url, str(clone.at)))
        here("tag", "-a", "-m", "one", "v1", "main~100")
        here("branch", "side", "main~50")
        said.append(here("push", url, "side", "v1"))
        here("commit", "-q", "--amend", "-m", "the last, again")
        said.append(here("push", url, "main"))
        said.append(here("push", "--force", url, "main", ":side"))
        said.append(clone("fetch", "--tags", "--prune", "origin"))
        said.append(clone("ls-remote", "origin"))
        said.append(clone("clone", "-q", "--depth", "5", url, str(way.folder / "shallow")))
        return said, _all(bare), _all(clone), _Git(way, way.folder / "shallow")("log", "--format=%s").stdout

    (said, bare, clone, shallow), tapes = ways.same(work, sessions=8)
    assert [done.status for done in said] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert b"non-fast-forward" in said[3].stderr
    assert b"(forced update)" in said[4].stderr
    assert len(bare[1].splitlines()) > _COMMITS * 3
    assert set(bare[1].splitlines()) <= set(clone[1].splitlines())
    assert shallow.splitlines()[0] == b"the last, again"
    assert len(shallow.splitlines()) == 5
    programs = [tape.commands()[1].split()[0] for tape in tapes]
    assert [program.decode()[4:-5] for program in programs] == [
        "receive", "upload", "receive", "receive", "receive", "upload", "upload", "upload"
    ]  # fmt: skip
    assert b"PACK" in tapes[0].crossed(Kind.IN)
    assert b"PACK" in tapes[1].crossed(Kind.OUT)


def test_push_that_a_hook_refuses(ways: Ways) -> None:
    def work(way: Way) -> tuple[list[Outcome], tuple[bytes, bytes]]:
        here, bare, url = _origin(way)
        return [here("push", url, "main~290:refs/heads/main"), here("push", url, "main:locked")], _all(bare)

    ((first, refused), bare), (_, tape) = ways.same(work, sessions=2)
    assert (first.status, refused.status) == (0, 1)
    assert b"remote: no pushes to refs/heads/locked" in refused.stderr
    assert b"[remote rejected]" in refused.stderr
    assert b"locked" not in bare[0]
    assert b"no pushes to refs/heads/locked" in tape.crossed(Kind.OUT)


def test_shared_connection(ways: Ways, short_path: Path) -> None:
    def work(way: Way) -> tuple[list[Outcome], tuple[bytes, bytes], Outcome]:
        shared = f"-o ControlMaster=auto -o ControlPersist=60 -o ControlPath={short_path / way.folder.name}"
        here, bare, url = _origin(way, ssh=f"ssh -F {way.client.config} {shared}")
        said = [here("push", url, "main"), here("clone", "-q", url, str(way.folder / "clone")), here("ls-remote", url)]
        end = way.ssh("-O", "exit", "-S", str(short_path / way.folder.name), way.host)
        return said, _all(bare), end

    (said, _, end), (tape,) = ways.same(work)
    assert [done.status for done in (*said, end)] == [0] * 4
    assert len(tape.commands()) == 3
    assert b"PACK" in tape.crossed(Kind.IN, 1)
    assert b"PACK" in tape.crossed(Kind.OUT, 2)
