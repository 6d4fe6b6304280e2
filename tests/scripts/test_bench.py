"""The benchmarks run and print what they promise. Only sizes are judged here: those are exact."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([ROOT / "scripts/bench", *arguments], capture_output=True, text=True, timeout=600)


def test_tape_sizes_stay_within_their_limits(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = _bench("tape-size", "--rounds", "1", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    assert "colour log, 64 B writes" in done.stdout
    limits = {"colour log, 4 KiB writes": 0.20, "colour log, 64 B writes": 0.35, "random bytes, 32 KiB writes": 1.01}
    sizes = {figure["case"]: figure["ours"] for figure in json.loads(figures.read_text())["figures"]}
    assert sizes.keys() == limits.keys()
    assert all(0 < sizes[case] <= limits[case] for case in limits), sizes


def test_unknown_benchmark_is_a_usage_error() -> None:
    done = _bench("nonesuch")
    assert done.returncode == 2
    assert "no benchmark 'nonesuch'" in done.stderr


@pytest.mark.long
@pytest.mark.service
def test_every_benchmark_runs() -> None:
    done = _bench("--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("ssh-bulk", "ssh-echo", "ssh-setup", "tape-write", "tape-size"))
