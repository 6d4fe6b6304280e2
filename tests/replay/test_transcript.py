"""Commands and entries say what was asked and what came back, in order, printable, and in bounded memory."""

import tracemalloc
from pathlib import Path

import pytest

from recorder.format.frame import Kind
from replay import recording
from replay.transcript import Command, Entry, Mark, MomentError, commands, entries, moment
from tests.replay.tapes import Tape


def commands_of(tape: Tape) -> list[Command]:
    tape.close()
    with recording.open(tape.path) as opened:
        return commands(opened)


def entries_of(tape: Tape, start: int = 0, end: int | None = None) -> list[Entry]:
    with recording.open(tape.path) as opened:
        return list(entries(opened, start, end))


def told(tape: Tape, start: int = 0, end: int | None = None) -> list[tuple[Mark, str]]:
    skipped = (Mark.SESSION, Mark.END)
    return [(entry.mark, entry.text) for entry in entries_of(tape, start, end) if entry.mark not in skipped]


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path).open()


def test_exec_commands_are_exact_with_their_end(tape: Tape) -> None:
    tape.run(1, b"ls '\xff\n'", out=b"abc", err=b"de", given=b"12345", status=3)
    (command,) = commands_of(tape)
    assert (command.number, command.stream, command.kind, command.text) == (1, 1, "exec", b"ls '\xff\n'")
    assert (command.known, command.status, command.signal, command.ok) == ("exact", 3, None, False)
    assert (command.bytes_in, command.bytes_out, command.frame) == (5, 5, 2)
    assert command.start == 3000
    assert command.end == 9000


def test_long_commands_come_in_pieces(tape: Tape) -> None:
    tape.note(1, "exec", command=b"a" * 24576, more=True).note(1, "exec", command=b"b")
    tape.note(1, "exit", signal="KILL", core=False, message="").note(1, "close")
    (command,) = commands_of(tape)
    assert command.text == b"a" * 24576 + b"b"
    assert (command.signal, command.status, command.ok) == ("KILL", None, False)


def test_shells_and_subsystems(tape: Tape) -> None:
    tape.shell(1).put(Kind.IN, 1, b"ls\r").put(Kind.OUT, 1, b"ls\r\nx")
    tape.note(2, "subsystem", subsystem=b"sftp").note(2, "exit", status=0).note(2, "close")
    shell, sftp = commands_of(tape)
    assert (shell.kind, shell.known, shell.text, shell.bytes_in, shell.bytes_out) == ("shell", "raw", b"", 3, 5)
    assert shell.end is not None
    assert (sftp.kind, sftp.text, sftp.ok) == ("subsystem", b"sftp", True)


def test_denied_refused_and_running_commands(tape: Tape) -> None:
    tape.note(1, "exec", command=b"rm").put(
        Kind.VERDICT, 1, {"operation": "exec", "effect": "deny", "rule": "no-rm", "reason": "never", "text": b"rm"}
    )
    tape.note(2, "subsystem", subsystem=b"x").note(2, "answer", request="subsystem", ok=False)
    tape.note(3, "exec", command=b"sleep 9").flush()
    with recording.open(tape.path) as opened:
        denied, refused, running = commands(opened)
    assert (denied.denied, denied.ok, denied.end) == (True, False, denied.start + 1000)
    assert (refused.denied, refused.status, refused.end) == (False, None, refused.start + 1000)
    assert (running.end, running.ok) == (None, False)
    assert (Mark.REFUSED, 'exec "rm": never (rule no-rm)') in told(tape)
    assert (Mark.FACT, "the target refused subsystem") in told(tape)


def test_hostile_notes_make_no_trouble(tape: Tape) -> None:
    odd: list[dict[str, object]] = [{"name": []}, {"name": "exec", "command": {}}, {"name": "exit", "status": "x"}]
    for body in odd:
        tape.put(Kind.NOTE, 1, body)
    tape.put(Kind.NOTE, 2, {"name": "pty", "columns": -5, "rows": "x"}).put(Kind.NOTE, 2, {"name": "resize"})
    tape.note(2, "resize", columns=2**60, rows=2**60).put(Kind.OUT, 2, b"\x1b[999999;999999Hx")
    tape.put(Kind.NOTE, 3, {"name": "odd\x1b[2J", "value": "\u202e", "\x9b": b"\x1b", 7: {}})
    tape.put(Kind.MADE, 0, [2, b"sorry\x07"]).put(Kind.WITHHELD, 0, [b"", 9]).put(99, 1, b"").put(Kind.HELD, 1, b"DROP")
    tape.put(Kind.GAP, 0, {"bytes": 5, "why": "disk \x1b[31m full"}).put(Kind.RECOVERY, 0, "text")
    assert len(commands_of(tape)) == 1
    found = entries_of(tape)
    assert all(entry.text.replace("\n", "").replace("\t", "").isprintable() for entry in found)
    assert any(entry.mark is Mark.GAP and "full" in entry.text for entry in found)


