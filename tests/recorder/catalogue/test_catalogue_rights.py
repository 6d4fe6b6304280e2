"""Who may open the catalogue: its owner writes, its group reads, whatever its gateway does; others hear why not."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.catalogue.sqlite import Catalogue
from tests.recorder.catalogue.test_catalogue import session
from tests.servers.gateway import ROOT
from tests.servers.other_user import STRANGER, needs_root, tacho_as
from tests.servers.process import environment


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_owner_writes_and_the_group_reads_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "catalogue.db"
    before = os.umask(umask)
    try:
        catalogue = Catalogue(path, write=True)
        catalogue.put(session())
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    catalogue.close()
    assert modes == {"catalogue.db": 0o640, "catalogue.db-wal": 0o640, "catalogue.db-shm": 0o640}


def test_rights_that_its_owner_gave_it_stay(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    Catalogue(path, write=True).close()
    path.chmod(0o600)
    Catalogue(path, write=True).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_settling_waits_for_a_reader_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.db"
    catalogue = Catalogue(path, write=True)
    catalogue.put(session())
    script = "import sqlite3,sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT * FROM session').fetchall();"
    script += "print('reads', flush=True); sys.stdin.read(1)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == b"reads\n"
        with pytest.raises(sqlite3.OperationalError):
            catalogue._db.execute("PRAGMA journal_mode=DELETE")
        reader.stdin.close()
        catalogue.settle()
    catalogue.close()
    assert path.read_bytes()[18:20] == b"\x01\x01"
    assert [file.name for file in tmp_path.iterdir()] == ["catalogue.db"]


@contextmanager
def writer(folder: Path, *, settles: bool) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has the catalogue in `folder` open, as a gateway has; killed at the end unless it `settles`."""
    script = (
        "import sys; from pathlib import Path; from recorder.catalogue.sqlite import Catalogue;"
        "from tests.recorder.catalogue.test_catalogue import session;"
        "c = Catalogue(Path(sys.argv[1]), write=True); c.put(session()); print('up', flush=True);"
        "sys.stdin.read(); c.settle(); c.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "var/catalogue.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(PYTHONPATH=str(ROOT)),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process
        if not settles:
            process.send_signal(signal.SIGKILL)


@pytest.fixture
def folder(common_path: Path) -> Path:
    file = common_path / "tachograph.toml"
    file.write_text("")
    (common_path / "var").mkdir(mode=0o750)
    return common_path


def ls(folder: Path, group: int = 0) -> tuple[int, str, str]:
    done = tacho_as(STRANGER, "ls", "--json", "--config", str(folder / "tachograph.toml"), group=group)
    return done.returncode, done.stdout, done.stderr


@needs_root
def test_a_user_of_its_group_reads_beside_the_gateway_and_after_it(folder: Path) -> None:
    with writer(folder, settles=True):
        status, listed, said = ls(folder)
        assert (status, said) == (0, "")
        assert session().id in listed
    assert ls(folder) == (0, listed, "")
    assert [file.name for file in (folder / "var").iterdir()] == ["catalogue.db"]


@needs_root
def test_a_user_of_its_group_reads_what_a_killed_gateway_left_or_hears_why_not(folder: Path) -> None:
    with writer(folder, settles=False):
        pass
    status, listed, said = ls(folder)
    assert (status, said) == (0, "")
    assert session().id in listed
    (folder / "var/catalogue.db-shm").unlink()
    status, listed, said = ls(folder)
    assert (status, listed) == (1, "")
    why = "its gateway did not stop cleanly, and you may not write beside it; start the gateway once"
    assert said == f"tacho: cannot open the catalogue {folder}/var/catalogue.db: {why}\n"


@needs_root
def test_who_is_not_in_its_group_hears_what_to_ask_for(folder: Path) -> None:
    with writer(folder, settles=True):
        pass
    status, listed, said = ls(folder, group=STRANGER)
    assert (status, listed) == (1, "")
    assert said == f"tacho: cannot read or write {folder}/var/catalogue.db: Permission denied\n"
    (folder / "var").chmod(0o755)
    status, listed, said = ls(folder, group=STRANGER)
    assert (status, listed) == (1, "")
    why = "you may not read it; ask to be added to its group"
    assert said == f"tacho: cannot open the catalogue {folder}/var/catalogue.db: {why}\n"
