"""scp old and new: folders with their times and modes, what fails among what does not, from target to target."""

import hashlib
import os
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Entry, Outcome, Way, Ways, tree

pytestmark = pytest.mark.service

_LARGE = hashlib.shake_256(b"scp").digest(2_000_003)
_TIME = 1_700_000_000_000_000_000

old_and_new = pytest.mark.parametrize("form", ["-O", "-s"])


def _some_files(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/large").write_bytes(_LARGE)
    (folder / "deep/er/n\u00e4me with 'space'").write_bytes(bytes(range(256)))
    (folder / "empty").touch()
    for path, mode in ((folder / "deep/large", 0o640), (folder / "empty", 0o604), (folder / "deep/er", 0o711)):
        path.chmod(mode)
    for path in (*folder.rglob("*"), folder):
        os.utime(path, ns=(_TIME, _TIME))


def _scp(way: Way, *arguments: str) -> Outcome:
    return way.run(way.client.command("scp", *arguments))


@old_and_new
def test_folders_up_and_down(ways: Ways, form: str) -> None:
    def work(way: Way) -> tuple[Outcome, Outcome, dict[str, Entry], dict[str, Entry]]:
        here, there, back = (way.folder / name for name in ("here", "there", "back"))
        _some_files(here)
        up = _scp(way, form, "-r", "-p", str(here), f"{way.host}:{there}")
        down = _scp(way, form, "-r", "-p", f"{way.host}:{there}", str(back))
        assert tree(here, times=True) == tree(there, times=True)
        return up, down, tree(there, times=True), tree(back, times=True)

    (up, down, there, back), (first, second) = ways.same(work, sessions=2)
    assert up == down == Outcome(0, b"", b"")
    assert back == there
    # In the old form a packet is only what the file is, in the new one its parts are numbered.
    piece = len(_LARGE) if form == "-O" else 8192
    assert _LARGE[:piece] in first.crossed(Kind.IN)
    assert _LARGE[:piece] in second.crossed(Kind.OUT)


@old_and_new
def test_files_that_are_not_there(ways: Ways, form: str) -> None:
    def work(way: Way) -> tuple[list[Outcome], dict[str, Entry]]:
        (way.folder / "one").write_text("one\n")
        (way.folder / "to").mkdir()
        at = f"{way.host}:{way.folder}"
        said = [_scp(way, form, f"{at}/none", f"{at}/one", f"{way.folder}/to")]
        said.append(_scp(way, form, f"{way.folder}/one", f"{at}/no/folder/one"))
        return said, tree(way.folder / "to")

    (said, to), _ = ways.same(work, sessions=3)
    assert [done.status for done in said] == [1, 1]
    assert all(b"No such file or directory" in done.stderr for done in said), said
    assert list(to) == [".", "one"]


@old_and_new
def test_from_target_to_target(ways: Ways, form: str) -> None:
    def work(way: Way) -> tuple[Outcome, dict[str, Entry]]:
        _some_files(way.folder / "here")
        at = f"{way.host}:{way.folder}"
        done = _scp(way, "-3", form, "-r", "-p", f"{at}/here", f"{at}/there")
        return done, tree(way.folder / "there", times=True)

    (done, there), tapes = ways.same(work, sessions=2)
    assert done == Outcome(0, b"", b"")
    assert there == tree(ways.through.folder / "here", times=True)
    assert sorted(_LARGE[:8192] in tape.crossed(Kind.IN) for tape in tapes) == [False, True]
    assert sorted(_LARGE[:8192] in tape.crossed(Kind.OUT) for tape in tapes) == [False, True]
