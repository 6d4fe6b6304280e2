"""JSON lines give back every frame, byte by byte, but for keys that were not echoed; jq reads them."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.format.frame import Kind
from replay import recording
from replay.export import FORMATS
from replay.export.masking import Masking
from replay.recording import Frame
from replay.recording.clock import stamp
from tests.replay.tapes import START, Tape, patched, small

Line = dict[str, object]
KINDS = {"in": Kind.IN, "out": Kind.OUT, "err": Kind.ERR, "held": Kind.HELD}


def written(path: Path, stream: int | None = None) -> str:
    with recording.open(path) as opened:
        text = "".join(FORMATS["jsonl"]()(opened, stream))
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    return text


def lines(path: Path, stream: int | None = None) -> list[Line]:
    return [json.loads(line, parse_constant=pytest.fail) for line in written(path, stream).splitlines()]


def data_of(value: object) -> bytes:
    assert isinstance(value, dict)
    if "text" in value:
        return str(value["text"]).encode()
    return base64.b64decode(value["base64"], validate=True)


def given_back(line: Line) -> object:
    """The body of the frame that a line was made of."""
    if "facts" in line:
        return facts_of(line["facts"])
    if "body" in line:
        return facts_of(line["body"])
    return [line["side"], data_of(line)] if "side" in line else data_of(line)


def facts_of(value: object) -> object:
    if isinstance(value, dict):
        if set(value) in ({"text"}, {"base64"}):
            return data_of(value)
        return {key: facts_of(item) for key, item in value.items()}
    return [facts_of(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path).open()


def test_every_frame_is_given_back(tape: Tape) -> None:
    tape.run(1, b"cat \xff", b"a\x00\x1b[2J\xc3\xa4", bytes(range(256)), "ä\u2028\U0001f642".encode(), status=1)
    tape.put(Kind.HELD, 1, b"rm -rf").put(Kind.MADE, 1, ["out", b"no\xff"]).put(Kind.GAP, 0, {"why": "x", "bytes": 3})
    tape.put(Kind.WITHHELD, 1, [b"\x01" * 32, 7]).put(77, 3, {"a": [1, None, True, 1.5, b"x", {"b": "c"}]}).put(
        78, 0, "s"
    )
    tape.put(Kind.OUT, 1, b"", 1_234_567).close()
    header, *found = lines(tape.path)
    with recording.open(tape.path) as opened:
        frames = list(opened.frames())
    assert len(found) == len(frames)
    for line, frame in zip(found, frames, strict=True):
        assert given_back(line) == frame.body
        assert (line["frame"], line["stream"]) == (frame.number, frame.stream)
        assert line["at"] == stamp(START + frame.t * 1000, "microseconds")
    assert [line["kind"] for line in found[-7:]] == ["made", "gap", "withheld", 77, 78, "out", "close"]
    assert (header["format"], header["id"], header["state"]) == ("tachograph-jsonl/1", tape.session, "closed")
    assert header["agent"] == {"name": "ci"}


def test_times_are_exact_to_the_microsecond(tape: Tape) -> None:
    from recorder.format.writer import Entry

    times = [1, 10, 999_999, 1_000_000, 123_456_789_012_345, (1 << 62) + 1]
    tape.segment.append([Entry(t, Kind.OUT, 1, b"x") for t in times], START)
    tape.finish()
    found = [line.split('"t": ')[1].split(",")[0] for line in written(tape.path).splitlines()[2:]]
    assert [int(seconds) * 1_000_000 + int(us) for seconds, us in (text.split(".") for text in found)] == times


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3, 9, 10, 50]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.floats()
                | st.text()
                | st.binary()
                | st.integers(-(1 << 63), (1 << 64) - 1),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=3)
                ),
                max_leaves=8,
            ),
        ),
        max_size=5,
    )
)
def test_hostile_bodies_are_lines_all_the_same(tmp_path: Path, bodies: list[tuple[int, object]]) -> None:
    tape = Tape(tmp_path).open().shell(1)
    for kind, body in bodies:
        tape.put(kind, 1, body)
    tape.put(4, 1, {"name": "x", "bytes": {"\udcff": "\udcff", b"k": float("nan")}, "deep": nested(40)}).close()
    *_, note, _ = lines(tape.path)
    assert note["facts"]["bytes"]["\\udcff"] == {"base64": "/w=="}  # type: ignore[index] # JSON
    assert len(lines(tape.path)) == len(bodies) + 8


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else 1


def test_echoed_keys_stay_and_passwords_are_masked(tape: Tape) -> None:
    tape.shell(1).put(Kind.OUT, 1, b"$ ")
    for key in b"su":
        tape.put(Kind.IN, 1, bytes([key])).put(Kind.OUT, 1, bytes([key]))
    tape.put(Kind.IN, 1, b"\r").put(Kind.OUT, 1, b"\r\nPassword: ").put(Kind.IN, 1, b"hunter2\r")
    tape.put(Kind.OUT, 1, b"\r\n# ").put(Kind.IN, 1, "ä".encode()).put(Kind.OUT, 1, "ä".encode())
    tape.put(Kind.HELD, 1, b"secret").note(1, "close").close()
    text = written(tape.path)
    assert "hunter2" not in text
    assert "secret" not in text
    keys = [line for line in map(json.loads, text.splitlines()) if line.get("kind") in ("in", "held")]
    assert [line.get("text") or (line["masked"], line["size"]) for line in keys] == [
        "s", "u", "\r", ("•••••••\r", 8), "ä", ("••••••", 6)
    ]  # fmt: skip


def test_a_secret_cut_inside_a_character_leaves_no_part_of_it(tape: Tape) -> None:
    secret = "pä✓ß".encode()
    tape.shell(1).put(Kind.OUT, 1, b"Password: ")
    for byte in secret:
        tape.put(Kind.IN, 1, bytes([byte]))
    tape.put(Kind.IN, 1, b"\xc3").close()
    keys = [line for line in lines(tape.path) if line.get("kind") == "in"]
    assert all("text" not in line and "base64" not in line for line in keys)
    assert "".join(str(line["masked"]) for line in keys) == "••••"


def test_input_without_a_terminal_is_as_it_was(tape: Tape) -> None:
    tape.run(1, b"cat", given=b"to cat\xff").close()
    (line,) = (line for line in lines(tape.path) if line.get("kind") == "in")
    assert data_of(line) == b"to cat\xff"


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 3), st.binary(max_size=6)), max_size=40))
def test_masking_keeps_order_and_never_invents(parts: list[tuple[int, int, bytes]]) -> None:
    masking = Masking()
    notes = [Frame(number, 0, Kind.NOTE, number, {"name": "pty"}) for number in (1, 2)]
    frames = notes + [
        Frame(number, number * 1000, kind, stream, data) for number, (kind, stream, data) in enumerate(parts, 3)
    ]
    found = [ready for frame in frames for ready in masking.take(frame)] + list(masking.finish())
    assert [frame for frame, _ in found] == frames
    assert all(masked is None for frame, masked in found if frame.kind != Kind.IN or frame.stream == 3)


def test_masking_holds_little_back() -> None:
    masking = Masking()
    list(masking.take(Frame(0, 0, Kind.NOTE, 1, {"name": "pty"})))
    list(masking.take(Frame(1, 1, Kind.IN, 1, b"x")))
    given_out = 0
    for number in range(2, 20_000):
        given_out += len(list(masking.take(Frame(number, 2, Kind.OUT, 1, b"\x1b[m" * 100))))
        assert number - given_out < 5_000
    assert given_out > 10_000


def test_one_stream_and_the_session(tape: Tape) -> None:
    tape.run(1, b"one", b"1").run(2, b"two", b"2").close()
    assert {line["stream"] for line in lines(tape.path, 2)[1:]} == {0, 2}


def test_damage_is_a_line_of_its_own(tmp_path: Path) -> None:
    tape = small(tmp_path)
    patched(tape.path, [(tape.path.stat().st_size // 4, b"\xff" * 8)])
    found = lines(tape.path)
    (damage,) = (line for line in found if line.get("kind") == "damage")
    assert damage["size"]
    assert damage["why"]
    assert found[-1] is damage
    assert len(found) > 5


def test_jq_reads_it(tmp_path: Path) -> None:
    tape = Tape(tmp_path).open().run(1, b"ls", b"a\xffb\n").run(2, b"id", b"uid=0\n")
    tape.close()
    asked = 'select(.kind == "out") | [.stream, .text // (.base64 | @base64d)]'
    done = subprocess.run(["jq", "-c", asked], input=written(tape.path), capture_output=True, text=True, timeout=20)
    assert done.stdout.splitlines() == ['[1,"a\ufffdb\\n"]', '[2,"uid=0\\n"]']
