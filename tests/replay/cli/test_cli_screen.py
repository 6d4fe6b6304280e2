"""`tacho screen` gives the screen of a moment: as text, as JSON with its styles, as a picture that stands alone."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.format.frame import Kind
from recorder.safe import printable
from replay.cli import tacho
from tests.replay.tapes import START, Tape

SVG = "{http://www.w3.org/2000/svg}"


def invoke(path: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(tacho, ["screen", str(path), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert printable(result.stdout + result.stderr, keep="\n") == result.stdout + result.stderr
    return result


def rows(path: Path, *arguments: str) -> list[str]:
    result = invoke(path, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An exec, then a terminal of 20 by 4 from 1 s on that grows at 3 s, then one of 10 by 2; 5 s."""
    tape = Tape(tmp_path).open().run(1, b"ls", b"out\n")
    tape.note(2, "channel", 1_000, type="session").note(2, "pty", 1_000, term="xterm", columns=20, rows=4, modes=b"")
    tape.note(2, "shell", 1_000).put(Kind.OUT, 2, b"$ \x1b]0;a title\x07", 1_500)
    tape.put(Kind.OUT, 2, b"\x1b[1;31mred\x1b[0m\r\n\r\n  two  \x1b[48;2;1;2;3mx", 2_000)
    tape.put(Kind.OUT, 2, b"y", 2_000)
    tape.note(2, "resize", 3_000, columns=30, rows=5).put(Kind.OUT, 2, b"\x1b[?1049h\x1b[?25l\x1b[Hfull", 3_500)
    tape.shell(3, columns=10, rows=2).put(Kind.OUT, 3, b"other", 4_000).note(2, "close", 5_000)
    return tape.close()


def test_the_rows_of_a_moment(path: Path) -> None:
    assert rows(path, "--at", "1.5") == ["$"]
    assert rows(path, "--at", "00:02") == rows(path, "--at", "2.9") == ["$ red", "", "  two  xy"]
    assert rows(path) == rows(path, "--at", "99:00") == ["full"]
    assert rows(path, "--stream", "3") == ["other"]
    assert rows(path, "--at", "@cmd:2") == []


def test_a_frame_is_the_very_frame(path: Path) -> None:
    document = json.loads(invoke(path, "--json", "--at", "2").stdout)
    first = next(number for number in range(40) if rows(path, "--at", f"@frame:{number}")[-1:] == ["  two  x"])
    assert rows(path, "--at", f"@frame:{first + 1}") == [line["text"] for line in document["lines"][:3]]


def test_before_it_opened_the_terminal_is_blank_and_the_moment_is_its_opening(path: Path) -> None:
    document = json.loads(invoke(path, "--json", "--at", "0").stdout)
    assert (document["offset"], document["columns"], document["rows"]) == (1.0, 20, 4)
    assert rows(path, "--at", "@frame:0") == []


def test_json_has_cursor_title_and_styles(path: Path) -> None:
    document = json.loads(invoke(path, "--json", "--at", "2").stdout)
    lines = document.pop("lines")
    assert re.fullmatch(r"[0-9a-f-]{36}", document.pop("id"))
    assert document == {
        "at": "2026-11-23T21:19:35.950210Z",
        "offset": 2.0,
        "stream": 2,
        "columns": 20,
        "rows": 4,
        "cursor": {"row": 2, "column": 9, "hidden": False},
        "alternate": False,
        "title": "a title",
    }
    assert START // 1_000_000_000 == 1_795_468_773  # the time above is two seconds later
    assert [line["text"] for line in lines] == ["$ red", "", "  two  xy", ""]
    assert lines[0]["runs"] == [{"text": "$ "}, {"text": "red", "fg": 1, "bold": True}, {"text": " " * 15}]
    assert lines[2]["runs"][1] == {"text": "xy", "bg": "#010203"}
    later = json.loads(invoke(path, "--json").stdout)
    assert (later["alternate"], later["cursor"]["hidden"], later["columns"]) == (True, True, 30)


def test_no_screen_is_said_with_what_there_is(path: Path, tmp_path: Path) -> None:
    plain = Tape(tmp_path / "plain").open().run(1, b"ls")
    plain.close()
    for result in (invoke(plain.path), invoke(path, "--stream", "1"), invoke(path, "--stream", "9")):
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no terminal" in result.stderr
        assert "tacho show" in result.stderr
    assert invoke(path, "--at", "soon\x1b[2J").exit_code == 2
    assert invoke(path, "--at", "@cmd:77").exit_code == 3
    assert invoke(path, "--json", "--svg").exit_code == 2
    assert invoke(tmp_path / "none.tape").exit_code == 3


def texts(svg: str) -> list[tuple[float, float, str]]:
    """Where each text stands, and what it is."""
    root = ElementTree.fromstring(svg)
    found = [(element.get("x"), element.get("y"), element.text) for element in root.iter(f"{SVG}text")]
    return [(float(x or -1), float(y or -1), text or "") for x, y, text in found]


def test_the_picture_is_one_file_on_the_grid(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().shell(1, columns=20, rows=3)
    tape.put(
        Kind.OUT, 1, "a日本b <&\"'>\r\n\x1b[31;44m col \x1b[0m\x1b[7mrev\x1b[0m\x1b[30;40m\x1b[8mhid\x1b[0m".encode()
    )
    svg = invoke(tape.close(), "--svg").stdout
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import|@font-face|<script|href", svg)
    placed = texts(svg)
    x = {text: at for at, _, text in placed}
    cell = x["日"] - x["a"]
    assert (x["本"] - x["日"], x["b <&\"'>"] - x["本"]) == (2 * cell, 2 * cell)
    assert len({y for _, y, _ in placed}) == 2
    assert 'fill="#6fa8dc"' in svg  # the blue behind "col"
    assert "#ffc454" in svg  # what hides is drawn


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_output_is_printable_text_and_well_formed_xml(tmp_path: Path, data: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        tape = Tape(Path(folder)).open().shell(1, columns=30, rows=4).put(Kind.OUT, 1, data)
        path = tape.close()
        rows(path)
        json.loads(invoke(path, "--json").stdout)
        texts(invoke(path, "--svg").stdout)


def test_a_renderer_draws_it(path: Path, tmp_path: Path) -> None:
    svg = invoke(path, "--svg", "--at", "2").stdout
    done = subprocess.run(["rsvg-convert", "-f", "png"], input=svg.encode(), capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\x89PNG")
