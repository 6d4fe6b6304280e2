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


@pytest.mark.parametrize(
    ("mode", "mend"), [(0o666, "g-w,o-w"), (0o602, "o-w"), (0o660, "g-w"), (0o664, "g-w"), (0o4664, "g-w")]
)
def test_a_file_that_others_may_write_is_refused_with_the_mend(tmp_path: Path, mode: int, mend: str) -> None:
    path = tmp_path / "tachograph.toml"
    path.write_text("no TOML at all")  # it is not even parsed
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"may be written by others: run `chmod {mend} {path}`$"):
        load(path)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o755])
def test_a_file_that_others_may_only_read_is_loaded(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tachograph.toml"
    path.touch()
    path.chmod(mode)
    assert load(path).data == tmp_path / "var"


@pytest.mark.parametrize(("mode", "mend"), [(0o777, "g-w,o-w"), (0o770, "g-w"), (0o2775, "g-w"), (0o703, "o-w")])
def test_a_folder_in_which_others_may_replace_it_is_refused(tmp_path: Path, mode: int, mend: str) -> None:
    folder = tmp_path / "flight"
    folder.mkdir()
    path = folder / "tachograph.toml"
    path.touch()
    folder.chmod(mode)
    with pytest.raises(
        ConfigError, match=f"others may replace the configuration in {folder}: run `chmod {mend} {folder}`"
    ):
        load(path)
    elsewhere = tmp_path / "tachograph.toml"
    elsewhere.symlink_to(path)
    with pytest.raises(ConfigError, match=f"in {folder}: "):
        load(elsewhere)


def test_a_folder_like_tmp_in_which_each_keeps_their_own_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "flight"
    folder.mkdir()
    path = folder / "tachograph.toml"
    path.touch()
    folder.chmod(0o1777)
    assert load(path).data == folder / "var"


def test_a_relative_path_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tachograph.toml").touch()
    tmp_path.chmod(0o770)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="chmod g-w"):
        load(Path("tachograph.toml"))


@pytest.mark.parametrize("what", ["folder", "latin-1"])
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, what: str) -> None:
    path = tmp_path / "tachograph.toml"
    if what == "folder":
        path.mkdir(mode=0o755)
    else:
        path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(path)