def test_output_and_errors_are_kept_apart_and_in_order(tape: Tape) -> None:
    tape.note(1, "exec", command=b"make").put(Kind.OUT, 1, b"one\ntwo").put(Kind.ERR, 1, b"warning\n")
    tape.put(Kind.OUT, 1, b" three\n").note(1, "exit", status=0).put(Kind.OUT, 1, b"late\n").note(1, "close")
    tape.close()
    assert told(tape) == [
        (Mark.COMMAND, "make"),
        (Mark.OUTPUT, "one\n"),
        (Mark.ERRORS, "warning\n"),
        (Mark.OUTPUT, "two three\nlate\n"),
        (Mark.EXIT, "exit 0 after 0.00 s"),
    ]


def test_output_is_plain_and_binary_is_counted(tape: Tape) -> None:
    tape.run(1, b"build", out=b"\x1b[31m 10%\r100%\x1b[0m\n\x1b]0;t\x07ok\n", given=b"yes\n")
    tape.run(2, b"cat bin", out=bytes(range(256)) * 1000)
    tape.run(3, b"cat text", out="grün ✓\n".encode() * 3)
    tape.close()
    texts = dict(told(tape))
    assert (Mark.INPUT, "yes\n") in told(tape)
    assert (Mark.OUTPUT, "100%\nok\n") in told(tape)
    assert (Mark.OUTPUT, "grün ✓\n" * 3) in told(tape)
    assert texts[Mark.COMMAND] == "cat text"
    binary = [text for _, text in told(tape) if "<256,000 bytes>" in text]
    assert len(binary) == 1
    assert len(binary[0]) < 300


def test_what_scrolled_off_and_the_last_screen_are_told_once(tape: Tape) -> None:
    tape.shell(1, columns=20, rows=4)
    for number in range(10):
        tape.put(Kind.OUT, 1, f"line {number}\r\n".encode())
    tape.put(Kind.OUT, 1, b"$ ").note(1, "close").close()
    lines = "\n".join(text for mark, text in told(tape) if mark is Mark.SCREEN).split("\n")
    assert lines == [f"line {number}" for number in range(10)] + ["$"]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_full_screen_programs_leave_their_last_screen(tape: Tape, cut: int) -> None:
    data = b"$ vi x\r\n\x1b[?1049h\x1b[2J\x1b[Hfirst\x1b[2J\x1b[Hhello\r\nworld\x1b[?1049l$ ls\r\nx\r\n$ "
    tape.shell(1)
    for offset in range(0, len(data), cut):
        tape.put(Kind.OUT, 1, data[offset : offset + cut])
    tape.note(1, "close").close()
    screens = [text for mark, text in told(tape) if mark is Mark.SCREEN]
    assert screens == ["$ vi x", "hello\nworld", "$ ls\nx\n$"]


@pytest.mark.parametrize("clear", [b"\x1b[H\x1b[2J", b"\x1b[H\x1b[J", b"\x1bc", b"\x1b[2J\x1b[H"])
@pytest.mark.parametrize("cut", [1, 4, 1000])
def test_cleared_screens_are_told_before_they_vanish(tape: Tape, clear: bytes, cut: int) -> None:
    data = b"$ cat secret\r\nhunter2\r\n" + clear + b"$ ls\r\n"
    tape.shell(1)
    for offset in range(0, len(data), cut):
        tape.put(Kind.OUT, 1, data[offset : offset + cut])
    tape.note(1, "close").close()
    text = "\n".join(text for mark, text in told(tape) if mark is Mark.SCREEN)
    assert text.split("\n") == ["$ cat secret", "hunter2", "$ ls"]


