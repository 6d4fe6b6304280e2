"""`tacho init`: what may be read and written by whom, whatever the umask, and where it refuses to write."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recorder.cli import COMMANDS
from recorder.config import load
from recorder.config.guard import check_gateway

INIT = next(command for command in COMMANDS if command.name == "init")


def init(folder: Path, umask: int = 0o022) -> Result:
    before = os.umask(umask)
    try:
        return CliRunner().invoke(INIT, [str(folder)])
    finally:
        assert os.umask(before) == umask


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o777])
def test_the_group_may_read_what_is_no_key_and_the_owner_alone_writes(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "a" / "flight"
    assert init(folder, umask).exit_code == 0
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    private = {"var/keys/gateway", "var/keys/ssh_host", "var/keys/upstream"}
    assert {name for name, mode in modes.items() if mode == 0o600} == private
    assert {name for name, mode in modes.items() if mode == 0o750} == {"var", "var/keys", "var/tapes"}
    assert {modes[name] for name in modes.keys() - private if "." in Path(name).name} == {0o640}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    check_gateway(load(folder / "tachograph.toml"))


def test_a_fresh_catalogue_is_one_file(tmp_path: Path) -> None:
    assert init(tmp_path / "flight").exit_code == 0
    found = sorted(path.name for path in (tmp_path / "flight/var").glob("catalogue*"))
    assert found == ["catalogue.db"]
    header = (tmp_path / "flight/var/catalogue.db").read_bytes()[18:20]
    assert header == b"\x01\x01"  # no write-ahead log: who may not write in the folder can read it


def test_a_folder_that_others_may_write_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o775)
    done = init(folder)
    assert done.exit_code == 1
    assert f"run `chmod g-w {folder}`" in done.stderr
    assert list(folder.iterdir()) == []


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    folder = tmp_path / "flight"
    assert init(folder).exit_code == 0
    key = (folder / "var/keys/gateway").read_bytes()
    again = init(folder)
    assert (again.exit_code, "exists already: name another folder" in again.stderr) == (1, True)
    assert (folder / "var/keys/gateway").read_bytes() == key
