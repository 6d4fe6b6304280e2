"""The benchmarks run and print what they promise. Only sizes are judged here: those are exact."""

import json
import math
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([ROOT / "scripts/bench", *arguments], capture_output=True, text=True, timeout=600)


def _figures(folder: Path, *arguments: str) -> list[dict[str, object]]:
    path = folder / "figures.json"
    done = _bench(*arguments, "--json", str(path))
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(path.read_text())["figures"]
    return found


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


# What each benchmark says when everything is so small that it only shows that it runs.
_CASES = {
    "journal": {"put, 20 B", "put, 32 KiB", "append to a tape, 4 KiB", "sync of 20 frames"},
    "tape-seek": {"8 MB, iterated", "a seek, p50", "a seek, p99", "opened by its footer", "opened without a footer"},
    "tape-write": {"random, 32 KiB writes", "colour log, 4 KiB writes"},
    "ssh-echo": {"one key, alone, p50", "one key, beside a download, p50", "one key, beside a download, p99"},
    "ssh-idle": {"0 sessions", "each of 4, just opened", "download of 8 MiB, peak", "upload of 8 MiB, peak"},
    "ssh-bulk": {"download, random", "upload, random", "download, colour log"},
    "ssh-setup": {"ssh HOST true"},
}


@pytest.mark.service
@pytest.mark.parametrize("name", _CASES)
def test_benchmark_prints_its_figures(name: str, tmp_path: Path) -> None:
    figures = _figures(tmp_path, name, "--size", "tiny", "--rounds", "1")
    assert {figure["name"] for figure in figures} == {name}
    assert {str(figure["case"]) for figure in figures} >= _CASES[name]
    assert all(isinstance(figure["ours"], float) and math.isfinite(figure["ours"]) for figure in figures)


def test_seek_reads_one_chunk(tmp_path: Path) -> None:
    figures = _figures(tmp_path, "tape-seek", "--size", "tiny", "--rounds", "1")
    (chunks,) = [figure["ours"] for figure in figures if figure["unit"] == "chunks"]
    assert chunks == pytest.approx(1, abs=0.05)


@pytest.mark.long
@pytest.mark.service
@pytest.mark.timeout(900)
def test_every_benchmark_runs() -> None:
    done = _bench("--rounds", "1")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in (*_CASES, "tape-size"))