def test_resizes_take_no_line_away_and_repeat_none(tape: Tape) -> None:
    tape.shell(1, columns=20, rows=4)
    for number in range(8):
        tape.put(Kind.OUT, 1, f"line {number}\r\n".encode())
    tape.note(1, "resize", columns=20, rows=8).put(Kind.OUT, 1, b"more\r\n").note(1, "resize", columns=20, rows=3)
    tape.put(Kind.OUT, 1, b"last").note(1, "close").close()
    text = "\n".join(text for mark, text in told(tape) if mark is Mark.SCREEN)
    assert text.split("\n") == [*(f"line {number}" for number in range(8)), "more", "last"]


def test_span_begins_with_the_command_that_was_running(tape: Tape) -> None:
    tape.note(1, "exec", 100, command=b"tail -f").put(Kind.OUT, 1, b"early\n", 200)
    tape.put(Kind.OUT, 1, b"late\n", 5000).put(Kind.OUT, 1, b"later\n", 9000).note(1, "close", 9500).close()
    assert told(tape, 4_000_000, 6_000_000) == [(Mark.COMMAND, "tail -f"), (Mark.OUTPUT, "late\n")]


def test_forwarded_connections_are_told_by_where_they_lead_and_how_much_crossed(tape: Tape) -> None:
    tape.note(1, "channel", 100, type="direct-tcpip", host="db", port=5432, originator="127.0.0.1:9")
    tape.note(1, "forward", 200, host="db", port=5432, content="not parsed")
    tape.put(Kind.IN, 1, b"\x00\x00\x00\x08\x04\xd2\x16/", 300).put(Kind.OUT, 1, b"N", 4000)
    tape.note(1, "close", 5000, side="in").note(2, "forward", 6000, host="::1", port=80)
    tape.note(2, "channel-failed", 7000, code=2, reason="refused")
    assert commands_of(tape) == []
    forwarded = [
        (Mark.CHANNEL, "forward to db:5432"),
        (Mark.OUTPUT, "<8 bytes in, 1 bytes out>"),
        (Mark.CHANNEL, "forward to [::1]:80"),
        (Mark.FACT, "the target opened no channel: refused"),
    ]
    assert told(tape, 0, 8_000_000) == forwarded
    assert told(tape, 1_000_000, 5_500_000) == forwarded[:2]


def test_asserted_facts_signals_and_sizes_are_told(tape: Tape) -> None:
    tape.note(1, "asserted", run="r42").note(1, "env", variable="LANG", value="C\n").shell(1)
    tape.note(1, "resize", columns=100, rows=50).note(1, "signal", signal="INT").note(1, "strange", a=1, b="x")
    facts = [text for mark, text in told(tape.flush()) if mark is Mark.FACT]
    assert facts == [
        "asserted: run r42",
        "environment LANG=C\\n",
        "terminal xterm-256color 40×6",
        "resized to 100×50",
        "signal INT",
        'strange: a 1, b "x"',
    ]


def test_memory_is_bounded_for_many_channels_and_long_lines(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open()
    for stream in range(1, 1500):
        tape.note(stream, "exec", command=b"x" * 1000).put(Kind.OUT, stream, b"y" * 20_000)
    tape.close()
    tracemalloc.start()
    with recording.open(tape.path) as opened:
        length = sum(len(entry.text) for entry in entries(opened))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length > 1499 * 21_000
    assert peak < 24_000_000


def test_moments(tape: Tape) -> None:
    tape.run(1, b"ls").run(2, b"pwd")
    tape.close()
    with recording.open(tape.path) as opened:
        assert moment(opened, "1:23") == 83_000_000
        assert moment(opened, "1:02:03.5") == 3_723_500_000
        assert moment(opened, "83.4") == 83_400_000
        assert moment(opened, "+5", 1_000_000) == 6_000_000
        assert moment(opened, "2026-11-23T21:19:34.950210Z") == 999_999
        assert moment(opened, "2026-11-23T22:19:34.950211+01:00") == 1_000_000
        assert moment(opened, "2020-01-01T00:00:00Z") == 0
        assert moment(opened, "@cmd:2") == commands(opened)[1].start
        assert moment(opened, "@frame:4") == 5000
        for text in ("", "x", "-5", "1:2:3:4", "@cmd:", "2026-11-23T21:19:34", "٣", "1e5", "@frame:-1", "\x1b[2J"):
            with pytest.raises(MomentError) as caught:
                moment(opened, text)
            assert str(caught.value).isprintable()
        for text in ("@cmd:0", "@cmd:3", "@frame:9999", "@frame:999999999999999999"):
            with pytest.raises(recording.NotFound):
                moment(opened, text)
