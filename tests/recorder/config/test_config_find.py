"""Where the configuration is found, and which file is refused."""

from pathlib import Path

import pytest

from recorder.config import ConfigError, find, load


def test_the_named_file_wins(tmp_path: Path) -> None:
    assert find(tmp_path / "named.toml", {"TACHO_CONFIG": "/other"}) == tmp_path / "named.toml"


def test_the_variable_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tachograph.toml").touch()
    assert find(None, {"TACHO_CONFIG": "/other"}) == Path("/other")


def test_then_the_folder_one_is_in_then_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    (home / "tachograph").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    assert find(None, {}) == Path("tachograph.toml")  # nowhere: the message names the nearest place
    user = home / "tachograph" / "tachograph.toml"
    user.touch()
    assert find(None, {"TACHO_CONFIG": ""}) == user
    (here / "tachograph.toml").touch()
    assert find(None, {}) == Path("tachograph.toml")


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tacho init"):
        load(tmp_path / "tachograph.toml")


def test_a_file_that_anybody_may_write_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "tachograph.toml"
    path.touch()
    path.chmod(0o666)
    with pytest.raises(ConfigError, match=f"chmod o-w {path}"):
        load(path)
    path.chmod(0o644)
    assert load(path).data == tmp_path / "var"


@pytest.mark.parametrize("what", ["folder", "latin-1"])
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, what: str) -> None:
    path = tmp_path / "tachograph.toml"
    if what == "folder":
        path.mkdir(mode=0o755)
    else:
        path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(path)
