"""A session that echoes all the while, to see whether others disturb it."""

import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from tests.servers.client import Client
from tests.servers.process import LIMIT_S

_PAUSE_S = 0.02


class Echo:
    """Sends a line through `cat` every 20 ms and keeps how long each took. It must never fail."""

    def __init__(self, client: Client, user: str) -> None:
        self._client = client
        self._user = user
        self._times: list[float] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._stack = ExitStack()
        self._thread = threading.Thread(target=self._echo, daemon=True)

    def __enter__(self) -> Self:
        self._ssh = self._stack.enter_context(self._client.start(self._user, "cat"))
        self._thread.start()
        self.median(0)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)
        with self._stack:
            self._ssh.communicate()
        assert self._ssh.returncode == 0

    def _echo(self) -> None:
        assert self._ssh.stdin is not None
        assert self._ssh.stdout is not None
        while not self._stop.wait(_PAUSE_S) and self._error is None:
            begun = time.monotonic()
            try:
                self._ssh.stdin.write(b"echo\n")
                self._ssh.stdin.flush()
                line = self._ssh.stdout.readline()
                assert line == b"echo\n", line
            except (OSError, AssertionError) as error:
                self._error = error
            with self._changed:
                self._times.append(time.monotonic() - begun)
                self._changed.notify_all()

    def mark(self) -> int:
        """Where to begin with `median`."""
        return len(self._times)

    def median(self, after: int) -> float:
        """The median of the seconds that the echoes since `after` took, of five at least."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._times) >= after + 5, LIMIT_S), "no echo"
            assert self._error is None, self._error
            times = sorted(self._times[after:])
        return times[len(times) // 2]

    def longest(self, after: int) -> float:
        """The longest since `after`."""
        self.median(after)
        return max(self._times[after:])
