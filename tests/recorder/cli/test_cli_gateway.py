"""`tacho gateway` and the machine's other users: what it does not start with, and what it lets them read."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.servers.gateway import refusal_to_start
from tests.servers.other_user import STRANGER, needs_root
from tests.servers.site import Site

pytestmark = pytest.mark.service


@pytest.mark.parametrize("what", ["", "catalogue.db", "keys", "tapes"])
def test_it_does_not_start_with_what_others_may_write(site: Site, tmp_path: Path, what: str) -> None:
    folder = site.prepare(tmp_path / "g")
    path = folder / "var" / what
    path.chmod(path.stat().st_mode | 0o020)
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said.endswith(f" {path} may be written by others: run `chmod g-w {path}`\n")
    assert len(said.splitlines()) == 1


@needs_root
@pytest.mark.parametrize("what", ["tachograph.toml", ".", "var", "var/catalogue.db", "var/keys"])
def test_it_does_not_start_with_what_is_another_users(site: Site, tmp_path: Path, what: str) -> None:
    folder = site.prepare(tmp_path / "g")
    shutil.chown(folder / what, STRANGER)
    status, said = refusal_to_start(folder)
    assert status == 1
    assert said.endswith(f" belongs to uid {STRANGER}: run the gateway as that user, or `chown 0 {folder / what}`\n")
    assert len(said.splitlines()) == 1


def test_what_it_writes_the_group_may_read_and_nobody_else(site: Site, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        gateway = site.start(tmp_path / "g")
    finally:
        os.umask(before)
    try:
        watch = gateway.watch()
        assert site.client(tmp_path / "c", gateway).exec("echo a").stdout == b"a\n"
        watch.tape()
        modes = {path: path.stat().st_mode for path in (*gateway.tapes.rglob("*"), *gateway.data.glob("catalogue*"))}
        assert {stat.S_IMODE(mode) for mode in modes.values() if stat.S_ISREG(mode)} == {0o640}
        assert {stat.S_IMODE(mode) for mode in modes.values() if stat.S_ISDIR(mode)} == {0o750}
        assert len([path for path in modes if path.name.startswith("catalogue")]) == 3
    finally:
        assert gateway.stop() == 0
    assert not (gateway.data / "run/control.sock").exists()
