"""sftp in batches: whole folders up and down, and every command of a batch, those that fail among them."""

import hashlib
import os
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from tests.interop.ways import Entry, Outcome, Way, Ways, tree

pytestmark = pytest.mark.service

_LARGE = hashlib.shake_256(b"sftp").digest(1_000_003)
_TIME = 1_700_000_000_000_000_000
_BATCH = """
mkdir {at}
put -rp {up} {at}/up
ls -l {at}/up/deep
cd {at}/up
pwd
-put {up}/none
-get none {back}
-mkdir deep
-rm none
rename deep/large deep/renamed
-rename deep/renamed none/renamed
rm empty
mkdir new
rmdir new
chmod 0604 small
-chmod 0604 none
symlink small link
ln small hard
ls -1
get -rp . {back}/down
reget deep/renamed {back}/part
"""

Left = tuple[Outcome, dict[str, Entry], dict[str, Entry]]


def _sftp(way: Way, batch: str) -> Outcome:
    return way.run(way.client.command("sftp", "-b", "-", way.host), batch.encode())


def _folders(way: Way) -> dict[str, Path]:
    folders = {name: way.folder / name for name in ("up", "at", "back")}
    folders["back"].mkdir()
    up = folders["up"]
    (up / "deep/er").mkdir(parents=True)
    (up / "deep/large").write_bytes(_LARGE)
    (up / "deep/er/n\u00e4me with space").write_bytes(bytes(range(256)))
    (up / "empty").touch()
    (up / "small").write_bytes(b"small\n")
    (folders["back"] / "part").write_bytes(_LARGE[:500_000])
    for path in (*up.rglob("*"), up):
        path.chmod(0o750 if path.is_dir() else 0o640)
        os.utime(path, ns=(_TIME, _TIME))
    return folders


def test_batch(ways: Ways) -> None:
    def run(way: Way) -> Left:
        folders = _folders(way)
        done = _sftp(way, _BATCH.format(**folders))
        return done, tree(folders["at"]), tree(folders["back"])

    (done, at, back), (tape,) = ways.same(run)
    assert done.status == 0, done
    large = hashlib.sha256(_LARGE).hexdigest()
    assert at["up/deep/renamed"].content == back["down/deep/renamed"].content == back["part"].content == large
    assert (at["up/small"].mode, at["up/small"].links, at["up/link"].content) == ("-rw----r--", 2, "small")
    assert "up/empty" not in at
    assert b"%" not in done.stdout
    assert done.stderr.count(b"\n") >= 6
    assert tape.noted("subsystem") == [{"subsystem": b"sftp"}]
    assert all(_LARGE[offset : offset + 8192] in tape.crossed(Kind.IN) for offset in (0, 500_000, 990_000))
    assert all(_LARGE[offset : offset + 8192] in tape.crossed(Kind.OUT) for offset in (0, 524_288, 990_000))
    assert b"none/renamed" in tape.crossed(Kind.IN)


@pytest.mark.parametrize(
    "failing",
    ["get {at}/none {back}", "mkdir {at}", "cd {at}/none"],
)
def test_batch_that_ends_at_a_failure(ways: Ways, failing: str) -> None:
    def run(way: Way) -> Left:
        folders = _folders(way)
        done = _sftp(way, f"mkdir {{at}}\n{failing}\nput {{up}}/small {{at}}/small\n".format(**folders))
        return done, tree(folders["at"]), tree(folders["back"])

    (done, at, _), (tape,) = ways.same(run)
    assert (done.status, list(at)) == (1, ["."])
    assert done.stderr
    assert b"small" not in tape.crossed(Kind.IN)
