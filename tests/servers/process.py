"""A server's process: it ends with the process that started it, and what it prints can be awaited."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_S = 60.0  # for one event; generous, because machines are busy


class ServerError(Exception):
    """A server did not do what the test needs; the text holds what it printed."""


class Server:
    """A running process; the lines of its stdout and stderr are kept, and written to `log`."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        # setpriv execs the command, so the pid is the server's own.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=log.parent,
        )
        self.pid = self._process.pid
        self.log = log
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._pump = threading.Thread(target=self._read, name=f"log of {log.name}", daemon=True)
        self._pump.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream, self.log.open("ab") as file:
            for line in stream:
                file.write(line)
                file.flush()
                with self._changed:
                    self._lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def mark(self) -> int:
        """The number of lines so far, for `after`."""
        with self._changed:
            return len(self._lines)

    def text(self, after: int = 0) -> str:
        """What was printed since `after`."""
        with self._changed:
            return "\n".join(self._lines[after:])

    def found(self, pattern: str, after: int = 0) -> list[re.Match[str]]:
        """The matches of `pattern` in the lines so far."""
        with self._changed:
            return [match for line in self._lines[after:] if (match := re.search(pattern, line))]

    def line(self, pattern: str, after: int = 0, limit: float = LIMIT_S) -> re.Match[str]:
        """Waits until a line matches `pattern`; ServerError when the process ends or `limit` passes before."""
        return self.lines(pattern, 1, after, limit)[0]

    def lines(self, pattern: str, count: int, after: int = 0, limit: float = LIMIT_S) -> list[re.Match[str]]:
        """Waits until `count` lines match `pattern`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self.found(pattern, after)) >= count, limit)
            found = self.found(pattern, after)
        if len(found) < count:
            raise ServerError(f"{len(found)} of {count} lines match {pattern!r} in:\n{self.text(after)}")
        return found

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self, limit: float = LIMIT_S) -> int:
        """Waits for the end; the exit status."""
        status = self._process.wait(limit)
        self._pump.join(limit)
        return status

    def stop(self, limit: float = LIMIT_S) -> int:
        """Asks it to end (SIGTERM), kills it when it does not within `limit`; the exit status."""
        if self.running:
            self.send(signal.SIGTERM)
        try:
            return self.wait(limit)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait(limit)
            raise ServerError(f"process {self.pid} did not end on SIGTERM:\n{self.text()}") from None


def environment(**more: str) -> dict[str, str]:
    """An environment without the tester's own settings."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC", **more}
