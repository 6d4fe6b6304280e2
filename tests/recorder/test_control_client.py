"""Asking the control socket when what is there is no gateway, or none that answers; and paths of any length."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recorder.control_client import Code, ControlRefused, NoGateway, address, ask, ask_within


@contextmanager
def answering(path: Path, *answers: bytes | None) -> Iterator[list[bytes]]:
    """Listens at `path` and sends each caller the next answer; None: reads nothing and says nothing."""
    asked: list[bytes] = []
    held: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        with address(path) as where:
            listener.bind(where)
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                held.append(connection)
                if answer is not None:
                    asked.append(connection.recv(65536))
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(10)
        for connection in held:
            connection.close()


def test_an_answer_comes_back_without_its_flag(short_path: Path) -> None:
    path = short_path / "s"
    with answering(path, b'{"ok": true, "seq": 7}\n') as asked:
        assert ask(path, "viewed", session="x", detail={"a": 1}) == {"seq": 7}
    assert asked == [b'{"verb": "viewed", "session": "x", "detail": {"a": 1}}\n']


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.BUSY])
def test_a_refusal_comes_with_its_words_and_kind(short_path: Path, code: Code) -> None:
    path = short_path / "s"
    with (
        answering(path, f'{{"ok": false, "error": "no.", "code": "{code}"}}\n'.encode()),
        pytest.raises(ControlRefused, match=r"^no\.$") as refused,
    ):
        ask(path, "kill")
    assert refused.value.code is code
    assert refused.value.forbidden is (code is Code.FORBIDDEN)


def test_a_busy_gateway_is_asked_again(short_path: Path) -> None:
    path = short_path / "s"
    busy = b'{"ok": false, "error": "busy", "code": "busy"}\n'
    with answering(path, busy, busy, b'{"ok": true}\n'):
        assert ask(path, "ping") == {}


def test_a_gateway_that_stays_busy_is_asked_until_the_time_is_over(short_path: Path) -> None:
    path = short_path / "s"
    busy = b'{"ok": false, "error": "busy", "code": "busy"}\n'
    with answering(path, busy), pytest.raises(ControlRefused) as refused:
        ask_within(0.05, path, "ping", {})
    assert refused.value.code in (Code.BUSY, Code.FAILED)


@pytest.mark.parametrize("left", ["nothing", "no folder", "a socket", "a file in the folder's place"])
def test_nobody_listens(short_path: Path, left: str) -> None:
    path = short_path / "run" / "control.sock"
    if left == "a file in the folder's place":
        path.parent.write_text("")
    elif left != "no folder":
        path.parent.mkdir()
    if left == "a socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with pytest.raises(NoGateway, match="no gateway runs"):
        ask(path, "ping")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"[" * 50_000 + b"\n",
        b"[]\n",
        b'{"ok": 1}\n',
        b'{"ok": false}\n',
        b'{"ok": false, "error": "x", "code": "y"}\n',
    ],
)
def test_what_is_no_gateway_is_said(short_path: Path, answer: bytes) -> None:
    path = short_path / "s"
    with answering(path, answer), pytest.raises(ControlRefused, match="is no gateway of this version") as refused:
        ask(path, "ping")
    assert refused.value.code is Code.FAILED


@pytest.mark.parametrize("answer", [b"", b'{"ok": true', b" " * (3 * 1024 * 1024)])
def test_half_an_answer_is_none(short_path: Path, answer: bytes) -> None:
    path = short_path / "s"

    def asking() -> None:
        with pytest.raises(ControlRefused, match="does not answer") as refused:
            ask(path, "ping")
        assert refused.value.code is Code.FAILED

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=asking, daemon=True)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(answer)
            except OSError:
                assert len(answer) > 1024 * 1024  # it stopped reading: the answer was too long
        thread.join(10)
        assert not thread.is_alive()


def test_silence_ends_in_time(short_path: Path) -> None:
    path = short_path / "s"
    begun = time.monotonic()
    with answering(path, None), pytest.raises(ControlRefused, match=r"does not answer \(timed out\)"):
        ask_within(0.1, path, "ping", {})
    assert time.monotonic() - begun < 5


def test_a_full_queue_ends_in_time(short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(path))
            with pytest.raises(ControlRefused, match="does not answer"):
                ask_within(0.1, path, "ping", {})


@pytest.mark.parametrize("length", [100, 107, 108, 109, 200, 255])
def test_a_path_of_any_length_is_reached(short_path: Path, length: int) -> None:
    folder = short_path
    while len(os.fsencode(folder)) < length - 60:
        folder = folder / ("d" * 40)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("s" * (length - len(os.fsencode(folder)) - 1))
    assert len(os.fsencode(path)) == length
    with answering(path, b'{"ok": true}\n'):
        assert ask(path, "ping") == {}
    path.unlink()
    with pytest.raises(NoGateway):
        ask(path, "ping")


def test_no_descriptor_is_left(short_path: Path) -> None:
    path = short_path / ("d" * 100) / "s"
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(NoGateway):
            ask(path, "ping")
        path.parent.mkdir(exist_ok=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
