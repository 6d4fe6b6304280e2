"""The reviewer's verbs as scripts and people use them: output, JSON, exit codes, one-sentence errors."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from recorder.format.frame import Kind
from recorder.model import State
from replay.cli import tacho
from tests.replay.tapes import Library, Tape, small

SESSION_KEYS = """
    id run request on_behalf_of protocol agent code workload credential sources unattributed target login client started
    ended duration state bytes_in bytes_out commands verdicts gaps not_captured segments tags size tenant
"""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path)
    for minutes, (agent, run) in enumerate([("ci", "r1"), ("bot\x1b[31m", "r2"), ("ci", "r2")]):
        tape = library.tape(minutes).open().run(1, b"ls -la \x1b[2J", b"a\n", b"oops\n", status=minutes)
        tape.close()
        library.add(tape, agent=agent, run=run, on_behalf_of="ana" if minutes else None, unattributed=not minutes)
    return library


def invoke(library: Library, *arguments: str) -> Result:
    result = CliRunner().invoke(tacho, [*arguments, "--config", str(library.file)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert all(part.isprintable() for part in (result.stdout + result.stderr).replace("\t", "").split("\n"))
    return result


def ids(library: Library, *arguments: str) -> list[str]:
    result = invoke(library, "ls", "--json", *arguments)
    assert result.exit_code == 0
    return [json.loads(line)["id"][-8:] for line in result.stdout.splitlines()]


def newest(library: Library) -> str:
    return ids(library)[0]


def test_ls_is_a_table_newest_first(library: Library) -> None:
    result = invoke(library, "ls")
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["ID", "WHEN", "LASTED", "AGENT", "FOR", "TARGET", "IN/OUT", "STATE"]
    assert [row[:8] for row in rows] == ids(library)
    assert rows[1].split() == [
        ids(library)[1], "2026-11-23T21:20:33Z", "4.0s", "bot\\e[31m", "ana", "deploy@web1", "5B/7B", "closed"
    ]  # fmt: skip


def test_json_of_a_session_has_exactly_the_documented_keys(library: Library) -> None:
    line = invoke(library, "ls", "--json").stdout.splitlines()[2]
    session = json.loads(line)
    assert list(session) == SESSION_KEYS.split()
    assert session["agent"] == {"name": "ci", "issuer": None, "subject": None}
    assert session["verdicts"] == {"allowed": 1, "denied": 0, "masked": 0, "asked": 0}
    assert (session["started"], session["duration"]) == ("2026-11-23T21:19:33.950210Z", 4.0)
    assert (session["commands"], session["tenant"], session["not_captured"]) == (None, None, [])


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--agent", "ci"], [2, 0]),
        (["--agent", "bot*"], [1]),
        (["--for", "ana"], [2, 1]),
        (["--run", "r2"], [2, 1]),
        (["--since", "2026-11-23T21:20:00Z"], [2, 1]),
        (["--until", "2026-11-23T21:20:00Z"], [0]),
        (["--since", "2026-11-24"], []),
        (["--unattributed"], [0]),
        (["--target", "db*"], []),
        (["--protocol", "ssh", "--verdict", "allowed"], [2, 1, 0]),
        (["--verdict", "denied"], []),
        (["--tag", "x"], []),
        (["--request", "y"], []),
    ],
)
def test_filters(library: Library, filters: list[str], found: list[int]) -> None:
    everything = ids(library)[::-1]
    assert ids(library, *filters) == [everything[number] for number in found]


def test_times_that_are_none_are_usage_errors(library: Library) -> None:
    for text in ("yesterday", "2026-11-23T21:20:00", "5", "\x1b[2J"):
        result = invoke(library, "ls", "--since", text)
        assert result.exit_code == 2
        assert "is no time" in result.stderr
    assert invoke(library, "ls", "--since", "3d").exit_code == 0


def test_live_sessions_whose_gateway_is_gone_are_unclosed(library: Library) -> None:
    live, gone = library.tape(10).open().flush(), library.tape(11).open().flush()
    for tape in (live, gone):
        library.add(tape, State.LIVE)
    gone.abandon()
    states = [json.loads(line)["state"] for line in invoke(library, "ls", "--json").stdout.splitlines()]
    assert states[:2] == ["unclosed", "live"]
    live.close()
    states = [json.loads(line)["state"] for line in invoke(library, "ls", "--json").stdout.splitlines()]
    assert states[:2] == ["unclosed", "closed"]


def test_show_prints_what_was_asked_and_what_came_back(library: Library) -> None:
    lines = invoke(library, "show", newest(library)).stdout.splitlines()
    assert "00:00.003 [1] $ ls -la \\e[2J" in lines
    assert "    a" in lines
    assert "  ! oops" in lines
    assert "00:00.008 [1] = exit 2 after 0.01 s" in lines


def test_show_of_a_run_has_all_its_sessions_oldest_first(library: Library) -> None:
    result = invoke(library, "show", "r2", "--plain")
    found = [line[-8:] for line in result.stdout.splitlines() if line.startswith("session ")]
    assert found == ids(library, "--run", "r2")[::-1]


def test_show_of_a_span(library: Library) -> None:
    result = invoke(library, "show", newest(library), "--from", "@frame:6", "--to", "+0.001")
    shown = result.stdout.split("\n\n", 1)[1].splitlines()
    assert shown == ["00:00.003 [1] $ ls -la \\e[2J", "  ! oops"]


def test_cmds(library: Library) -> None:
    name = newest(library)
    assert invoke(library, "cmds", name).stdout.split() == [
        "1", "00:00", "0.01s", "2", "0B/7B", "ls", "-la", "\\e[2J"
    ]  # fmt: skip
    command = json.loads(invoke(library, "cmds", name, "--json").stdout)
    assert command["text"] == "ls -la \x1b[2J"
    assert (command["number"], command["status"], command["ok"], command["bytes_out"]) == (1, 2, False, 7)
    assert command["at"] == "2026-11-23T21:21:33.953210Z"


def test_verify_says_complete_and_exits_0(library: Library) -> None:
    result = invoke(library, "verify", newest(library))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "complete and unchanged"
    assert "the key that you named" in result.stdout


def test_verify_exits_4_for_what_is_wrong(library: Library, tmp_path: Path) -> None:
    tape = library.tape(10).open()
    library.add(tape, State.LIVE)
    path = tape.abandon()
    result = invoke(library, "verify", tape.session)
    assert (result.exit_code, result.stdout.split(":")[0]) == (4, "unclosed")
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    assert invoke(library, "verify", str(path)).exit_code == 4
    path.unlink()
    result = invoke(library, "verify", tape.session)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "its tape is not there" in result.stderr


def test_verify_with_a_key(library: Library, tmp_path: Path) -> None:
    tape = small(tmp_path / "other")
    named = tmp_path / "key"
    named.write_bytes(tape.public)
    assert invoke(library, "verify", str(tape.path), "--key", str(named)).exit_code == 0
    # The library's own gateway need not have made a tape that lies elsewhere; one in the library it must.
    result = invoke(library, "verify", str(tape.path))
    assert result.exit_code == 0
    assert "no key was named: compare it" in result.stdout
    named.write_bytes(bytes(32))
    result = invoke(library, "verify", str(tape.path), "--key", str(named))
    assert result.exit_code == 4
    assert result.stdout.startswith("signed by a key that you did not name: gw, SHA256:")
    named.write_bytes(b"no key\xff")
    result = invoke(library, "verify", str(tape.path), "--key", str(named))
    assert (result.exit_code, result.stdout) == (1, "")


def test_verify_of_a_tape_that_lies_in_another_session_s_place(library: Library) -> None:
    first, second = ids(library)[:2]
    tapes = {path.parent.name[-8:]: path for path in library.config.tapes.rglob("*.tape")}
    tapes[first].write_bytes(tapes[second].read_bytes())
    for what in (first, str(tapes[first])):
        result = invoke(library, "verify", what)
        assert result.exit_code == 4
        assert "another session" in result.stdout


def test_export_to_a_file_and_to_the_output(library: Library, tmp_path: Path) -> None:
    target = tmp_path / "out.cast"
    result = invoke(library, "export", newest(library), "--as", "cast", "-o", str(target))
    assert (result.exit_code, result.stdout) == (0, "")
    assert json.loads(target.read_text().splitlines()[0])["version"] == 3
    assert invoke(library, "export", newest(library), "--as", "cast", "-o", "-").stdout == target.read_text()
    text = invoke(library, "export", newest(library), "--as", "txt", "-o", "-").stdout
    assert text == invoke(library, "show", newest(library)).stdout


def test_export_that_fails_leaves_no_file(library: Library, tmp_path: Path) -> None:
    tape = library.tape(10).open()
    tape.close()
    library.add(tape)
    target = tmp_path / "out.cast"
    result = invoke(library, "export", "latest", "--as", "cast", "-o", str(target))
    assert result.exit_code == 1
    assert result.stderr.startswith("tacho: this recording has no terminal and no command")
    assert not list(tmp_path.glob("*out.cast*"))
    assert invoke(library, "export", "latest", "--as", "gif", "-o", "-").exit_code == 2


def test_what_is_not_found_exits_3_with_one_sentence(library: Library, tmp_path: Path) -> None:
    for arguments in (["show", "ffff"], ["cmds", "no\x1b[2J"], ["verify", "zz"], ["show", str(tmp_path / "x.tape")]):
        result = invoke(library, *arguments)
        assert (result.exit_code, result.stdout) == (3, "")
        assert len(result.stderr.splitlines()) == 1
    assert invoke(library, "show", "01a2").exit_code == 3
    assert invoke(library, "show", newest(library), "--from", "@cmd:7").exit_code == 3
    assert invoke(library, "show", newest(library), "--from", "soon").exit_code == 2
    assert invoke(library, "play", newest(library)).exit_code == 2


def test_broken_configuration_and_catalogue_are_one_sentence(library: Library) -> None:
    library.config.catalogue.write_bytes(b"x" * 5000)
    result = invoke(library, "ls")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    library.file.write_text("[gatewy]\n")
    result = invoke(library, "ls")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parents[3]
    values = {name: value for name, value in os.environ.items() if name not in ("TACHO_CONFIG", "NO_COLOR")}
    values |= {"PYTHONPATH": str(here), **environment}
    return subprocess.run(
        [sys.executable, "-m", "replay", *arguments], capture_output=True, text=True, timeout=60, env=values, cwd="/"
    )


def test_a_tape_needs_no_configuration(tmp_path: Path) -> None:
    tape = small(tmp_path)
    empty = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    result = run("verify", str(tape.path), **empty)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("complete and unchanged\n")
    assert "no key was named" in result.stdout
    assert run("show", str(tape.path), **empty).returncode == 0
    assert run("ls", **empty).returncode == 1


def test_listing_imports_nothing_heavy(library: Library) -> None:
    code = "import sys; from replay.cli import tacho; tacho(['ls'], standalone_mode=False); print(*sys.modules)"
    here = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "TACHO_CONFIG": str(library.file), "PYTHONPATH": here},
        check=True,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert not modules & {"asyncssh", "textual", "pyte", "rich", "uvloop"}


def test_without_a_verb_it_prints_its_help() -> None:
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert "verify" in result.stdout
    assert "gateway" in result.stdout
    assert run("nonsense").returncode == 2


def test_broken_pipe_is_silent(library: Library) -> None:
    tape = library.tape(10).open().run(1, b"seq", b"0123456789abcdef\n" * 100_000)
    tape.close()
    library.add(tape)
    shell = f"{sys.executable} -m replay show latest --config {library.file} | head -1; echo ${{PIPESTATUS[0]}}"
    here = str(Path(__file__).parents[3])
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here}, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"session {tape.session}", "0"]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_only_on_a_terminal(library: Library, no_color: str, coloured: bool) -> None:
    primary, secondary = pty.openpty()
    here = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": here, "TACHO_CONFIG": str(library.file), "NO_COLOR": no_color}
    with subprocess.Popen([sys.executable, "-m", "replay", "ls"], stdout=secondary, env=environment) as process:
        os.close(secondary)
        shown = b""
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:
                break  # Linux says EIO where a terminal has no other end any more
            if not piece:
                break
            shown += piece
        assert process.wait(30) == 0
    os.close(primary)
    assert (b"\x1b[" in shown) is coloured


def test_tracebacks_only_with_debug(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.tape")
    assert "Traceback" not in run("show", missing).stderr
    assert "Traceback" in run("show", missing, "--debug").stderr


def test_hostile_tape_reaches_no_terminal(library: Library, tmp_path: Path) -> None:
    tape = Tape(tmp_path / "hostile").open(agent="\x1b]0;owned\x07", login="\u202e", target="\x9b2J")
    tape.run(1, b"\x1b[2J\x07\xff\x9b", b"\x1b]52;c;aGk=\x07\x1b[6n\x9b31m", b"\xe2\x80\xae")
    tape.note(2, "\x1b[1m", x="\x1b").shell(3).put(Kind.OUT, 3, b"\x1bP1$r\x1b\\\x1b[?1049h\x9d\x07x")
    path = tape.close()
    for verb in (["show"], ["cmds"], ["cmds", "--json"], ["verify"], ["export", "--as", "txt", "-o", "-"]):
        invoke(library, verb[0], str(path), *verb[1:])
