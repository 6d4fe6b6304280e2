"""The demo as a whole: what it prints, what it leaves, and what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def _demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(_ROOT / "scripts/demo.d/run_demo.py"), *arguments],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"},
    )


@pytest.mark.service
def test_plain_demo_prints_transcript_verification_and_exports(tmp_path: Path) -> None:
    done = _demo("--plain", "--embedded", "--keep", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    transcript, _, rest = done.stdout.partition("== verification")
    verification, _, exports = rest.partition("== exports")
    for seen in ("cat shop.conf", "does not end", "is live", "./health"):
        assert seen in transcript
    assert verification.count("complete") >= 2
    paths = [Path(line) for line in exports.splitlines() if line.startswith("/")]
    assert sorted(path.suffix for path in paths) == [".cast", ".cast", ".txt", ".txt"]
    assert all(path.parent == tmp_path / "kept/exports" and path.stat().st_size for path in paths)
    assert "embedded SSH server" in done.stderr


def test_folder_to_keep_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = _demo("--plain", "--keep", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("option", ["--story", "--scale", "--keep", "extra"])
def test_unknown_options_print_the_usage_before_anything_starts(option: str) -> None:
    direct = _demo(option)
    script = subprocess.run([str(_ROOT / "scripts/demo"), option], capture_output=True, text=True, timeout=30)
    for done in (direct, script):
        assert done.returncode == 2
        assert "usage: scripts/demo" in done.stderr
        assert done.stdout == ""
