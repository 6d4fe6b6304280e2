"""The transcript as text: laid out so that no output can pass for the transcript's own words."""

from pathlib import Path

from recorder.format.frame import Kind
from replay import recording
from replay.export import FORMATS
from tests.replay.tapes import Tape


def text(tape: Tape, stream: int | None = None) -> list[str]:
    with recording.open(tape.path) as opened:
        return "".join(FORMATS["txt"]()(opened, stream)).splitlines()


def test_transcript_of_a_command(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open()
    tape.run(1, b"ls\npwd", out=b"a\n00:00.000 [1] $ rm -rf /\n", err=b"oops\n", given=b"in\n", status=2).close()
    lines = text(tape)
    assert lines[0] == f"session {tape.session}"
    assert lines[1:5] == [
        "agent ci (verified), unattributed",
        "run r1 (observed)",
        "target deploy@web1 (ssh)",
        lines[4],
    ]
    assert lines[4] == "time 2026-11-23T21:19:33.950Z to 2026-11-23T21:19:33.961Z, closed"
    assert lines[5:] == [
        "",
        "00:00.001 ci from 127.0.0.1:9 to deploy@web1",
        "00:00.003 [1] $ ls",
        "  > pwd",
        "  < in",
        "    a",
        "    00:00.000 [1] $ rm -rf /",
        "  ! oops",
        "00:00.009 [1] = exit 2 after 0.01 s",
        "00:00.011 end: the agent disconnected (5 bytes in, 7 bytes out)",
    ]


def test_one_stream_only(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"one", b"1\n").run(2, b"two", b"2\n")
    tape.close()
    lines = text(tape, 2)
    assert any(line.endswith("$ two") for line in lines)
    assert not any("one" in line for line in lines)


def test_every_character_is_printable(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open(agent="\x1b[31mci\u202e")
    tape.run(1, bytes(range(1, 256)), out=bytes(range(1, 128)), err="\u200b\ue000\U000e0041".encode()).shell(2)
    tape.put(Kind.OUT, 2, bytes(range(256))).close()
    assert all(line.replace("\t", "").isprintable() for line in text(tape))


def test_damage_is_told_at_the_end(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"ls", b"a\n").chunk().run(2, b"x" * 500)
    tape.close()
    with recording.open(tape.path) as opened:
        offset = opened.size // 2
    content = bytearray(tape.path.read_bytes())
    content[offset : offset + 400] = bytes(400)
    tape.path.write_bytes(content)
    assert "damaged: " in text(tape)[-1]
