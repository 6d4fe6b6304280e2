"""What a gateway refuses to start with: files and folders that others write, or that are another user's."""

import os
from pathlib import Path

import pytest

from recorder.config import Config, ConfigError, load
from recorder.config.guard import check_gateway, faults

OTHER = 61234


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "flight" / "tachograph.toml"
    file.parent.mkdir(mode=0o750)
    file.touch(mode=0o640)
    found = load(file)
    for folder in (found.data, found.keys, found.tapes, found.journal, found.socket.parent):
        folder.mkdir(mode=0o750)
    found.catalogue.touch(mode=0o640)
    return found


def kept(config: Config) -> dict[str, Path]:
    return {
        "data folder": config.data,
        "catalogue": config.catalogue,
        "folder of keys": config.keys,
        "folder of tapes": config.tapes,
        "folder of the journal": config.journal,
        "folder of sockets": config.socket.parent,
    }


def test_what_is_ones_own_is_taken(config: Config) -> None:
    assert list(faults(config, os.geteuid())) == []
    check_gateway(config)


def test_what_is_missing_is_somebody_elses_business(tmp_path: Path) -> None:
    file = tmp_path / "tachograph.toml"
    file.touch(mode=0o640)
    check_gateway(load(file))


@pytest.mark.parametrize(("bits", "mend"), [(0o020, "g-w"), (0o002, "o-w"), (0o022, "g-w,o-w"), (0o1022, "g-w,o-w")])
def test_what_others_may_write_is_named_with_the_mend(config: Config, bits: int, mend: str) -> None:
    for what, path in kept(config).items():
        before = path.stat().st_mode
        path.chmod(before | bits)
        with pytest.raises(
            ConfigError, match=f"^the {what} {path} may be written by others: run `chmod {mend} {path}`$"
        ):
            check_gateway(config)
        path.chmod(before)
    check_gateway(config)


def test_what_is_another_users_is_named_with_the_mend(config: Config) -> None:
    mine = os.geteuid()
    files = {"configuration": config.path, "folder of the configuration": config.path.parent, **kept(config)}
    assert list(faults(config, OTHER)) == [
        f"the {what} {path} belongs to uid {mine}: run the gateway as that user, or `chown {OTHER} {path}`"
        for what, path in files.items()
        if mine or path not in (config.path, config.path.parent)  # root's configuration is anybody's
    ]
