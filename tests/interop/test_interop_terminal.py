"""Programs on a terminal through ssh: sizes, less, vim, an interrupt, a shell with ssh's own escapes."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from recorder.format.frame import Kind
from tests.interop.terminal import Terminal, in_terminal
from tests.interop.ways import Way, Ways
from tests.servers.tapes import Taped

pytestmark = pytest.mark.service

_LAST = b"Connection to 127.0.0.1 closed."  # of ssh itself


@contextmanager
def _ssh(way: Way, command: str, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    """`ssh -o RequestTTY=force` in a terminal."""
    full = way.client.command("ssh", "-o", "RequestTTY=force", way.host, *([command] if command else []))
    with in_terminal(full, way.client.env | {"TERM": "xterm"}, columns, rows) as terminal:
        yield terminal


def _taped(tape: Taped, seen: bytes, keys: bytes) -> None:
    """All that the terminal was sent and all that was typed is on the tape."""
    assert tape.crossed(Kind.OUT) + _LAST == seen.rstrip()
    assert tape.crossed(Kind.IN) == keys


@pytest.mark.parametrize("size", [(80, 24), (132, 43), (7, 3)])
def test_size(ways: Ways, size: tuple[int, int]) -> None:
    def work(way: Way) -> tuple[int, bytes]:
        with _ssh(way, "stty size; tty -s; exit 4", *size) as terminal:
            return terminal.end(), terminal.seen

    (status, seen), (tape,) = ways.same(work)
    assert (status, seen.rstrip()) == (4, f"{size[1]} {size[0]}\r\n".encode() + _LAST)
    _taped(tape, seen, b"")


def test_less(ways: Ways) -> None:
    keys = [(b"G", "line 1000 of it"), (b"?line 500 \r", "line 500 of it"), (b"&00 \r", "line 900 of it")]

    def work(way: Way) -> int:
        (way.folder / "long").write_text("".join(f"line {number} of it\n" for number in range(1, 1001)))
        with _ssh(way, f"cd {way.folder}; exec less long") as terminal:
            terminal.shows("line 23 of it")
            for typed, shown in keys:
                terminal.type(typed)
                terminal.shows(shown)
            terminal.resize(60, 6)
            terminal.until([*(f"line {number} of it" for number in range(500, 1000, 100)), "& :"].__eq__)
            terminal.type(b"q")
            return terminal.end()

    status, (tape,) = ways.same(work)
    assert status == 0
    assert tape.crossed(Kind.IN) == b"".join(typed for typed, _ in keys) + b"q"
    assert tape.noted("resize") == [{"columns": 60, "rows": 6, "width": 0, "height": 0}]


def test_vim(ways: Ways) -> None:
    keys = [
        (b"ihello, world", "hello, world"),
        (b"\x1byyP:s/hello/goodbye/\r", "goodbye, world"),
        (b"Go\xc3\xa9nd", "\u00e9nd"),
    ]
    last = ["      1 goodbye, world", "      2 hello, world", "      3 \u00e9nd", *("~" * 8), ":set number"]

    def work(way: Way) -> tuple[int, str]:
        with _ssh(way, f"cd {way.folder}; LC_ALL=C.UTF-8 exec vim -u NONE -n -i NONE new", 60, 12) as terminal:
            terminal.shows('"new" [New')
            for typed, shown in keys:
                terminal.type(typed)
                terminal.shows(shown)
            terminal.type(b"\x1b:set number\r")
            terminal.until(last.__eq__)
            terminal.type(b":wq\r")
            return terminal.end(), (way.folder / "new").read_text()

    (status, left), (tape,) = ways.same(work)
    assert (status, left) == (0, "goodbye, world\nhello, world\n\u00e9nd\n")
    assert tape.crossed(Kind.IN) == b"".join(typed for typed, _ in keys) + b"\x1b:set number\r:wq\r"


def test_interrupt_and_end_of_file(ways: Ways) -> None:
    steps = [(b"one\n", ["one", "one"]), (b"\x03", ["^Ccaught", "after"]), (b"two\n", ["two", "two"])]

    def work(way: Way) -> tuple[int, bytes]:
        with _ssh(way, "trap 'echo caught' INT; echo up; cat; echo after; cat; echo over; exit 3") as terminal:
            terminal.shows("up")
            for keys, last in steps:
                terminal.type(keys)
                terminal.until(partial(_ends, last))
            terminal.type(b"\x04")
            return terminal.end(), terminal.seen

    (status, seen), (tape,) = ways.same(work)
    assert status == 3
    assert seen.rstrip().endswith(b"over\r\n" + _LAST)
    _taped(tape, seen, b"one\n\x03two\n\x04")


def _ends(last: list[str], lines: list[str]) -> bool:
    return [line for line in lines if line][-len(last) :] == last


def test_shell_with_escapes_of_ssh(ways: Ways) -> None:
    def work(way: Way) -> int:
        with _ssh(way, "") as terminal:
            terminal.type(b"exec env -i TERM=$TERM PS1='> ' sh\n")
            terminal.until(lambda lines: any(line == ">" for line in lines))
            terminal.type(b"clear; echo $TERM; stty size\n")
            terminal.until(["xterm", "24 80", ">", *[""] * 21].__eq__)
            terminal.type(b"~~\x15echo $((6 * 7))\n")
            terminal.until(lambda lines: lines[3:5] == ["42", ">"])
            terminal.type(b"~.")
            return terminal.end()

    status, (tape,) = ways.same(work)
    assert status == 255
    assert tape.crossed(Kind.IN).endswith(b"\n~\x15echo $((6 * 7))\n")
    assert tape.ended["reason"] == "the agent disconnected"
