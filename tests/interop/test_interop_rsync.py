"""rsync over thousands of small files: both ways, deletions, hard links, times, permissions; broken off, then done."""

import hashlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Entry, Outcome, Way, Ways, tree, verified
from tests.servers.process import LIMIT_S
from tests.servers.tapes import until

pytestmark = pytest.mark.service

_FILES = 3000
_TIME = 1_700_000_000_000_000_000


def _many_files(folder: Path) -> None:
    chance = random.Random(3000)
    for number in range(_FILES):
        path = folder / f"d{number % 50}/e{number % 7}/f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.shake_256(b"%d" % number).digest(chance.randrange(400)))
        path.chmod(chance.choice((0o644, 0o600, 0o755, 0o440)))
        os.utime(path, ns=(_TIME, _TIME + number * 1_000_000_007))
    (folder / "hard").hardlink_to(folder / "d1/e1/f1")
    (folder / "link").symlink_to("d1/e1")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "d2").chmod(0o711)
    _date_folders(folder)


def _date_folders(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink() or path.is_dir():
            os.utime(path, ns=(_TIME, _TIME), follow_symlinks=False)


def _command(way: Way, *arguments: str) -> list[str | bytes]:
    return ["rsync", "-e", f"ssh -F {way.client.config}", *arguments]


def test_thousands_of_files_both_ways(ways: Ways) -> None:
    def run(way: Way) -> tuple[list[Outcome], dict[str, Entry], dict[str, Entry]]:
        here, there, back = way.folder / "here", way.folder / "there", way.folder / "back"
        _many_files(here)
        remote = f"{way.host}:{there}/"
        said = [way.run(_command(way, "-aHi", f"{here}/", remote))]
        for number in range(0, _FILES, 10):
            (here / f"d{number % 50}/e{number % 7}/f{number}").unlink()
        changed = here / "d1/e1/f1"  # its size and time stay: only a checksum shows it
        changed.write_bytes(bytes(changed.stat().st_size))
        os.utime(changed, ns=(_TIME, _TIME + 1_000_000_007))
        (here / "d3/e3/f3").chmod(0o601)
        _date_folders(here)
        (there / "stranger").write_text("not from here")
        said.append(way.run(_command(way, "-aHi", "--delete", "--checksum", f"{here}/", remote)))
        said.append(way.run(_command(way, "-aHi", "--delete", "--checksum", f"{here}/", remote)))
        said.append(way.run(_command(way, "-aHi", remote, f"{back}/")))
        assert tree(here, times=True) == tree(there, times=True)
        return said, tree(there), tree(back)

    (said, there, back), tapes = ways.same(run, sessions=4)
    assert [(done.status, done.stderr) for done in said] == [(0, b"")] * 4
    assert back == there
    assert said[0].stdout.count(b"<f+++++++++") == _FILES
    assert said[1].stdout.count(b"*deleting ") == _FILES // 10 + 1
    assert said[2].stdout == b""
    assert said[3].stdout.count(b">f+++++++++") == _FILES * 9 // 10
    assert all(tape.commands()[1].startswith(b"rsync --server") for tape in tapes)
    assert hashlib.shake_256(b"2997").digest(20) in tapes[0].crossed(Kind.IN)
    assert hashlib.shake_256(b"2997").digest(20) in tapes[3].crossed(Kind.OUT)
    assert len(tapes[2].crossed(Kind.IN)) < len(tapes[0].crossed(Kind.IN)) // 4


def test_run_that_is_broken_off_and_another_that_completes_it(ways: Ways) -> None:
    def run(way: Way) -> tuple[int, Outcome, dict[str, Entry]]:
        here, there = way.folder / "here", way.folder / "there"
        here.mkdir()
        for number in range(200):
            (here / f"f{number}").write_bytes(hashlib.shake_256(b"%d" % number).digest(20_000))
        over = way.folder / "over"
        server = way.folder / "rsync"
        server.write_text(f'#!/bin/sh\nrsync "$@"\ntouch {over}\n')
        server.chmod(0o755)
        command = _command(way, "-a", "--bwlimit=600", f"--rsync-path={server}", f"{here}/", f"{way.host}:{there}")
        with subprocess.Popen(command, env=way.client.env, stderr=subprocess.DEVNULL) as rsync:
            until(lambda: True if _files(there) > 20 else None, "the first files")
            rsync.send_signal(signal.SIGKILL)
            rsync.wait(LIMIT_S)
        until(lambda: True if over.exists() else None, "the end of the target's rsync")
        assert 20 < _files(there) < 200
        done = way.run(_command(way, "-a", "--delete", f"{here}/", f"{way.host}:{there}"))
        assert tree(there) == tree(here)
        return rsync.returncode, done, tree(there)

    (killed, done, _), (first, second) = ways.same(run, sessions=2)
    assert (killed, done) == (-signal.SIGKILL, Outcome(0, b"", b""))
    assert len(first.crossed(Kind.IN)) < 200 * 20_000
    assert hashlib.shake_256(b"199").digest(20_000) in second.crossed(Kind.IN)
    verified(ways.gateway, first)


def _files(folder: Path) -> int:
    return len(list(folder.glob("f*")))
