"""Asks the gateway that runs on a data folder, by its control socket: one question, one answer. Decides nothing."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

LINE_LIMIT = 64 * 1024  # bytes of a request
_REPLY_LIMIT = 1024 * 1024
_PATH_LIMIT = 107  # bytes of a Unix socket's address (unix(7))
_PAUSE_S = 0.02
_LIMIT_S = 10.0


class Code(StrEnum):
    """What kind of refusal an answer is."""

    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    MALFORMED = "malformed"
    BUSY = "busy"
    FAILED = "failed"


class NoGateway(Exception):
    """Nobody listens: no gateway runs on this data folder."""


class ControlRefused(Exception):
    """The gateway does not do what it was asked for, or does not answer; the text is one sentence."""

    def __init__(self, text: str, code: Code) -> None:
        super().__init__(text)
        self.code = code

    @property
    def forbidden(self) -> bool:
        """Whether the caller has not the right."""
        return self.code is Code.FORBIDDEN


def ask(path: Path, verb: str, **arguments: object) -> dict[str, object]:
    """What the gateway at the socket `path` answers to `verb`.

    NoGateway, or ControlRefused: with the gateway's words, or with this function's when the socket is closed to the
    caller (FORBIDDEN) or no whole answer comes in time (FAILED).
    """
    return ask_within(_LIMIT_S, path, verb, arguments)


def ask_within(seconds: float, path: Path, verb: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """`ask` with a time limit of the caller's own."""
    line = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _answer(_exchange(path, line, deadline), path)
        except ControlRefused as refusal:
            if refusal.code is not Code.BUSY or time.monotonic() + _PAUSE_S > deadline:
                raise
        time.sleep(_PAUSE_S)


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """What to bind or connect to for a socket at `path`: its folder opened, where the path is too long. OSError."""
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _exchange(path: Path, line: bytes, deadline: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            with address(path) as where:
                _connect(connection, where, deadline)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NoGateway(f"no gateway runs at {path}") from None
        except PermissionError:
            why = f"you may not reach the control socket {path}: ask to be added to its group"
            raise ControlRefused(why, Code.FORBIDDEN) from None
        except OSError as error:
            raise _unanswered(path, error) from None
        try:
            # A gateway that refuses the connection answers before it has read anything.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.settimeout(_left(deadline))
                connection.sendall(line)
            return _reply(connection, deadline)
        except OSError as error:
            raise _unanswered(path, error) from None


def _connect(connection: socket.socket, where: str, deadline: float) -> None:
    while True:
        connection.settimeout(_left(deadline))
        try:
            connection.connect(where)
        except BlockingIOError:
            time.sleep(_PAUSE_S)  # its queue is full
        else:
            return


def _reply(connection: socket.socket, deadline: float) -> bytes:
    reply = bytearray()
    while not reply.endswith(b"\n"):
        connection.settimeout(_left(deadline))
        piece = connection.recv(65536)
        if not piece or len(reply) > _REPLY_LIMIT:
            raise ConnectionResetError("the answer is not whole")
        reply += piece
    return bytes(reply)


def _left(deadline: float) -> float:
    """Seconds until `deadline`; TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _unanswered(path: Path, error: OSError) -> ControlRefused:
    why = error.strerror or str(error)
    return ControlRefused(f"the gateway at {path} does not answer ({why}): see its log", Code.FAILED)


def _answer(reply: bytes, path: Path) -> dict[str, object]:
    try:
        answer = json.loads(reply)
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"ok": True, **values}:
            return {str(name): value for name, value in values.items()}
        case {"ok": False, "error": str(text), "code": str(code)} if code in set(Code):
            raise ControlRefused(text, Code(code))
    raise ControlRefused(f"what listens at {path} is no gateway of this version: start it anew", Code.FAILED)
